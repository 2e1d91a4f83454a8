#include "parallel/library_version.h"

#include <mpi.h>

namespace athanor::parallel {

std::string mpi_library_version() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING + 1] = {};
  int length = 0;
  if (MPI_Get_library_version(text, &length) != MPI_SUCCESS) return "unknown";
  const std::string version(text, static_cast<size_t>(length));
  return version.substr(0, version.find('\n'));
}

}  // namespace athanor::parallel
