// Patterns with `*` (any run of characters) and `?` (any one), for names that are not paths.
#pragma once

#include <string_view>

namespace athanor::core {

bool matches_glob(std::string_view pattern, std::string_view name);

}  // namespace athanor::core
