// What a distributed test gets from its main program: the session of this process.
//
// The program fails when a test fails on any rank, when the world is not as large as
// ATHANOR_EXPECTED_WORLD_SIZE says, and when ranks lose each other. Only rank 0 prints progress; failures are
// printed by every rank.
#pragma once

#include "parallel/session.h"

namespace athanor::tests {

parallel::Session& session();
inline parallel::Communicator& world() {
  return session().world();
}

/// A program that wants another session than the usual one defines this.
void adjust_session(parallel::SessionOptions& options) __attribute__((weak));

}  // namespace athanor::tests
