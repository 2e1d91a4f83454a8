#include "data/tokenizer/normalizer.h"

#include <cstdlib>
#include <memory>
#include <utf8proc.h>

#include "core/error.h"
#include "data/tokenizer/byte_alphabet.h"
#include "data/tokenizer/pre_tokenizer.h"
#include "data/tokenizer/unicode_class.h"
#include "data/tokenizer/utf8.h"

namespace athanor::data::tokenizer {
namespace {

std::string unicode_form(const std::string& text, int options) {
  utf8proc_uint8_t* mapped = nullptr;
  const auto length = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                   static_cast<utf8proc_ssize_t>(text.size()), &mapped,
                                   static_cast<utf8proc_option_t>(options));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(mapped, &std::free);
  if (length < 0) throw core::DataError("Unicode normalization failed: {}", utf8proc_errmsg(length));
  return {reinterpret_cast<const char*>(mapped), static_cast<size_t>(length)};
}

// Character by character, without context: a capital sigma never becomes a final one.
std::string lowercase(const std::string& text) {
  constexpr uint32_t kCapitalIWithDot = 0x130;
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = decode_code_point(text.data() + at);
    if (c.value == kCapitalIWithDot)
      out += "i\xCC\x87";
    else
      append_code_point(out, static_cast<uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c.value))));
    at += c.num_bytes;
  }
  return out;
}

bool is_whitespace_at(const std::string& text, size_t at) {
  return unicode_classes()[decode_code_point(text.data() + at).value] & kWhitespace;
}

std::string strip(const std::string& text, bool left, bool right) {
  size_t begin = 0, end = text.size();
  while (left && begin < end && is_whitespace_at(text, begin))
    begin += decode_code_point(text.data() + begin).num_bytes;
  while (right && end > begin) {
    size_t last = end - 1;
    while (is_continuation_byte(text[last])) --last;
    if (!is_whitespace_at(text, last)) break;
    end = last;
  }
  return text.substr(begin, end - begin);
}

}  // namespace

Normalizer::Normalizer(const JsonCursor& json) {
  add(json);
}

void Normalizer::add(const JsonCursor& json) {
  const std::string type = json.type();
  const auto unicode_step = [&](int options) {
    steps_.push_back([options](std::string text) { return unicode_form(text, options | UTF8PROC_STABLE); });
  };
  if (type == "Sequence") {
    for (const auto& step : json.member("normalizers").elements()) add(step);
  } else if (type == "Prepend") {
    steps_.push_back([prefix = json.member("prepend").as_string()](std::string text) {
      return text.empty() ? text : prefix + text;
    });
  } else if (type == "Replace") {
    steps_.push_back([pattern = read_pattern(json.member("pattern")),
                      content = json.member("content").as_string()](const std::string& text) {
      return pattern.replace_all(text, content);
    });
  } else if (type == "NFC") {
    unicode_step(UTF8PROC_COMPOSE);
  } else if (type == "NFD") {
    unicode_step(UTF8PROC_DECOMPOSE);
  } else if (type == "NFKC") {
    unicode_step(UTF8PROC_COMPOSE | UTF8PROC_COMPAT);
  } else if (type == "NFKD") {
    unicode_step(UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT);
  } else if (type == "Lowercase") {
    steps_.push_back(lowercase);
  } else if (type == "Strip") {
    steps_.push_back([left = json.member("strip_left").as_bool(),
                      right = json.member("strip_right").as_bool()](const std::string& text) {
      return strip(text, left, right);
    });
  } else if (type == "ByteLevel") {
    steps_.push_back([](const std::string& text) { return to_byte_symbols(text); });
  } else {
    json.member("type").fail(
        "a normalizer (Sequence, Prepend, Replace, NFC, NFD, NFKC, NFKD, Lowercase, Strip, ByteLevel)");
  }
}

std::string Normalizer::normalize(std::string text) const {
  for (const auto& step : steps_) text = step(std::move(text));
  return text;
}

}  // namespace athanor::data::tokenizer
