// What the two files that include mpi.h share.
#pragma once

#include <string>

namespace athanor::parallel {

/// The library's text for an error code.
std::string mpi_error_text(int code);
/// Throws CommError naming `call` when `code` is not success.
void check_mpi(int code, const char* call);

}  // namespace athanor::parallel
