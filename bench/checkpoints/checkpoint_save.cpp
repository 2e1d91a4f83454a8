// What saving a checkpoint costs: the stall of save() against a plain copy of the same bytes, the rate of
// writing against a plain write and sync of the same bytes, and how much the steps of a busy loop lose while
// a checkpoint is written.
//
//     bench_checkpoint_save [DIRECTORY] [MiB of state] [compute threads] [niceness of the writer]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <unistd.h>
#include <vector>

#include <fmt/format.h>

#include "checkpoints/checkpoint_directory.h"
#include "checkpoints/checkpoint_reader.h"
#include "checkpoints/checkpoint_writer.h"
#include "core/file_system.h"
#include "core/parallel_for.h"

namespace {

using namespace athanor;
using Clock = std::chrono::steady_clock;
constexpr int kRounds = 5;
constexpr uint64_t kMiB = uint64_t{1} << 20;

double seconds(const std::function<void()>& work) {
  const auto began = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - began).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// A layer's worth of parameters after another: a few large slices and many small ones.
checkpoints::Snapshot snapshot_of(std::vector<std::byte>& state, uint64_t step) {
  checkpoints::Snapshot snapshot;
  snapshot.progress = {step, step, step};
  uint64_t at = 0;
  for (int i = 0; at < state.size(); ++i) {
    const uint64_t bytes = std::min<uint64_t>(i % 4 == 0 ? 1024 : 3 * kMiB, state.size() - at);
    const auto count = static_cast<int64_t>(bytes / 4);
    snapshot.slices.push_back({fmt::format("layer.{}", i),
                               "weight",
                               checkpoints::Dtype::kF32,
                               {count},
                               {},
                               0,
                               static_cast<uint64_t>(count),
                               std::span(state).subspan(at, bytes)});
    at += bytes;
  }
  return snapshot;
}

void copy_plainly(const std::vector<std::byte>& from, std::vector<std::byte>& to) {
  core::parallel_for(static_cast<int64_t>(from.size() / (4 * kMiB)), [&](int64_t i) {
    std::memcpy(&to[static_cast<uint64_t>(i) * 4 * kMiB], &from[static_cast<uint64_t>(i) * 4 * kMiB],
                4 * kMiB);
  });
}

void write_plainly(const std::string& path, const std::vector<std::byte>& state) {
  const auto file = core::posix_file_system().create(path);
  for (uint64_t at = 0; at < state.size(); at += kMiB)
    file->append(std::span(state).subspan(at, std::min<uint64_t>(kMiB, state.size() - at)));
  file->sync();
  file->close();
}

// A step: the same arithmetic on every compute thread.
double run_step() {
  return seconds([] {
    core::parallel_for(core::num_threads(), [](int64_t) {
      volatile double sum = 0;
      for (int i = 0; i < 10'000'000; ++i) sum = sum + i * 0.5;
    });
  });
}

double usual_step() {
  std::vector<double> times(100);
  for (double& time : times) time = run_step();
  return median(times);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string base = argc > 1 ? argv[1] : "/tmp";
  const uint64_t state_mib = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 384;
  const int num_threads = argc > 3 ? std::atoi(argv[3]) : 1;
  const int niceness = argc > 4 ? std::atoi(argv[4]) : 10;
  core::set_num_threads(num_threads);
  const std::string directory = fmt::format("{}/athanor-bench-{}", base, ::getpid());
  core::posix_file_system().create_directories(directory);
  std::vector<std::byte> state(state_mib * kMiB), copy(state.size());
  for (uint64_t i = 0; i < state.size(); ++i) state[i] = static_cast<std::byte>(i * 2654435761u >> 13);

  std::vector<double> copies, writes, stalls, persists, losses, longest, cpu;
  for (int round = 0; round < kRounds; ++round) copies.push_back(seconds([&] { copy_plainly(state, copy); }));
  for (int round = 0; round < kRounds; ++round)
    writes.push_back(seconds([&] { write_plainly(directory + "/plain", state); }));
  core::posix_file_system().remove_all(directory + "/plain");
  copy = {};

  checkpoints::CheckpointWriter writer({.directory = directory,
                                        .run_id = "bench",
                                        .start_id = checkpoints::make_id(),
                                        .num_to_keep = 1,
                                        .niceness = niceness});
  writer.reserve(state.size());
  writer.wait();
  const auto save = [&](uint64_t step) {
    const auto snapshot = snapshot_of(state, step);
    stalls.push_back(seconds([&] { writer.save(snapshot); }));
  };
  for (uint64_t step = 1; step <= kRounds; ++step) {
    save(step);
    persists.push_back(seconds([&] { writer.wait(); }));
    cpu.push_back(writer.last_figures()->cpu_s);
  }
  const double usual_s = usual_step();
  std::vector<double> busy_persists;
  for (uint64_t step = 11; step <= 10 + kRounds; ++step) {
    save(step);
    const auto began = Clock::now();
    double lost_s = 0, longest_s = 0;
    while (!writer.is_idle()) {
      const double step_s = run_step();
      lost_s += step_s - usual_s;
      longest_s = std::max(longest_s, step_s);
    }
    busy_persists.push_back(std::chrono::duration<double>(Clock::now() - began).count());
    writer.wait();
    losses.push_back(lost_s);
    longest.push_back(longest_s);
  }
  const double read_s = seconds(
      [&] { checkpoints::CheckpointReader reader(core::posix_file_system(), directory + "/step-00000015"); });
  core::posix_file_system().remove_all(directory);

  const auto rate = [&](double s) { return static_cast<double>(state_mib) / s; };
  std::printf("state %llu MiB, %d compute threads, writer niceness %d, medians of %d\n",
              static_cast<unsigned long long>(state_mib), num_threads, niceness, kRounds);
  std::printf("plain copy              %7.4f s  %8.0f MiB/s\n", median(copies), rate(median(copies)));
  std::printf("stall of save()         %7.4f s  %8.0f MiB/s\n", median(stalls), rate(median(stalls)));
  std::printf("plain write and sync    %7.4f s  %8.0f MiB/s\n", median(writes), rate(median(writes)));
  std::printf("published after         %7.4f s  %8.0f MiB/s (nothing else running)\n", median(persists),
              rate(median(persists)));
  std::printf("published after         %7.4f s  %8.0f MiB/s (steps running)\n", median(busy_persists),
              rate(median(busy_persists)));
  std::printf("processor time of it    %7.4f s  %8.0f MiB/s\n", median(cpu), rate(median(cpu)));
  std::printf("verified in             %7.4f s  %8.0f MiB/s\n", read_s, rate(read_s));
  std::printf("usual step %.4f s; while writing: %.4f s lost in all, longest step %.4f s\n", usual_s,
              median(losses), median(longest));
  return 0;
}
