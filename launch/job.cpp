#include "launch/job.h"

#include <exception>

#include "core/error.h"
#include "launch/environment.h"

namespace athanor::launch {

void run_in_job(parallel::Session& session, const std::function<void()>& work) {
  try {
    work();
    session.finish();
  } catch (const core::Error& error) {
    if (session.size() > 1) session.fail(error);
    throw;
  } catch (const std::exception& error) {
    if (session.size() > 1) session.fail(core::InternalError("internal error: {}", error.what()));
    throw;
  }
}

configs::RunConfig load_config_in_job(const std::string& path, const std::vector<std::string>& overrides,
                                      const configs::LoadOptions& options) {
  try {
    return configs::load_run_config(path, overrides, options);
  } catch (const core::Error& error) {
    const LauncherFacts facts = launcher_facts();
    if (!facts.is_under_mpi) throw;
    const auto session = parallel::start_session({.under_mpi_launcher = true, .host = facts.host});
    if (session->size() > 1) session->fail(error);
    throw;
  }
}

}  // namespace athanor::launch
