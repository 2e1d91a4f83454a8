// Input files of which nothing, or nothing but a stray line, could be read: they are not what the
// configuration takes them for. One shard does not see it, since several may share a file.
#pragma once

#include <string>
#include <vector>

#include "data/clean/funnel.h"
#include "data/clean/plan.h"

namespace athanor::clean {

/// One message for each: the file, how many of its records could not be read, why the first one could not,
/// and what to do. `funnel` is the sum over all shards. Text files are never among them: any text can be
/// read.
std::vector<std::string> find_unreadable_files(const Funnel& funnel, const std::vector<InputFile>& inputs);

}  // namespace athanor::clean
