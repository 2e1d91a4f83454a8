#include "core/error.h"

#include <cstring>

namespace athanor::core {

void check_failed(const char* condition, const char* file, int line, const std::string& message) {
  const char* slash = std::strrchr(file, '/');
  throw InternalError("internal error: {} [{} at {}:{}]; please report this", message, condition,
                      slash ? slash + 1 : file, line);
}

}  // namespace athanor::core
