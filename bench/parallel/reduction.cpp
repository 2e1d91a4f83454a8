// The ordered reduce-scatter beside the MPI library's own, in one run:
//     scripts/mpirun.sh -np 2 build/release/bin/bench_reduction [MiB per rank = 64] [repetitions = 30]
// Prints, for each way, the median and the best over repetitions of the slowest rank's time.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <numeric>
#include <vector>

#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <mpi.h>

#include "core/parallel_for.h"
#include "parallel/ordered_reduction.h"
#include "parallel/session.h"

namespace {

using namespace athanor;

double seconds_of(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void measure(parallel::Session& session, const char* name, int repetitions,
             const std::function<void()>& work) {
  std::vector<double> milliseconds;
  for (int i = 0; i < repetitions + 2; ++i) {
    session.world().barrier();
    const at::Tensor slowest = at::empty({1}, at::kDouble);
    *slowest.mutable_data_ptr<double>() = 1e3 * seconds_of(work);
    session.world().all_reduce(slowest, parallel::ReduceOp::kMax).wait();
    if (i >= 2) milliseconds.push_back(*slowest.const_data_ptr<double>());
  }
  std::sort(milliseconds.begin(), milliseconds.end());
  if (session.rank() == 0)
    std::printf("%-44s median %8.2f ms   best %8.2f ms\n", name, milliseconds[milliseconds.size() / 2],
                milliseconds.front());
}

}  // namespace

int main(int argc, char** argv) {
  const double mebibytes = argc > 1 ? std::atof(argv[1]) : 64;
  const int repetitions = argc > 2 ? std::atoi(argv[2]) : 30;
  const auto session = parallel::start_session({.under_mpi_launcher = true, .timeout_s = 60});
  const int num_ranks = session->size();
  core::set_num_threads(1);
  const int64_t shard = static_cast<int64_t>(mebibytes * (1 << 20) / 4) / num_ranks / 256 * 256;
  const at::Tensor in = at::randn({shard * num_ranks}), out = at::ones({shard}),
                   copy = at::ones({shard * num_ranks});
  if (session->rank() == 0)
    std::printf("%.1f MiB of fp32 per rank, %d ranks on %s, 1 thread each\n", mebibytes, num_ranks,
                session->host().c_str());

  measure(*session, "MPI_Reduce_scatter_block", repetitions, [&] {
    MPI_Reduce_scatter_block(in.const_data_ptr(), out.mutable_data_ptr(), static_cast<int>(shard), MPI_FLOAT,
                             MPI_SUM, MPI_COMM_WORLD);
  });
  std::vector<int> counts(num_ranks, static_cast<int>(shard));
  measure(*session, "MPI_Reduce_scatter", repetitions, [&] {
    MPI_Reduce_scatter(in.const_data_ptr(), out.mutable_data_ptr(), counts.data(), MPI_FLOAT, MPI_SUM,
                       MPI_COMM_WORLD);
  });
  measure(*session, "MPI_Alltoall (exchange only)", repetitions, [&] {
    MPI_Alltoall(in.const_data_ptr(), static_cast<int>(shard), MPI_FLOAT, copy.mutable_data_ptr(),
                 static_cast<int>(shard), MPI_FLOAT, MPI_COMM_WORLD);
  });
  const std::vector<int64_t> splits(num_ranks, shard);
  measure(*session, "all_to_all (exchange only)", repetitions,
          [&] { session->world().all_to_all(copy, in, splits, splits).wait(); });
  measure(*session, "all_gather (of the reduced shards)", repetitions,
          [&] { session->world().all_gather(copy, out).wait(); });
  parallel::OrderedReduction exact(session->world()), rounded(session->world(), {.payload = at::kBFloat16});
  measure(*session, "ordered reduce_scatter, fp32", repetitions,
          [&] { exact.reduce_scatter(out, in).wait(); });
  measure(*session, "ordered reduce_scatter, bf16 payload", repetitions,
          [&] { rounded.reduce_scatter(out, in).wait(); });
  session->finish();
}
