#include "data/tokenizer/decoder.h"

#include <limits>
#include <optional>

#include "data/tokenizer/byte_alphabet.h"
#include "data/tokenizer/pre_tokenizer.h"
#include "data/tokenizer/utf8.h"

namespace athanor::data::tokenizer {
namespace {

using Tokens = std::vector<std::string>;

std::string joined(const Tokens& tokens, std::string_view separator) {
  std::string text;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (i > 0) text += separator;
    text += tokens[i];
  }
  return text;
}

Tokens decode_byte_level(const Tokens& tokens) {
  std::string bytes;
  for (const auto& token : tokens) bytes += Decoder::token_bytes(token);
  return {to_valid_utf8(bytes)};
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

// The byte of a token "<0xNN>".
std::optional<char> fallback_byte(const std::string& token) {
  if (token.size() != 6 || token.compare(0, 3, "<0x") != 0 || token[5] != '>') return std::nullopt;
  // "+N" is a number for Rust's parser too.
  const int high = token[3] == '+' ? 0 : hex_digit(token[3]), low = hex_digit(token[4]);
  if (high < 0 || low < 0) return std::nullopt;
  return static_cast<char>(high << 4 | low);
}

// A run of byte tokens becomes its text, or one U+FFFD for each byte when it is not valid as a whole.
Tokens decode_byte_fallback(const Tokens& tokens) {
  Tokens out;
  std::string run;
  const auto flush = [&] {
    if (run.empty()) return;
    if (valid_utf8_prefix(run).num_bad_bytes == 0)
      out.push_back(run);
    else
      out.insert(out.end(), run.size(), std::string(kReplacementCharacter));
    run.clear();
  };
  for (const auto& token : tokens) {
    if (const auto byte = fallback_byte(token)) {
      run += *byte;
    } else {
      flush();
      out.push_back(token);
    }
  }
  flush();
  return out;
}

struct StripRule {
  std::string character;
  uint64_t start, stop;  ///< how many to remove at most on either side of each token
};

std::string stripped(std::string_view token, const StripRule& rule) {
  const size_t size = rule.character.size();
  for (uint64_t i = 0; i < rule.start && token.substr(0, size) == rule.character; ++i)
    token.remove_prefix(size);
  for (uint64_t i = 0;
       i < rule.stop && token.size() >= size && token.substr(token.size() - size) == rule.character; ++i)
    token.remove_suffix(size);
  return std::string(token);
}

// The replacement character becomes a blank, in the first token nothing if one was prepended.
std::string without_metaspace(const std::string& token, const std::string& replacement, bool drop) {
  std::string text;
  for (size_t at = 0; at < token.size();) {
    const size_t num_bytes = decode_code_point(token.data() + at).num_bytes;
    if (token.compare(at, num_bytes, replacement) != 0)
      text.append(token, at, num_bytes);
    else if (!drop)
      text += ' ';
    at += num_bytes;
  }
  return text;
}

std::string one_character(const JsonCursor& json) {
  std::string text;
  append_code_point(text, json.as_character());
  return text;
}

}  // namespace

Decoder::Decoder(const JsonCursor& json) {
  add(json);
  has_steps_ = true;
  is_byte_level_ = json.type() == "ByteLevel";
}

std::string Decoder::token_bytes(const std::string& token) {
  return from_byte_symbols(token).value_or(token);
}

void Decoder::add(const JsonCursor& json) {
  const std::string type = json.type();
  if (type == "Sequence") {
    for (const auto& step : json.member("decoders").elements()) add(step);
  } else if (type == "ByteLevel") {
    steps_.push_back(decode_byte_level);
  } else if (type == "ByteFallback") {
    steps_.push_back(decode_byte_fallback);
  } else if (type == "Fuse") {
    steps_.push_back([](const Tokens& tokens) { return Tokens{joined(tokens, "")}; });
  } else if (type == "Replace") {
    steps_.push_back([pattern = read_pattern(json.member("pattern")),
                      content = json.member("content").as_string()](Tokens tokens) {
      for (auto& token : tokens) token = pattern.replace_all(token, content);
      return tokens;
    });
  } else if (type == "Strip") {
    constexpr uint64_t kMax = std::numeric_limits<uint32_t>::max();
    const StripRule rule{one_character(json.member("content")), json.member("start").as_unsigned(kMax),
                         json.member("stop").as_unsigned(kMax)};
    steps_.push_back([rule](Tokens tokens) {
      for (auto& token : tokens) token = stripped(token, rule);
      return tokens;
    });
  } else if (type == "Metaspace") {
    const auto scheme = json.optional_member("prepend_scheme");
    const bool prepends =
        (!scheme || scheme->as_string() != "never") && json.bool_member("add_prefix_space", true);
    steps_.push_back([replacement = one_character(json.member("replacement")), prepends](Tokens tokens) {
      for (size_t i = 0; i < tokens.size(); ++i)
        tokens[i] = without_metaspace(tokens[i], replacement, i == 0 && prepends);
      return tokens;
    });
  } else {
    json.member("type").fail(
        "a decoder (Sequence, ByteLevel, Replace, ByteFallback, Fuse, Strip, Metaspace)");
  }
}

std::string Decoder::decode(std::vector<std::string> tokens) const {
  if (!has_steps_) return joined(tokens, " ");
  for (const auto& step : steps_) tokens = step(std::move(tokens));
  return joined(tokens, "");
}

}  // namespace athanor::data::tokenizer
