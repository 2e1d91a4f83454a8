// Splitting rules by name.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer/json_cursor.h"

namespace athanor::data::tokenizer {

/// deepseek (DeepSeek-V3), gpt2, gpt4 (cl100k), llama3, qwen2.
std::vector<std::string_view> preset_names();

/// The Split rules of a preset, as Oniguruma patterns applied one after the other. Throws UsageError for
/// another name.
std::vector<std::string> preset_patterns(std::string_view name);

/// A pre_tokenizer of these rules (Isolated) followed by ByteLevel.
Json byte_level_pre_tokenizer(const std::vector<std::string>& patterns);

}  // namespace athanor::data::tokenizer
