#include "data/tokenizer/unicode_class.h"

#include <algorithm>
#include <map>

namespace athanor::data::tokenizer {
namespace {

constexpr uint32_t kNumCodePoints = 0x110000;
constexpr ClassBits kL = kLetter, kM = kMark, kN = kNumber, kP = kPunctuation, kS = kSymbol;

struct ClassRange {
  uint32_t first, last;
  ClassBits bits;
};

constexpr ClassRange kCategories[] = {
#include "data/tokenizer/unicode_class_data.inc"
};

constexpr ClassRange kOthers[] = {
    {0x09, 0x0D, kWhitespace},      {0x20, 0x20, kWhitespace},      {0x85, 0x85, kWhitespace},
    {0xA0, 0xA0, kWhitespace},      {0x1680, 0x1680, kWhitespace},  {0x2000, 0x200A, kWhitespace},
    {0x2028, 0x2029, kWhitespace},  {0x202F, 0x202F, kWhitespace},  {0x205F, 0x205F, kWhitespace},
    {0x3000, 0x3000, kWhitespace},  {'\n', '\n', kNewline},         {'\r', '\r', kNewline},
    {0x4E00, 0x9FA5, kDeepseekCjk}, {0x3040, 0x30FF, kDeepseekCjk},
};

void mark(std::vector<ClassBits>& bits, const ClassRange& range) {
  for (uint32_t c = range.first; c <= range.last; ++c) bits[c] |= range.bits;
}

}  // namespace

UnicodeClassTable::UnicodeClassTable() {
  std::vector<ClassBits> flat(kNumCodePoints, 0);
  for (const auto& range : kCategories) mark(flat, range);
  for (const auto& range : kOthers) mark(flat, range);
  std::map<Block, uint16_t> known;
  for (uint32_t start = 0; start < kNumCodePoints; start += 1u << kBlockBits) {
    Block block;
    std::copy_n(flat.begin() + start, block.size(), block.begin());
    const auto [it, is_new] = known.emplace(block, static_cast<uint16_t>(blocks_.size()));
    if (is_new) blocks_.push_back(block);
    block_of_.push_back(it->second);
  }
}

const UnicodeClassTable& unicode_classes() {
  static const UnicodeClassTable table;
  return table;
}

}  // namespace athanor::data::tokenizer
