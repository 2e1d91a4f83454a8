// A job like a training run, reduced to its calls, in which one rank misbehaves: for tests/launch/faults.py.
//
//   fault_program --fault KIND [--rank R] [--steps N] [--timeout S] [--seconds S] [--flights DIR]
//                 [--ranks-per-machine N]
//
// Every step is three gathers and an all-to-all on the axis "data", a reduction on "expert" and a broadcast.
// In step kFaultStep rank R does KIND: none, sleep (for --seconds before a gather), skip (leaves out the
// gather of block 1), skip_reduce, shape (gathers more), reduce_shape, broadcast_shape, order (uses the two
// axes the other way round), throw (fails by itself) or exit (ends without a word). "fault at TIME" is
// printed before it happens, "step N" by rank 0 after each step.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <numeric>
#include <string>
#include <thread>
#include <unistd.h>

#include <ATen/ops/zeros.h>

#include "core/error.h"
#include "core/log.h"
#include "parallel/session.h"

namespace athanor::parallel {
namespace {

constexpr int64_t kFaultStep = 3;

using Arguments = std::map<std::string, std::string>;

Arguments parse(int argc, char** argv) {
  Arguments arguments = {
      {"--rank", "0"},     {"--steps", "6"},  {"--timeout", "1"},          {"--seconds", "0"},
      {"--fault", "none"}, {"--flights", ""}, {"--ranks-per-machine", "0"}};
  for (int i = 1; i + 1 < argc; i += 2) arguments[argv[i]] = argv[i + 1];
  return arguments;
}

class Job {
 public:
  Job(Session& session, const Arguments& arguments) : session_(session), arguments_(arguments) {
    std::vector<int> everybody(session.size());
    std::iota(everybody.begin(), everybody.end(), 0);
    data_ = session.split("data", everybody);
    expert_ = session.split("expert", everybody);
  }

  void run() {
    const int64_t num_steps = std::stoll(arguments_.at("--steps"));
    for (int64_t step = 1; step <= num_steps; ++step) {
      misbehaves_ = step == kFaultStep && session_.rank() == std::stoi(arguments_.at("--rank"));
      take_step(step);
      if (session_.rank() == 0) std::printf("step %ld\n", step), std::fflush(stdout);
    }
  }

 private:
  bool has_fault(const std::string& kind) {
    if (!misbehaves_ || arguments_.at("--fault") != kind) return false;
    std::printf("fault at %.3f\n", static_cast<double>(unix_ns()) * 1e-9), std::fflush(stdout);
    return true;
  }

  void take_step(int64_t step) {
    session_.progress().begin_step(step, Phase::kData);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    for (int block = 0; block < 3; ++block) {
      session_.progress().enter(Phase::kForward, block);
      if (block == 1) misbehave();
      if (block == 1 && has_fault("skip")) continue;
      gather(block == 1 && has_fault("shape") ? 17 : 16);
    }
    session_.progress().enter(Phase::kBackward, 1);
    if (has_fault("order")) {
      reduce(2);
      exchange();
    } else {
      exchange();
      if (!has_fault("skip_reduce")) reduce(has_fault("reduce_shape") ? 3 : 2);
    }
    session_.progress().enter(Phase::kUpdate);
    session_.world().broadcast(at::zeros({has_fault("broadcast_shape") ? 5 : 4}), 0).wait();
  }

  void misbehave() {
    if (has_fault("sleep"))
      std::this_thread::sleep_for(std::chrono::duration<double>(std::stod(arguments_.at("--seconds"))));
    if (has_fault("throw")) throw core::DataError("a shard is damaged");
    if (has_fault("exit")) ::_exit(3);
  }

  void gather(int64_t count) {
    data_->all_gather(at::zeros({count * session_.size()}), at::zeros({count})).wait();
  }
  void exchange() {
    const std::vector<int64_t> splits(session_.size(), 4);
    data_->all_to_all(at::zeros({4 * session_.size()}), at::zeros({4 * session_.size()}), splits, splits)
        .wait();
  }
  void reduce(int64_t count) { expert_->all_reduce(at::zeros({count}, at::kLong), ReduceOp::kSum).wait(); }

  Session& session_;
  const Arguments& arguments_;
  std::unique_ptr<Communicator> data_, expert_;
  bool misbehaves_ = false;
};

}  // namespace
}  // namespace athanor::parallel

int main(int argc, char** argv) {
  using namespace athanor;
  const auto arguments = parallel::parse(argc, argv);
  const auto session =
      parallel::start_session({.under_mpi_launcher = true,
                               .timeout_s = std::stod(arguments.at("--timeout")),
                               .ranks_per_machine = std::stoi(arguments.at("--ranks-per-machine"))});
  core::log::configure({.rank = session->rank()});
  session->set_flight_directory(arguments.at("--flights"));
  try {
    parallel::Job(*session, arguments).run();
    session->finish();
  } catch (const core::Error& error) {
    session->fail(error);
  }
  return 0;
}
