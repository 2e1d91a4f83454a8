#include "data/tokenizer/presets.h"

#include <fmt/format.h>

#include "core/error.h"
#include "data/tokenizer/piece_scanner.h"

namespace athanor::data::tokenizer {
namespace {

struct Preset {
  std::string_view name;
  ScannerKind scanner;
};

constexpr Preset kPresets[] = {
    {"deepseek", ScannerKind::kDeepseek3}, {"gpt2", ScannerKind::kGpt2},   {"gpt4", ScannerKind::kGpt4},
    {"llama3", ScannerKind::kGpt4},        {"qwen2", ScannerKind::kQwen2},
};

}  // namespace

std::vector<std::string_view> preset_names() {
  std::vector<std::string_view> names;
  for (const auto& preset : kPresets) names.push_back(preset.name);
  return names;
}

std::vector<std::string> preset_patterns(std::string_view name) {
  for (const auto& preset : kPresets) {
    if (preset.name != name) continue;
    const auto patterns = patterns_of(preset.scanner);
    return {patterns.begin(), patterns.end()};
  }
  std::string known;
  for (const auto preset : preset_names()) known += (known.empty() ? "" : ", ") + std::string(preset);
  throw core::UsageError("expected a splitting rule ({}), found \"{}\"", known, name);
}

Json byte_level_pre_tokenizer(const std::vector<std::string>& patterns) {
  Json steps = Json::array();
  for (const auto& pattern : patterns)
    steps.push_back(
        {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}});
  steps.push_back(
      {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}});
  return {{"type", "Sequence"}, {"pretokenizers", steps}};
}

}  // namespace athanor::data::tokenizer
