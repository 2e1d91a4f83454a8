#include "data/clean/document_cleaner.h"

#include <algorithm>
#include <xxhash.h>

#include "data/clean/boilerplate.h"
#include "data/clean/code_rules.h"
#include "data/clean/markup.h"
#include "data/clean/mojibake.h"
#include "data/clean/normalise.h"
#include "data/clean/privacy.h"

namespace athanor::clean {
namespace {

bool is_code(std::string_view text, const configs::CleanConfig& config) {
  Lines lines;
  if (config.language.code == "never") return false;
  cut_into_lines(text, lines);
  return looks_like_code(text, lines);
}

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\n") == std::string_view::npos;
}

std::array<uint64_t, 2> digest_of(std::string_view text) {
  const XXH128_hash_t hash = XXH3_128bits(text.data(), text.size());
  return {hash.high64, hash.low64};
}

}  // namespace

void DocumentCleaner::Scratch::shrink() {
  constexpr size_t kManyUnits = size_t{1} << 20;
  if (analysis.units.all.capacity() > kManyUnits) *this = {};
}

DocumentCleaner::DocumentCleaner(const configs::CleanConfig& config)
    : config_(config),
      english_(config.english_rules, false),
      chinese_(config.chinese_rules, true),
      other_(config.other_rules, false),
      min_hasher_(config.duplicates) {}

void DocumentCleaner::clean(text::Document& document, size_t num_replaced, Scratch& scratch,
                            CleanedDocument& result) const {
  result = {};
  std::string& text = document.text;
  result.bytes_before = text.size();
  result.edits[static_cast<size_t>(Edit::kEncodingRepaired)] = num_replaced > 0;
  if (num_replaced > 0 && config_.invalid_text == "drop")
    result.violation = Violation{Rule::kInvalidText, static_cast<double>(num_replaced), 0};
  if (!result.violation) edit(text, result);
  result.bytes_after = text.size();
  if (result.violation) return;

  scratch.analysis.analyse(text);
  result.violation = judge(scratch.analysis, result);
  if (!result.violation) {
    result.digest = digest_of(text);
    min_hasher_.sign(text, scratch.analysis.units, result.language, scratch.minhash, result.signature);
  }
  scratch.shrink();
}

void DocumentCleaner::edit(std::string& text, CleanedDocument& result) const {
  const auto note = [&](Edit edit, bool happened) { result.edits[static_cast<size_t>(edit)] |= happened; };
  if (config_.normalise.repair_mojibake) note(Edit::kMojibakeRepaired, repair_mojibake(text));
  note(Edit::kNormalised, normalise(config_.normalise, text));
  const bool has_code = is_code(text, config_);
  if (!has_code) edit_prose(text, result);
  if (!result.violation && (!has_code || config_.privacy.mask_in_code)) mask(text, result);
  if (result.violation) return;
  if (is_blank(text))
    result.violation = Violation{Rule::kEmpty};
  else if (is_mojibake(text, config_.max_replaced_share))
    result.violation = Violation{Rule::kMojibake};
}

void DocumentCleaner::edit_prose(std::string& text, CleanedDocument& result) const {
  const configs::CleanBoilerplate& options = config_.boilerplate;
  const auto note = [&](Edit edit, bool happened) { result.edits[static_cast<size_t>(edit)] |= happened; };
  bool is_edited = options.html && remove_html(text);
  note(Edit::kHtmlRemoved, is_edited);
  if (options.gutenberg && remove_gutenberg(text)) {
    note(Edit::kGutenbergRemoved, true);
    is_edited = true;
  }
  if (options.policy_lines && remove_policy_lines(text).num_lines > 0) {
    note(Edit::kPolicyLines, true);
    is_edited = true;
  }
  if (options.advertisement_lines) {
    const LineRemoval removal = remove_advertisement_lines(text);
    note(Edit::kAdvertisementLines, removal.num_lines > 0);
    is_edited |= removal.num_lines > 0;
    if (options.max_advertisement_share && removal.share > *options.max_advertisement_share)
      result.violation = Violation{Rule::kAdvertisement, removal.share, *options.max_advertisement_share};
  }
  if (is_edited) normalise(config_.normalise, text);
}

void DocumentCleaner::mask(std::string& text, CleanedDocument& result) const {
  const PrivacyCounts counts = mask_personal_data(config_.privacy, text);
  const auto note = [&](Edit edit, size_t count) { result.edits[static_cast<size_t>(edit)] = count > 0; };
  note(Edit::kEmail, counts.emails);
  note(Edit::kIpAddress, counts.ip_addresses);
  note(Edit::kMobileNumber, counts.mobile_numbers);
  note(Edit::kIdCard, counts.id_cards);
  note(Edit::kBankCard, counts.bank_cards);
}

Verdict DocumentCleaner::judge(Analysis& analysis, CleanedDocument& result) const {
  const bool has_code = config_.language.code == "detect" && looks_like_code(analysis.text, analysis.lines);
  result.language = has_code ? Language::kCode : detect_language(analysis.units, config_.language.min_share);
  if (!is_wanted(result.language)) return Violation{Rule::kLanguage};
  if (has_code) return judge_code(analysis, config_.code_rules);
  const bool is_math = !config_.judge_math && looks_like_math(analysis.text, analysis.units);
  return rules_of(result.language).judge(analysis, is_math);
}

const ProseRules& DocumentCleaner::rules_of(Language language) const {
  if (language == Language::kChinese) return chinese_;
  return language == Language::kEnglish ? english_ : other_;
}

bool DocumentCleaner::is_wanted(Language language) const {
  const auto& keep = config_.language.keep;
  return keep.empty() || std::find(keep.begin(), keep.end(), language_name(language)) != keep.end();
}

}  // namespace athanor::clean
