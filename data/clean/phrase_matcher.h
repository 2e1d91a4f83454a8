// Finds any of many phrases in one pass over a text (Aho and Corasick, 1975). ASCII letters match in either
// case.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace athanor::clean {

struct Phrase {
  std::string_view text;
  int kind;
};

class PhraseMatcher {
 public:
  /// Requires phrases that are not empty; at most 65,535 bytes in all.
  explicit PhraseMatcher(const std::vector<Phrase>& phrases);

  /// Calls `found(kind, end)` for every occurrence, in order of its end (the byte after it).
  template <typename Found>
  void scan(std::string_view text, Found&& found) const {
    uint32_t state = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      state = next_[state * 256 + static_cast<uint8_t>(text[i])];
      for (uint32_t at = state; last_[at] != 0; at = shorter_[at]) found(kind_[at], i + 1);
    }
  }

 private:
  std::vector<uint16_t> next_;     ///< [state][byte]
  std::vector<uint16_t> shorter_;  ///< the longest proper suffix that ends a phrase, or 0
  std::vector<uint8_t> last_;      ///< 1 where a phrase ends or a suffix does
  std::vector<int> kind_;
};

}  // namespace athanor::clean
