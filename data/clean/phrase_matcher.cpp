#include "data/clean/phrase_matcher.h"

#include <queue>

#include "core/error.h"
#include "data/text/ascii.h"

namespace athanor::clean {
namespace {
constexpr int kNoKind = -1;
}  // namespace

PhraseMatcher::PhraseMatcher(const std::vector<Phrase>& phrases) {
  const auto add_state = [&] {
    next_.resize(next_.size() + 256, 0);
    kind_.push_back(kNoKind);
    return kind_.size() - 1;
  };
  add_state();
  for (const Phrase& phrase : phrases) {
    size_t state = 0;
    for (char c : phrase.text) {
      const size_t cell = state * 256 + static_cast<uint8_t>(text::to_ascii_lower(c));
      if (next_[cell] == 0) {
        const size_t added = add_state();
        ATHANOR_CHECK(added <= UINT16_MAX, "{} phrases are too many", phrases.size());
        next_[cell] = static_cast<uint16_t>(added);
      }
      state = next_[cell];
    }
    ATHANOR_CHECK(state != 0, "an empty phrase");
    kind_[state] = phrase.kind;
  }

  // Breadth first: where a state has no successor, it takes that of its longest proper suffix.
  std::vector<uint16_t> suffix(kind_.size(), 0);
  shorter_.assign(kind_.size(), 0);
  last_.assign(kind_.size(), 0);
  std::queue<uint16_t> states;
  states.push(0);
  while (!states.empty()) {
    const size_t state = states.front();
    states.pop();
    if (state != 0)
      shorter_[state] = kind_[suffix[state]] != kNoKind ? suffix[state] : shorter_[suffix[state]];
    last_[state] = kind_[state] != kNoKind ? 1 : 0;
    for (size_t byte = 0; byte < 256; ++byte) {
      uint16_t& child = next_[state * 256 + byte];
      const uint16_t fallback = state == 0 ? uint16_t{0} : next_[suffix[state] * size_t{256} + byte];
      if (child == 0) {
        child = fallback;
      } else {
        suffix[child] = fallback;
        states.push(child);
      }
    }
  }
  // A state that ends no phrase itself but has a suffix that does takes over the suffix's chain.
  for (size_t state = 1; state < kind_.size(); ++state) {
    if (last_[state] != 0 || shorter_[state] == 0) continue;
    last_[state] = 1;
    kind_[state] = kind_[shorter_[state]];
    shorter_[state] = shorter_[shorter_[state]];
  }
  for (size_t state = 0; state < kind_.size(); ++state)
    for (char upper = 'A'; upper <= 'Z'; ++upper)
      next_[state * 256 + static_cast<size_t>(upper)] =
          next_[state * 256 + static_cast<size_t>(text::to_ascii_lower(upper))];
}

}  // namespace athanor::clean
