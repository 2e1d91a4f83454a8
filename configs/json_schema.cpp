#include <cmath>

#include "configs/field.h"
#include "configs/range.h"
#include "configs/reference.h"
#include "configs/run_config.h"
#include "core/json.h"

namespace athanor::configs {

namespace {

using Json = nlohmann::ordered_json;

Json object_schema(const Fields& fields);

void add_limits(const Option& option, bool is_integer, Json& schema) {
  const auto limit = [&](double value) {
    return is_integer ? Json(static_cast<int64_t>(value)) : Json(value);
  };
  if (std::isfinite(option.minimum)) {
    schema[option.above_minimum ? "exclusiveMinimum" : "minimum"] = limit(option.minimum);
  }
  if (std::isfinite(option.maximum)) schema["maximum"] = limit(option.maximum);
}

Json text_schema(const Option& option) {
  if (option.is_duration) {
    const Json time = {{"type", "string"},
                       {"pattern", "^([0-9][0-9_]*(\\.[0-9]+)?[smhd]|[0-9]+( steps?)?)$"}};
    const Json steps = {{"type", "integer"}, {"minimum", 0}};
    return {{"anyOf", {time, steps}}};
  }
  if (!option.choices.empty()) return {{"enum", option.choices}};
  // Names such as 2024 are text to us, but a number to the editor.
  Json schema = {{"type", {"string", "number", "boolean"}}};
  if (option.is_required) schema["minLength"] = 1;
  return schema;
}

template <typename T>
Json scalar_schema(const Option& option) {
  if constexpr (std::is_same_v<T, bool>) return {{"type", "boolean"}};
  if constexpr (std::is_same_v<T, std::string>) return text_schema(option);
  constexpr bool kIsInteger = std::is_same_v<T, int64_t>;
  Json schema = {{"type", kIsInteger ? "integer" : "number"}};
  add_limits(option, kIsInteger, schema);
  if (option.word_for_zero.empty()) return schema;
  const Json word = option.word_for_zero == "null" ? Json(nullptr) : Json(option.word_for_zero);
  return {{"anyOf", {schema, {{"const", word}}}}};
}

struct SchemaOf {
  const Option& option;

  Json operator()(const Fields& fields) const { return object_schema(fields); }
  Json operator()(const SectionList& sections) const {
    return {{"type", "array"}, {"items", object_schema(sections.default_element())}};
  }
  template <typename T>
  Json operator()(const T* value) const {
    Json schema = scalar_schema<T>(option);
    if (!option.is_required) schema["default"] = *value;
    return schema;
  }
  template <typename T>
  Json operator()(const std::optional<T>* value) const {
    Json schema = {{"anyOf", {scalar_schema<T>(option), {{"type", "null"}}}}};
    schema["default"] = *value ? Json(**value) : Json(nullptr);
    return schema;
  }
  template <typename T>
  Json operator()(const std::vector<T>* values) const {
    return {{"type", "array"}, {"items", scalar_schema<T>(option)}, {"default", *values}};
  }
};

std::string description(const Option& option) {
  return option.unit.empty() ? option.meaning : option.meaning + " [" + option.unit + "]";
}

Json object_schema(const Fields& fields) {
  Json properties = Json::object();
  Json required = Json::array();
  for (const Field& field : fields) {
    Json schema = {{"description", description(field.option)}};
    schema.update(std::visit(SchemaOf{field.option}, field.value));
    properties[field.name] = std::move(schema);
    if (field.option.is_required) required.push_back(field.name);
  }
  Json object = {{"type", "object"}, {"properties", std::move(properties)}, {"additionalProperties", false}};
  if (!required.empty()) object["required"] = std::move(required);
  return object;
}

Json facts_json(const OptionFacts& facts) {
  Json json = {{"key", facts.path}, {"type", facts.type}, {"meaning", facts.option.meaning}};
  if (!facts.option.unit.empty()) json["unit"] = facts.option.unit;
  if (!facts.is_section) {
    json["required"] = facts.option.is_required;
    if (!facts.option.is_required) json["default"] = facts.default_value;
  }
  for (const auto& [architecture, value] : facts.other_defaults)
    json["default_by_architecture"][architecture] = value;
  if (std::isfinite(facts.option.minimum)) json["minimum"] = facts.option.minimum;
  if (std::isfinite(facts.option.maximum)) json["maximum"] = facts.option.maximum;
  if (facts.option.above_minimum) json["above_minimum"] = true;
  if (!facts.option.choices.empty()) json["choices"] = facts.option.choices;
  if (!facts.option.unavailable.empty()) json["not_in_this_version"] = facts.option.unavailable;
  if (!facts.option.word_for_zero.empty()) json["word_for_zero"] = facts.option.word_for_zero;
  return json;
}

}  // namespace

std::string explain_json(const std::vector<OptionFacts>& options) {
  Json list = Json::array();
  for (const OptionFacts& facts : options) list.push_back(facts_json(facts));
  return list.dump(2) + "\n";
}

std::string json_schema() {
  RunConfig defaults;
  Json schema = {{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                 {"title", "Athanor run configuration"},
                 {"description", "One file is one run; see docs/configuration.md"}};
  schema.update(object_schema(fields_of(defaults)));
  return schema.dump(2) + "\n";
}

}  // namespace athanor::configs
