#include "data/clean/repetition.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace athanor::clean {
namespace {

constexpr uint64_t kSequenceBase = 0x9FB21C651E98DF25;  // odd: multiplication by it is a bijection

uint64_t mix(uint64_t x) {
  x ^= x >> 33;
  x *= 0xFF51AFD7ED558CCD;
  return x ^ x >> 33;
}

double share(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
}

uint64_t power_of_base(size_t exponent) {
  uint64_t power = 1;
  for (size_t i = 0; i < exponent; ++i) power *= kSequenceBase;
  return power;
}

}  // namespace

void HashCounter::reset(size_t num_keys) {
  const size_t wanted = std::bit_ceil(std::max<size_t>(64, num_keys * 2));
  const bool is_far_too_large = slots_.size() > wanted * 64;
  if (slots_.size() < wanted || is_far_too_large || ++generation_ == 0) {
    slots_.assign(std::max(wanted, is_far_too_large ? wanted : slots_.size()), {});
    generation_ = 1;
  }
  mask_ = wanted - 1;
}

uint32_t HashCounter::add(uint64_t key) {
  for (size_t at = mix(key) & mask_;; at = (at + 1) & mask_) {
    Slot& slot = slots_[at];
    if (slot.generation != generation_) {
      slot = {key, generation_, 1};
      return 0;
    }
    if (slot.key == key) return slot.count++;
  }
}

DuplicateShare duplicate_lines(const Lines& lines, RepetitionScratch& scratch) {
  scratch.counter.reset(lines.all.size());
  uint64_t num_items = 0, num_chars = 0;
  for (const LineFacts& line : lines.all) {
    if (scratch.counter.add(line.hash) == 0) continue;
    ++num_items;
    num_chars += line.num_chars;
  }
  return {share(num_items, lines.all.size()), share(num_chars, lines.num_chars)};
}

DuplicateShare duplicate_paragraphs(const Lines& lines, RepetitionScratch& scratch) {
  scratch.counter.reset(lines.all.size());
  uint64_t num_paragraphs = 0, num_items = 0, duplicate_chars = 0, hash = 0, num_chars = 0;
  const auto close = [&] {
    if (num_chars == 0) return;
    ++num_paragraphs;
    if (scratch.counter.add(hash) == 0) return;
    ++num_items;
    duplicate_chars += num_chars;
  };
  for (const LineFacts& line : lines.all) {
    if (line.follows_blank) {
      close();
      hash = num_chars = 0;
    }
    hash = mix(hash ^ line.hash) * kSequenceBase;
    num_chars += line.num_chars;
  }
  close();
  return {share(num_items, num_paragraphs), share(duplicate_chars, lines.num_chars)};
}

Ngrams::Ngrams(const Units& units, RepetitionScratch& scratch) : units_(units), scratch_(scratch) {
  auto& prefix = scratch.prefix_hash;
  prefix.resize(units.all.size() + 1);
  prefix[0] = 0;
  for (size_t i = 0; i < units.all.size(); ++i) prefix[i + 1] = prefix[i] * kSequenceBase + units.all[i].hash;
}

size_t Ngrams::num_windows(size_t width) const {
  return units_.all.size() < width ? 0 : units_.all.size() - width + 1;
}

uint64_t Ngrams::hash(size_t begin, size_t width, uint64_t power) const {
  return scratch_.prefix_hash[begin + width] - scratch_.prefix_hash[begin] * power;
}

uint32_t Ngrams::num_chars(size_t begin, size_t width) const {
  return units_.all[begin + width - 1].end_char - units_.all[begin].begin_char;
}

double Ngrams::top_share(size_t width) {
  const size_t num = num_windows(width);
  const uint64_t power = power_of_base(width);
  scratch_.counter.reset(num);
  uint64_t most = 0, most_chars = 0;
  for (size_t i = 0; i < num; ++i) {
    const uint64_t count = scratch_.counter.add(hash(i, width, power)) + uint64_t{1};
    if (count <= most) continue;
    most = count;
    most_chars = num_chars(i, width);
  }
  return share(most * most_chars, units_.num_chars);
}

double Ngrams::duplicate_share(size_t width) {
  const size_t num = num_windows(width);
  const uint64_t power = power_of_base(width);
  scratch_.counter.reset(num);
  uint64_t chars = 0;
  for (size_t i = 0; i < num;) {
    const bool was_seen = scratch_.counter.add(hash(i, width, power)) > 0;
    if (was_seen) chars += num_chars(i, width);
    i += was_seen ? width : 1;
  }
  return share(chars, units_.num_chars);
}

double Ngrams::repeated_windows(size_t width) {
  const size_t num = num_windows(width);
  const uint64_t power = power_of_base(width);
  scratch_.counter.reset(num);
  uint64_t repeated = 0;
  for (size_t i = 0; i < num; ++i) repeated += scratch_.counter.add(hash(i, width, power)) > 0;
  return share(repeated, num);
}

size_t window_width(size_t n, bool is_chinese) {
  return is_chinese ? static_cast<size_t>(std::lround(kHanPerWord * static_cast<double>(n))) : n;
}

}  // namespace athanor::clean
