// A command that runs as a job of several ranks: what goes wrong is said once.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "configs/load.h"
#include "parallel/session.h"

namespace athanor::launch {

/// Runs `work` and ends the session in order. In a job of several ranks an error of this one ends all of
/// them, with one report and its exit code; alone it is thrown on.
void run_in_job(parallel::Session& session, const std::function<void()>& work);

/// The configuration. Every rank reads it before the job is wired up; when one cannot, the job is wired up
/// all the same to say so once, and ends.
configs::RunConfig load_config_in_job(const std::string& path, const std::vector<std::string>& overrides,
                                      const configs::LoadOptions& options);

}  // namespace athanor::launch
