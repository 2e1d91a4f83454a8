#include "tests/parallel/mpi_test_main.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include "core/error.h"

namespace athanor::tests {
namespace {

parallel::Session* current_session = nullptr;

bool started_by_launcher() {
  for (const char* variable : parallel::kLauncherVariables)
    if (std::getenv(variable)) return true;
  return false;
}

parallel::SessionOptions session_options() {
  parallel::SessionOptions options{.under_mpi_launcher = started_by_launcher(), .timeout_s = 20};
  if (const char* host = std::getenv("ATHANOR_HOST")) options.host = host;
  if (adjust_session) adjust_session(options);
  return options;
}

class FailurePrinter : public testing::EmptyTestEventListener {
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (result.failed())
      std::fprintf(stderr, "[rank %d] %s:%d: %s\n", session().rank(),
                   result.file_name() ? result.file_name() : "?", result.line_number(), result.message());
  }
};

void print_only_failures() {
  auto& listeners = testing::UnitTest::GetInstance()->listeners();
  delete listeners.Release(listeners.default_result_printer());
  listeners.Append(new FailurePrinter);
}

void check_world_size() {
  const char* expected = std::getenv("ATHANOR_EXPECTED_WORLD_SIZE");
  if (expected && std::atoi(expected) != session().size())
    throw core::CommError("the test expects {} ranks and got {}", expected, session().size());
}

bool failed_anywhere(bool failed_here) {
  const at::Tensor failed = at::tensor({failed_here ? 1 : 0}, at::kInt);
  session().world().all_reduce(failed, parallel::ReduceOp::kMax).wait();
  return *failed.const_data_ptr<int>() != 0;
}

int run() {
  check_world_size();
  if (session().rank() != 0) print_only_failures();
  const bool failed = failed_anywhere(RUN_ALL_TESTS() != 0);
  session().finish();
  return failed ? 1 : 0;
}

}  // namespace

parallel::Session& session() {
  return *current_session;
}

}  // namespace athanor::tests

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const auto session = athanor::parallel::start_session(athanor::tests::session_options());
  athanor::tests::current_session = session.get();
  if (argc == 3 && std::strcmp(argv[1], "--abort-with") == 0) session->abort(std::atoi(argv[2]));
  try {
    return athanor::tests::run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "[rank %d] %s\n", session->rank(), error.what());
    session->abort(1);
  }
}
