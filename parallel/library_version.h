// The MPI library that this program runs with.
#pragma once

#include <string>

namespace athanor::parallel {

/// One line, such as "Open MPI v4.1.4, package: ..."; needs no session.
std::string mpi_library_version();

}  // namespace athanor::parallel
