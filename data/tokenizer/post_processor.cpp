#include "data/tokenizer/post_processor.h"

#include <limits>
#include <utility>

namespace athanor::data::tokenizer {

PostProcessor::PostProcessor(const JsonCursor& json, uint64_t num_ids) {
  add(json, num_ids);
}

void PostProcessor::add(const JsonCursor& json, uint64_t num_ids) {
  const std::string type = json.type();
  if (type == "Sequence") {
    for (const auto& step : json.member("processors").elements()) add(step, num_ids);
  } else if (type == "TemplateProcessing") {
    templates_.push_back(read_template(json, num_ids));
  } else if (type != "ByteLevel") {
    json.member("type").fail("a post-processor (Sequence, ByteLevel, TemplateProcessing)");
  }
}

PostProcessor::Template PostProcessor::read_template(const JsonCursor& json, uint64_t num_ids) {
  Template parts;
  const auto special_tokens = json.member("special_tokens");
  for (const auto& piece : json.member("single").elements()) {
    TemplatePart part;
    if (const auto sequence = piece.optional_member("Sequence")) {
      if (sequence->member("id").as_string() != "A")
        sequence->member("id").fail("\"A\" in the template of one text");
      part.is_text = true;
    } else if (const auto special = piece.optional_member("SpecialToken")) {
      const auto token = special_tokens.member(special->member("id").as_string());
      for (const auto& id : token.member("ids").elements())
        part.special_ids.push_back(static_cast<uint32_t>(id.as_unsigned(num_ids == 0 ? 0 : num_ids - 1)));
    } else {
      piece.fail("{\"Sequence\": ...} or {\"SpecialToken\": ...}");
    }
    parts.push_back(std::move(part));
  }
  return parts;
}

std::vector<uint32_t> PostProcessor::process(std::vector<uint32_t> ids, bool add_special_tokens) const {
  for (const Template& parts : templates_) {
    std::vector<uint32_t> arranged;
    arranged.reserve(ids.size() + parts.size());
    for (const auto& part : parts) {
      if (part.is_text)
        arranged.insert(arranged.end(), ids.begin(), ids.end());
      else if (add_special_tokens)
        arranged.insert(arranged.end(), part.special_ids.begin(), part.special_ids.end());
    }
    ids = std::move(arranged);
  }
  return ids;
}

std::optional<uint32_t> PostProcessor::id_before_text() const {
  for (const Template& parts : templates_)
    for (size_t i = 0; i + 1 < parts.size(); ++i)
      if (parts[i + 1].is_text && !parts[i].special_ids.empty()) return parts[i].special_ids.back();
  return std::nullopt;
}

std::optional<uint32_t> PostProcessor::id_after_text() const {
  for (const Template& parts : templates_)
    for (size_t i = 1; i < parts.size(); ++i)
      if (parts[i - 1].is_text && !parts[i].special_ids.empty()) return parts[i].special_ids.front();
  return std::nullopt;
}

}  // namespace athanor::data::tokenizer
