// The standard output of the commands.
#pragma once

#include <string_view>

namespace athanor::launch {

/// Writes all of `text` to the standard output before it returns. Error: core::IoError, when the reader has
/// gone or the disk behind it is full.
void print(std::string_view text);

}  // namespace athanor::launch
