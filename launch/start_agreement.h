// Before a job begins: do all ranks run the same program with the same configuration? A difference that is
// found now is one sentence; found later it is a hang or, worse, a wrong model.
#pragma once

#include <map>
#include <string>

#include "parallel/session.h"

namespace athanor::launch {

struct StartFacts {
  std::map<std::string, std::string> options;  ///< configs::flat_options
  std::string program;                         ///< program_digest
};

/// Digest of the running program's file and its engine's, 32 digits.
std::string program_digest();

/// Compares with world rank 0. Throws ConfigError on every rank when one differs, naming it (world rank and
/// host) and, for a configuration, the first options that differ with both values. Collective.
void check_start_agreement(const StartFacts& facts, parallel::Session& session);

/// What differs, for one rank: "training.max_steps is 12 (world rank 0: 10), ..."; at most four options are
/// named; empty when nothing differs.
std::string describe_differences(const std::map<std::string, std::string>& reference,
                                 const std::map<std::string, std::string>& own);

}  // namespace athanor::launch
