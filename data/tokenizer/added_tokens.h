// Finds added tokens in a text: the longest one at the leftmost place, again and again.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "data/tokenizer/tokenizer_file.h"

namespace athanor::data::tokenizer {

/// A part of a text: an added token, or the text between two.
struct AddedTokenSplit {
  std::string_view text;
  std::optional<uint32_t> id;  ///< none: ordinary text
};

/// A byte trie over token texts. Memory is proportional to their total size. Immutable, thread-safe.
class AddedTokenMatcher {
 public:
  /// `patterns[i]` is the text by which `tokens[i]` is found (the normalized form, for some); empty ones
  /// never match.
  AddedTokenMatcher(std::vector<AddedToken> tokens, const std::vector<std::string>& patterns);
  AddedTokenMatcher() : AddedTokenMatcher({}, {}) {}

  bool empty() const { return tokens_.empty(); }
  /// The parts of `text` in order, honouring single_word, lstrip and rstrip; none for an empty text.
  std::vector<AddedTokenSplit> split(std::string_view text) const;

 private:
  struct Node {
    uint32_t first_child = 0, next_sibling = 0;  ///< 0: none
    int32_t token = -1;                          ///< index of the token that ends here
    unsigned char byte = 0;
  };
  struct Match {
    size_t begin, end;
    const AddedToken* token;
  };
  uint32_t child(uint32_t node, unsigned char byte) const;
  void insert(std::string_view pattern, int32_t token);
  std::optional<Match> find(std::string_view text, size_t from) const;

  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_;
  std::array<bool, 256> can_start_{};
};

}  // namespace athanor::data::tokenizer
