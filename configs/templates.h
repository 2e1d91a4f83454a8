// Configurations to start from.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace athanor::configs {

struct ConfigTemplate {
  std::string_view name;
  std::string_view meaning;  ///< one line
  std::string_view values;   ///< the options it sets, as YAML without comments
  int64_t min_ranks = 1;     ///< fewer cannot hold it
};

const std::vector<ConfigTemplate>& config_templates();

/// The template as YAML with the meaning of each option beside it. Throws UsageError with the nearest name
/// when there is no such template.
std::string render_template(const std::string& name);

}  // namespace athanor::configs
