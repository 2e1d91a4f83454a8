#include "data/clean/minhash.h"

#include <algorithm>
#include <xxhash.h>

#include "core/rng.h"
#include "data/clean/minhash_kernel.h"
#include "data/text/ascii.h"
#include "data/text/utf8.h"

namespace athanor::clean {
namespace {

constexpr size_t kLanes = 16;
constexpr uint64_t kRollingBase = 0xC2B2AE3D27D4EB4F;

uint32_t shingle_hash(uint64_t rolling) {
  rolling ^= rolling >> 31;
  rolling *= 0x9FB21C651E98DF25;
  return static_cast<uint32_t>(rolling >> 32);
}

bool is_written_without_blanks(Language language) {
  return language == Language::kChinese || language == Language::kJapanese;
}

// A number with its digits made equal: its length and the places of other characters remain.
uint64_t hash_without_digits(std::string_view text, const Unit& unit) {
  std::string masked(text.substr(unit.begin_byte, unit.end_char - unit.begin_char));
  for (char& c : masked)
    if (text::is_ascii_digit(c)) c = '0';
  return hash_word(masked);
}

}  // namespace

MinHasher::MinHasher(const configs::CleanDuplicates& options)
    : options_(options), num_hashes_(static_cast<size_t>(options.bands * options.rows)) {
  const core::CounterRng rng(static_cast<uint64_t>(options.seed), "clean/minhash");
  const size_t padded = (num_hashes_ + kLanes - 1) / kLanes * kLanes;
  for (size_t i = 0; i < padded; ++i) {
    const uint64_t bits = rng.bits(i);
    multipliers_.push_back(static_cast<uint32_t>(bits) | 1);  // odd: a permutation of the 32-bit numbers
    addends_.push_back(static_cast<uint32_t>(bits >> 32));
  }
}

void MinHasher::minima(std::span<const uint32_t> shingles, std::vector<uint32_t>& minima) const {
  minima.resize(multipliers_.size());
  min_hash_kernel(shingles, multipliers_, addends_, minima);
}

void MinHasher::sign(std::string_view text, const Units& units, Language language, Scratch& scratch,
                     Signature& signature) const {
  collect_units(text, units, language, scratch.units);
  make_shingles(scratch);
  minima(scratch.shingles, scratch.minima);
  const auto rows = static_cast<size_t>(options_.rows);
  signature.bands.resize(static_cast<size_t>(options_.bands));
  for (size_t band = 0; band < signature.bands.size(); ++band)
    signature.bands[band] = XXH3_64bits_withSeed(&scratch.minima[band * rows], rows * sizeof(uint32_t), band);
  signature.sketch.resize(num_hashes_);
  std::transform(scratch.minima.begin(), scratch.minima.begin() + static_cast<ptrdiff_t>(num_hashes_),
                 signature.sketch.begin(), [](uint32_t minimum) { return static_cast<uint8_t>(minimum); });
}

// Symbols are left out. In "phrase" mode the characters between two symbols are one unit. Code keeps its
// symbols: its words alone are few and shared.
void MinHasher::collect_units(std::string_view text, const Units& units, Language language,
                              std::vector<uint64_t>& out) const {
  out.clear();
  const bool joins = is_written_without_blanks(language) && options_.chinese_unit == "phrase";
  uint64_t phrase = 0;
  const auto close = [&] {
    if (phrase != 0) out.push_back(phrase);
    phrase = 0;
  };
  for (const Unit& unit : units.all) {
    const bool is_symbol = unit.kind == UnitKind::kSymbol;
    if (joins && is_symbol) close();
    if (is_symbol && language != Language::kCode) continue;
    const auto bytes = text.substr(unit.begin_byte, unit.end_char - unit.begin_char);
    const bool is_masked = options_.mask_digits && unit.kind == UnitKind::kNumber && text::is_ascii(bytes);
    const uint64_t hash = is_masked ? hash_without_digits(text, unit) : unit.hash;
    if (joins)
      phrase = phrase * kRollingBase + hash;
    else
      out.push_back(hash);
  }
  close();
}

void MinHasher::make_shingles(Scratch& scratch) const {
  const auto& units = scratch.units;
  scratch.shingles.clear();
  if (units.empty()) return;
  const size_t width = std::min(static_cast<size_t>(options_.ngram), units.size());
  uint64_t power = 1, rolling = 0;
  for (size_t i = 0; i < width; ++i) power *= kRollingBase;
  scratch.shingles.reserve(units.size());
  for (size_t i = 0; i < units.size(); ++i) {
    rolling = rolling * kRollingBase + units[i] - (i >= width ? units[i - width] * power : 0);
    if (i + 1 >= width) scratch.shingles.push_back(shingle_hash(rolling));
  }
}

double estimate_similarity(std::span<const uint8_t> a, std::span<const uint8_t> b) {
  size_t num_equal = 0;
  for (size_t i = 0; i < a.size(); ++i) num_equal += a[i] == b[i];
  const double share = static_cast<double>(num_equal) / static_cast<double>(std::max<size_t>(1, a.size()));
  constexpr double kChance = 1.0 / 256;  // two different minima have the same byte
  return std::max(0.0, (share - kChance) / (1 - kChance));
}

}  // namespace athanor::clean
