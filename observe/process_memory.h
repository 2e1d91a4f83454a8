// How much memory this process uses.
#pragma once

#include <cstdint>
#include <string_view>

namespace athanor::observe {

struct ProcessMemory {
  uint64_t resident_bytes = 0;
  uint64_t peak_resident_bytes = 0;
};

/// From /proc/self/status; zeros where there is none.
ProcessMemory process_memory();

/// The two figures out of the text of a /proc/PID/status; zero for one that is not there.
ProcessMemory parse_process_status(std::string_view status);

}  // namespace athanor::observe
