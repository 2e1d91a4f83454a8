// nlohmann/json.hpp, whose classes are compiled once (json.cpp) instead of in every file that includes it.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

extern template class nlohmann::basic_json<>;
extern template class nlohmann::basic_json<nlohmann::ordered_map>;

namespace athanor::core {

/// What the library says is wrong, for a message that already says in which line of which file: "column 12:
/// syntax error …", without the library's own name for the error, and with a long text cut where it quotes
/// one. Beyond the first line of what was parsed, "line 3, column 12: …".
std::string json_problem(const nlohmann::json::exception& error);

}  // namespace athanor::core
