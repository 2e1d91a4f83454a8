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

bool is_json_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

// The byte after the string that begins at `at`, a quotation mark; the end of `json` when it does not close.
size_t end_of_string(std::string_view json, size_t at) {
  for (++at; at < json.size() && json[at] != '"'; ++at)
    if (json[at] == '\\') ++at;
  return std::min(at + 1, json.size());
}

// The byte after a run of digits at `at`, or npos when there is none.
size_t skip_digits(std::string_view json, size_t at) {
  const size_t end = std::min(json.find_first_not_of("0123456789", at), json.size());
  return end > at ? end : std::string_view::npos;
}

bool is_json_number(std::string_view token) {
  size_t at = token.starts_with('-') ? 1 : 0;
  at = token.substr(at).starts_with('0') ? at + 1 : skip_digits(token, at);
  if (at < token.size() && token[at] == '.') at = skip_digits(token, at + 1);
  if (at < token.size() && (token[at] == 'e' || token[at] == 'E')) {
    const bool has_sign = at + 1 < token.size() && (token[at + 1] == '+' || token[at + 1] == '-');
    at = skip_digits(token, at + (has_sign ? 2 : 1));
  }
  return at == token.size();
}

// Writes 0 and blanks over every number, so that a parser accepts those that no machine number holds.
std::string without_numbers(std::string_view json) {
  static constexpr std::string_view kNumberStarts = "-0123456789", kNumberBytes = "+-.0123456789Ee";
  std::string result(json);
  for (size_t at = 0; at < json.size();) {
    const bool is_number = kNumberStarts.find(json[at]) != std::string_view::npos;
    const size_t end = json[at] == '"' ? end_of_string(json, at)
                       : is_number     ? std::min(json.find_first_not_of(kNumberBytes, at), json.size())
                                       : at + 1;
    if (is_number && is_json_number(json.substr(at, end - at))) {
      std::fill(result.begin() + static_cast<ptrdiff_t>(at), result.begin() + static_cast<ptrdiff_t>(end),
                ' ');
      result[at] = '0';
    }
    at = end;
  }
  return result;
}

// Why simdjson refused `line`, with a place.
std::string explain_refusal(std::string_view line) {
  nlohmann::ordered_json object;
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
  return object.is_object() ? "not usable JSON" : "a JSON object was expected";
}

// Hands out the members of an object as they are written, one after the other. Requires valid JSON.
class MemberReader {
 public:
  explicit MemberReader(std::string_view json) : json_(json), at_(json.find('{') + 1) {}

  /// Appends `"key":value` without the blanks between its parts.
  void append_next(std::string& fields) {
    if (!fields.empty()) fields.push_back(',');
    walk([&](std::string_view part) { fields.append(part); });
  }
  void skip_next() {
    walk([](std::string_view) {});
  }

 private:
  void walk(auto&& take) {
    for (int depth = 0; at_ < json_.size();) {
      const size_t begin = at_;
      const char c = json_[at_];
      at_ = c == '"' ? end_of_string(json_, at_) : at_ + 1;
      depth += c == '{' || c == '[' ? 1 : 0;
      depth -= c == '}' || c == ']' ? 1 : 0;
      if (depth < 0 || (depth == 0 && c == ',')) return;
      if (!is_json_space(c)) take(json_.substr(begin, at_ - begin));
    }
  }

  std::string_view json_;
  size_t at_;
};

bool is_written_by_cleaner(std::string_view key) {
  return key == "text" || key == "source" || key == "language";
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
  std::string line, line_without_numbers;
  std::vector<std::string> texts;
  std::vector<bool> is_found;

  // The object in `line`; of numbers that no machine number holds only the place.
  simdjson::error_code parse(std::string_view line_to_parse, simdjson::dom::object& object) {
    const auto error = simd.parse(line_to_parse.data(), line_to_parse.size()).get(object);
    if (error != simdjson::NUMBER_ERROR) return error;
    line_without_numbers = without_numbers(line_to_parse);
    return simd.parse(line_without_numbers.data(), line_without_numbers.size()).get(object);
  }

  // Of keys that come more than once the last one holds. The output has its own text, source and language.
  void take(const simdjson::dom::key_value_pair& field, const std::vector<std::string>& names,
            bool keep_fields, MemberReader& members, Document& document) {
    std::string_view value;
    const bool is_string = field.value.get(value) == simdjson::SUCCESS;
    const auto name = std::find(names.begin(), names.end(), field.key);
    if (name == names.end() && keep_fields && !is_written_by_cleaner(field.key))
      return members.append_next(document.fields);
    members.skip_next();
    if (name != names.end()) {
      const auto i = static_cast<size_t>(name - names.begin());
      is_found[i] = is_string;
      texts[i].assign(value);
    } else if (field.key == "source") {
      document.source.assign(value);
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
  if (s.parse(line, object) != simdjson::SUCCESS) return explain_refusal(without_numbers(line));
  MemberReader members(line);
  for (const auto field : object) s.take(field, names, keep_fields, members, document);
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
