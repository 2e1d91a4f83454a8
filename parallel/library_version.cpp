#include "parallel/library_version.h"

#include <algorithm>

#include <mpi.h>

namespace athanor::parallel {

std::string mpi_library_version() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING + 1] = {};
  int length = 0;
  if (MPI_Get_library_version(text, &length) != MPI_SUCCESS) return "unknown";
  std::string version(text, static_cast<size_t>(length));
  version.resize(std::min(version.size(), version.find('\n')));
  while (!version.empty() && version.back() == ' ') version.pop_back();
  return version;
}

}  // namespace athanor::parallel
