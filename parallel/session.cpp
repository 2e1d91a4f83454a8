#include "parallel/session.h"

#include <cstdlib>
#include <unistd.h>

#include "core/error.h"
#include "core/log.h"
#include "parallel/cuda_device.h"
#include "parallel/mpi_session.h"
#include "parallel/self_communicator.h"

namespace athanor::parallel {
namespace {

std::string host_name() {
  char name[256] = {};
  return gethostname(name, sizeof name - 1) == 0 ? name : "localhost";
}

class SingleProcessSession final : public Session {
 public:
  explicit SingleProcessSession(const SessionOptions& options)
      : host_(options.host.empty() ? host_name() : options.host) {
    if (options.on_cuda) device_ = use_cuda_device({.host = host_, .visible_of_rank = {0}});
  }
  int rank() const override { return 0; }
  int size() const override { return 1; }
  int local_rank() const override { return 0; }
  int local_size() const override { return 1; }
  const std::string& host() const override { return host_; }
  c10::Device device() const override { return device_; }
  void set_timeout(double) override {}  // nobody to wait for
  Communicator& world() override { return world_; }

  std::unique_ptr<Communicator> split(const std::string& axis, const std::vector<int>& world_ranks) override {
    ATHANOR_CHECK(world_ranks == std::vector<int>{0}, "axis {}: a group of {} ranks in a job of one process",
                  axis, world_ranks.size());
    return std::make_unique<SelfCommunicator>(axis);
  }

  Progress& progress() override { return progress_; }
  void set_flight_directory(const std::string&) override {}  // nobody can be late
  void finish() override {}

  [[noreturn]] void fail(const core::Error& error) override {
    core::log::error("{}", error.what());
    abort(static_cast<int>(error.exit_code()));
  }

  [[noreturn]] void abort(int exit_code) override {
    core::log::flush();
    std::_Exit(exit_code);
  }

 private:
  SelfCommunicator world_{"world"};
  Progress progress_;
  std::string host_;
  c10::Device device_ = at::kCPU;
};

}  // namespace

std::unique_ptr<Session> start_session(const SessionOptions& options) {
  if (options.under_mpi_launcher) return std::make_unique<MpiSession>(options);
  return std::make_unique<SingleProcessSession>(options);
}

}  // namespace athanor::parallel
