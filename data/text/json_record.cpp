#include "data/text/json_record.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include <fmt/core.h>
#include <simdjson.h>

#include "core/json.h"

namespace athanor::text {
namespace {

constexpr size_t kMaxDepth = 64;

// Four hexadecimal digits at `at`, or -1.
int hex4(std::string_view bytes, size_t at) {
  if (at + 4 > bytes.size()) return -1;
  int value = 0;
  for (char c : bytes.substr(at, 4)) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

bool is_high(int unit) {
  return unit >= 0xD800 && unit < 0xDC00;
}
bool is_low(int unit) {
  return unit >= 0xDC00 && unit < 0xE000;
}

// Writes \ufffd over every \uD800-\uDFFF that is not half of a pair. Backslashes are taken two at a time, so
// that an escaped backslash before a `u` is left alone.
void replace_lone_surrogates(std::string& json) {
  for (size_t at = json.find('\\'); at != std::string::npos && at + 1 < json.size();
       at = json.find('\\', at)) {
    const int unit = json[at + 1] == 'u' ? hex4(json, at + 2) : -1;
    if (is_high(unit) && json.compare(at + 6, 2, "\\u") == 0 && is_low(hex4(json, at + 8))) {
      at += 12;
      continue;
    }
    if (is_high(unit) || is_low(unit)) std::memcpy(json.data() + at + 2, "fffd", 4);
    at += 2;
  }
}

bool may_hold_surrogate(std::string_view json) {
  return json.find("\\ud") != std::string_view::npos || json.find("\\uD") != std::string_view::npos;
}

// The second opinion on what simdjson refuses: numbers too large for it pass, the rest gets a message with a
// place.
std::string explain_refusal(std::string_view line, nlohmann::ordered_json& object) {
  try {
    const auto limit_depth = [](int depth, nlohmann::ordered_json::parse_event_t, nlohmann::ordered_json&) {
      if (depth > static_cast<int>(kMaxDepth)) throw std::length_error("nested too deeply");
      return true;
    };
    object = nlohmann::ordered_json::parse(line, limit_depth);
  } catch (const nlohmann::json::parse_error& error) {
    return fmt::format("not JSON at byte {}", error.byte);
  } catch (const nlohmann::json::exception& error) {
    return fmt::format("not usable JSON: {}", core::json_problem(error));
  } catch (const std::exception& error) {
    return fmt::format("not usable JSON: {}", error.what());
  }
  return object.is_object() ? "" : "a JSON object was expected";
}

void append_member(std::string& fields, std::string_view key, std::string_view raw_value) {
  if (!fields.empty()) fields.push_back(',');
  append_json_string(fields, key);
  fields.push_back(':');
  fields.append(raw_value);
}

std::string join_texts(const std::vector<std::string>& names, std::vector<std::string>& texts,
                       const std::vector<bool>& is_found, std::string& text) {
  text.clear();
  for (size_t i = 0; i < names.size(); ++i) {
    if (!is_found[i]) return fmt::format("no text in the field \"{}\"", names[i]);
    if (i > 0) text.push_back('\n');
    if (i == 0)
      text.swap(texts[i]);
    else
      text.append(texts[i]);
  }
  return "";
}

}  // namespace

struct JsonRecordParser::State {
  simdjson::dom::parser simd;
  std::string line;
  std::vector<std::string> texts;
  std::vector<bool> is_found;

  void take(std::string_view key, bool is_string, std::string_view string_value, auto&& raw_value,
            const std::vector<std::string>& names, bool keep_fields, Document& document) {
    const auto name = std::find(names.begin(), names.end(), key);
    if (name != names.end()) {
      const auto i = static_cast<size_t>(name - names.begin());
      is_found[i] = is_string;
      if (is_string) texts[i].assign(string_value);
    } else if (key == "source" && is_string) {
      document.source.assign(string_value);
    } else if (keep_fields && key != "text" && key != "language") {
      append_member(document.fields, key, raw_value());
    }
  }
};

JsonRecordParser::JsonRecordParser() : state_(std::make_unique<State>()) {}
JsonRecordParser::~JsonRecordParser() = default;
JsonRecordParser::JsonRecordParser(JsonRecordParser&&) noexcept = default;

std::string JsonRecordParser::parse(std::string_view line, const std::vector<std::string>& names,
                                    bool keep_fields, Document& document) {
  State& s = *state_;
  document.source.clear();
  document.fields.clear();
  s.texts.resize(names.size());
  s.is_found.assign(names.size(), false);
  if (may_hold_surrogate(line)) {
    s.line.assign(line);
    replace_lone_surrogates(s.line);
    line = s.line;
  }
  simdjson::dom::object object;
  if (s.simd.parse(line.data(), line.size()).get(object) == simdjson::SUCCESS) {
    for (const auto field : object) {
      std::string_view value;
      const bool is_string = field.value.get(value) == simdjson::SUCCESS;
      const auto raw = [&] { return std::string(simdjson::minify(field.value)); };
      s.take(field.key, is_string, value, raw, names, keep_fields, document);
    }
    return join_texts(names, s.texts, s.is_found, document.text);
  }
  nlohmann::ordered_json slow;
  if (const std::string reason = explain_refusal(line, slow); !reason.empty()) return reason;
  for (const auto& [key, value] : slow.items()) {
    const bool is_string = value.is_string();
    const auto raw = [&, &v = value] { return v.dump(); };
    s.take(key, is_string, is_string ? std::string_view(value.template get_ref<const std::string&>()) : "",
           raw, names, keep_fields, document);
  }
  return join_texts(names, s.texts, s.is_found, document.text);
}

void append_json_string(std::string& out, std::string_view text) {
  static constexpr auto kNeedsEscape = [] {
    std::array<bool, 256> table{};
    for (int c = 0; c < 0x20; ++c) table[static_cast<size_t>(c)] = true;
    table['"'] = table['\\'] = table[0x7F] = true;
    return table;
  }();
  out.push_back('"');
  size_t written = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    const auto c = static_cast<uint8_t>(text[at]);
    if (!kNeedsEscape[c]) continue;
    out.append(text, written, at - written);
    written = at + 1;
    if (c == '\n')
      out.append("\\n");
    else if (c == '\t')
      out.append("\\t");
    else if (c == '"' || c == '\\')
      out.append({'\\', static_cast<char>(c)});
    else
      out.append(fmt::format("\\u{:04x}", c));
  }
  out.append(text, written, text.size() - written);
  out.push_back('"');
}

}  // namespace athanor::text
