#include "observe/process_memory.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <string>

namespace athanor::observe {
namespace {

/// The number of `NAME:   123 kB`, in bytes.
uint64_t field_bytes(std::string_view status, std::string_view name) {
  const size_t at = status.find(name);
  if (at == std::string_view::npos) return 0;
  std::string_view rest = status.substr(at + name.size());
  rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
  uint64_t kilobytes = 0;
  std::from_chars(rest.data(), rest.data() + rest.size(), kilobytes);
  return kilobytes * 1024;
}

}  // namespace

ProcessMemory parse_process_status(std::string_view status) {
  return {.resident_bytes = field_bytes(status, "VmRSS:"),
          .peak_resident_bytes = field_bytes(status, "VmHWM:")};
}

ProcessMemory process_memory() {
  std::ifstream file("/proc/self/status");  // not a file on any disk: nothing to inject faults into
  const std::string status{std::istreambuf_iterator<char>(file), {}};
  return parse_process_status(status);
}

}  // namespace athanor::observe
