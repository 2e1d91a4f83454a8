// A session of several processes over MPI; on CUDA devices with NCCL beside it, whose ids travel over MPI.
// Open MPI of Debian and Ubuntu provides MPI_THREAD_MULTIPLE, which is required: the checkpoint writer talks
// to its peers beside the training thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "parallel/session.h"

namespace athanor::parallel {

class MpiSession final : public Session {
 public:
  explicit MpiSession(const SessionOptions& options);
  ~MpiSession() override;  ///< local only; see Session::finish
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;

  int rank() const override;
  int size() const override;
  int local_rank() const override;
  int local_size() const override;
  const std::string& host() const override;
  c10::Device device() const override;
  void set_timeout(double timeout_s) override;
  Communicator& world() override;
  std::unique_ptr<Communicator> split(const std::string& axis, const std::vector<int>& world_ranks) override;
  Progress& progress() override;
  void set_flight_directory(const std::string& directory) override;
  void finish() override;
  [[noreturn]] void fail(const core::Error& error) override;
  [[noreturn]] void abort(int exit_code) override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace athanor::parallel
