// Small tokenizer.json documents for the tokenizer tests.
#pragma once

#include <string>
#include <vector>

#include "core/json.h"
#include "data/tokenizer/byte_alphabet.h"

namespace athanor::data::tokenizer {

using TinyJson = nlohmann::ordered_json;

inline constexpr const char* kTinyAddedTokens =
    R"([{"id": 259, "content": "<end>", "special": true, "normalized": false}])";
inline constexpr const char* kTinyMerges = R"([["a", "b"], ["ab", "c"], ["\u0120", "a"]])";

/// Byte-level: ids 0 to 255 are the bytes, then "ab", "abc", " a" (as symbols), then the added token "<end>".
inline TinyJson tiny_byte_level() {
  TinyJson vocab = TinyJson::object();
  for (int byte = 0; byte < 256; ++byte) vocab[std::string(byte_symbol(static_cast<uint8_t>(byte)))] = byte;
  vocab["ab"] = 256;
  vocab["abc"] = 257;
  vocab[to_byte_symbols(" a")] = 258;
  const auto byte_level = TinyJson{
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", TinyJson::parse(kTinyAddedTokens)},
          {"normalizer", nullptr},
          {"pre_tokenizer", byte_level},
          {"post_processor", nullptr},
          {"decoder", byte_level},
          {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", TinyJson::parse(kTinyMerges)}}}};
}

/// Characters: ids of the given tokens in order, with these merges, no other component.
inline TinyJson tiny_characters(const std::vector<std::string>& tokens,
                                const std::vector<std::pair<std::string, std::string>>& merges) {
  TinyJson vocab = TinyJson::object();
  for (const auto& token : tokens) vocab[token] = vocab.size();
  TinyJson pairs = TinyJson::array();
  for (const auto& [left, right] : merges) pairs.push_back(TinyJson::array({left, right}));
  return {{"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", pairs}}}};
}

}  // namespace athanor::data::tokenizer
