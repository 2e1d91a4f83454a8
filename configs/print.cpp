#include "configs/print.h"

#include <algorithm>
#include <cctype>

#include <fmt/core.h>
#include <fmt/format.h>

#include "configs/scalar.h"

namespace athanor::configs {

namespace {

// Letters that start a word which some YAML reader takes for a boolean, a null or a number do not matter to
// us, but the file should mean the same to every tool.
bool is_special_word(const std::string& text) {
  static const char* const kWords[] = {"true", "false", "yes", "no",  "on", "off",
                                       "null", "y",     "n",   "inf", "nan"};
  std::string lower = text;
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  return std::any_of(std::begin(kWords), std::end(kWords), [&](const char* word) { return lower == word; });
}

bool is_plain(const std::string& text) {
  if (text.empty() || is_special_word(text)) return false;
  const auto is_harmless = [](unsigned char c) {
    return std::isalnum(c) || c == '_' || c == '/' || c == '.' || c == '-';
  };
  const unsigned char first = text.front();
  const bool starts_as_word = std::isalpha(first) || first == '/' || first == '_';
  return starts_as_word && std::all_of(text.begin(), text.end(), is_harmless);
}

std::string escaped(unsigned char c) {
  if (c == '"' || c == '\\') return {'\\', static_cast<char>(c)};
  if (c < 0x20 || c == 0x7f) return fmt::format("\\x{:02x}", c);
  return {static_cast<char>(c)};
}

struct PrintValue {
  const Option& option;

  std::string operator()(const bool* value) const { return *value ? "true" : "false"; }
  std::string operator()(const int64_t* value) const {
    const bool is_word = *value == 0 && !option.word_for_zero.empty();
    return is_word ? option.word_for_zero : fmt::format("{}", *value);
  }
  std::string operator()(const double* value) const { return print_number(*value); }
  std::string operator()(const std::string* value) const { return print_text(*value); }
  template <typename T>
  std::string operator()(const std::optional<T>* value) const {
    return *value ? (*this)(&**value) : "null";
  }
  template <typename T>
  std::string operator()(const std::vector<T>* values) const {
    std::vector<std::string> texts;
    for (const auto& element : *values) {
      const T& value = element;  // vector<bool> holds no bools to point at
      texts.push_back((*this)(&value));
    }
    return fmt::format("[{}]", fmt::join(texts, ", "));
  }
  std::string operator()(const Fields&) const { return "{}"; }
  std::string operator()(const SectionList&) const { return "[]"; }
};

}  // namespace

std::string print_value(const Field& field) {
  return std::visit(PrintValue{field.option}, field.value);
}

std::string print_text(const std::string& text) {
  if (is_plain(text)) return text;
  std::string quoted_text = "\"";
  for (const unsigned char c : text) quoted_text += escaped(c);
  return quoted_text + "\"";
}

}  // namespace athanor::configs
