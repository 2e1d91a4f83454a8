#include "core/error.h"

#include <cstring>

namespace athanor::core {

std::string printable_lines(std::string_view text) {
  std::string printable;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool is_control = (byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7f;
    printable += is_control ? fmt::format("\\x{:02x}", byte) : std::string(1, c);
  }
  return printable;
}

void check_failed(const char* condition, const char* file, int line, const std::string& message) {
  const char* slash = std::strrchr(file, '/');
  throw InternalError("internal error: {} [{} at {}:{}]; please report this", message, condition,
                      slash ? slash + 1 : file, line);
}

}  // namespace athanor::core
