// Rules for source code: shape (as in NeMo Curator's and the StarCoder heuristics) and whether what must
// close closes.
#pragma once

#include <string_view>

#include "configs/clean_config.h"
#include "data/clean/quality_rules.h"
#include "data/clean/rules.h"

namespace athanor::clean {

Verdict judge_code(const Analysis& analysis, const configs::CleanCodeRules& limits);

/// True when the text reads as Python rather than as a language with braces.
bool looks_like_python(std::string_view code);

/// The line (from 1) where brackets, quotes, comments or Python's indentation go wrong; 0 when all is well.
/// Knows strings, comments and escapes of Python and of the C family, not their grammar.
size_t first_unbalanced_line(std::string_view code);

}  // namespace athanor::clean
