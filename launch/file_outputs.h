// What every command that writes files does first.
#pragma once

#include <string>
#include <vector>

namespace athanor::launch {

/// Throws UsageError when an output is the same file as an input or another output, CannotWriteError when one
/// is there and is no regular file. `-` and empty names stand for no file.
void check_outputs(const std::vector<std::string>& inputs, const std::vector<std::string>& outputs);

/// From now on SIGINT, SIGTERM and SIGHUP remove what is unfinished and say so; the process still dies by the
/// signal. One that is ignored (nohup) stays so. Call it before the process has threads.
void clean_up_on_signals();

}  // namespace athanor::launch
