// Fills a section from a tree: names, types and ranges, everything wrong reported at once.
#pragma once

#include <map>
#include <string>

#include "configs/diagnostic.h"
#include "configs/field.h"
#include "configs/yaml_tree.h"

namespace athanor::configs {

/// Where each option was given: dotted path to the place of its value. Options left at their default are not
/// in it.
using Positions = std::map<std::string, Position>;

/// (Not called `bind`: std::bind would win the overload resolution.)
/// Writes what `root` gives into `fields`; an option with an error keeps its value. Diagnostics carry the
/// dotted path as their key.
void bind_tree(const YamlNode& root, const Fields& fields, Diagnostics& diagnostics, Positions& positions);

/// Options whose value is outside its range or choices, for values that did not come from a file; without
/// positions.
void check_ranges(const Fields& fields, Diagnostics& diagnostics);

}  // namespace athanor::configs
