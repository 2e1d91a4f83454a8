// nlohmann/json.hpp, whose classes are compiled once (json.cpp) instead of in every file that includes it.
#pragma once

#include <nlohmann/json.hpp>

extern template class nlohmann::basic_json<>;
extern template class nlohmann::basic_json<nlohmann::ordered_map>;
