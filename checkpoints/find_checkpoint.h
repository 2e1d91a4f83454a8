// What a path means where checkpoints are wanted: one of them, a directory of them, or a run that has some.
#pragma once

#include <string>

#include "core/file_system.h"

namespace athanor::checkpoints {

/// Whether `path` is one checkpoint: it holds a manifest, or has a checkpoint's name.
bool is_checkpoint(core::FileSystem& fs, const std::string& path);

/// Where the checkpoints of `path` lie: in it, in its `checkpoints/`, or, of a run that keeps them elsewhere,
/// where its config.yaml says (checkpoint.dir). `path` itself when there are none. ConfigError when that file
/// cannot be read.
std::string directory_of_checkpoints(core::FileSystem& fs, const std::string& path);

}  // namespace athanor::checkpoints
