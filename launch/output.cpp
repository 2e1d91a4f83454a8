#include "launch/output.h"

#include <cerrno>
#include <cstdio>
#include <system_error>

#include "core/error.h"

namespace athanor::launch {

void print(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
    throw core::IoError("cannot write to the standard output: {}", std::generic_category().message(errno));
}

}  // namespace athanor::launch
