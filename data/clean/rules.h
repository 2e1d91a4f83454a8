// Everything that can drop a document, in the order of the funnel, and everything that can edit one.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace athanor::clean {

enum class Rule : uint8_t {
  // reading
  kOverlongRecord,
  kInvalidRecord,
  kInvalidText,
  // after the edits
  kEmpty,
  kMojibake,
  kAdvertisement,
  kLanguage,
  // Gopher quality
  kMinWords,
  kMaxWords,
  kMinChars,
  kMinMeanWordLength,
  kMaxMeanWordLength,
  kHashes,
  kEllipses,
  kBulletLines,
  kEllipsisLines,
  kMinAlphaWords,
  kMinStopWords,
  // Gopher repetition
  kDuplicateParagraphs,
  kDuplicateParagraphChars,
  kDuplicateLines,
  kDuplicateLineChars,
  kTop2Gram,
  kTop3Gram,
  kTop4Gram,
  kDuplicate5Gram,
  kDuplicate6Gram,
  kDuplicate7Gram,
  kDuplicate8Gram,
  kDuplicate9Gram,
  kDuplicate10Gram,
  // FineWeb
  kLineEndPunctuation,
  kShortLines,
  kRepeatedLineChars,
  kNewlines,
  // C4
  kSentences,
  kCurlyBracket,
  kLoremIpsum,
  // EvalWeb
  kMeanLineChars,
  kHanShare,
  kRepeated13Grams,
  kTraditional,
  // code
  kCodeMinLines,
  kCodeMaxLines,
  kCodeAlpha,
  kCodeLineLength,
  kCodeDuplicateLines,
  kCodeComments,
  kCodeUnbalanced,
  // duplicates
  kExactDuplicate,
  kNearDuplicate,
  kCount,
};
inline constexpr int kNumRules = static_cast<int>(Rule::kCount);

/// "gopher.min_words" and the like: how reports name the rule.
std::string_view rule_name(Rule rule);

enum class Edit : uint8_t {
  kEncodingRepaired,
  kMojibakeRepaired,
  kNormalised,
  kHtmlRemoved,
  kGutenbergRemoved,
  kAdvertisementLines,
  kPolicyLines,
  kEmail,
  kIpAddress,
  kMobileNumber,
  kIdCard,
  kBankCard,
  kCount,
};
inline constexpr int kNumEdits = static_cast<int>(Edit::kCount);

std::string_view edit_name(Edit edit);

/// The rule that a document breaks, the quantity found and the limit it passed.
struct Violation {
  Rule rule;
  double value = 0;
  double limit = 0;
};
using Verdict = std::optional<Violation>;

}  // namespace athanor::clean
