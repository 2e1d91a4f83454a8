// Attention on the shape of W1: fp32 vectors, and tiles with the time inside the engine taken apart from the
// time around it. Without tile hardware a stand-in hands out normal numbers instead of products: what is
// around it runs as usual.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/randn.h>

#include "bench/kernels/tables.h"
#include "bench/kernels/timing.h"
#include "core/parallel_for.h"
#include "kernels/cpu/attention.h"
#include "kernels/cpu/processor.h"
#include "kernels/cpu/tile_packing.h"
#include "kernels/ops.h"

namespace athanor::bench {
namespace {

using kernels::cpu::Bf16;
using kernels::cpu::kTileColumns;
using kernels::cpu::TileEngine;

constexpr double kBudgetSeconds = 1;
constexpr int64_t kSequences = 4, kLength = 1024, kTokens = kSequences * kLength, kHeads = 8, kQkSize = 96,
                  kVSize = 64;
constexpr double kPairs = static_cast<double>(kSequences * kHeads * kLength) * (kLength + 1) / 2;
constexpr double kForwardFlops = kPairs * 2 * (kQkSize + kVSize);
constexpr double kBackwardFlops = kPairs * 2 * (3 * kQkSize + 2 * kVSize);

double cpu_seconds() {
  return now_seconds(CLOCK_THREAD_CPUTIME_ID);
}

/// What one reading of the clock costs. Of the two around a call, one falls into the time between them.
double reading_seconds() {
  constexpr int kReadings = 1000;
  const auto readings = [] {
    for (int i = 0; i < kReadings; ++i) cpu_seconds();
  };
  return best_cpu_seconds(readings, 0.01) / kReadings;
}

/// What a run spent in the engine. The engine is a pair of plain functions, so that this is global.
struct EngineUse {
  double seconds = 0, flops = 0;
  int64_t calls = 0;
};
EngineUse g_use;

constexpr int64_t kNumbers = 1 << 16;

/// What scores of normal queries and keys look like.
const float* normal_numbers() {
  static const at::Tensor numbers =
      at::randn({kNumbers}, at::kFloat) * std::sqrt(static_cast<double>(kQkSize));
  return numbers.const_data_ptr<float>();
}

void stand_in(int64_t m, int64_t, const Bf16*, int64_t, const Bf16*, float* c, int64_t c_stride,
              bool accumulate) {
  const float* numbers = normal_numbers() + g_use.calls * 997 % (kNumbers - m * kTileColumns);
  for (int64_t row = 0; row < m; ++row, c += c_stride, numbers += kTileColumns)
    if (accumulate)
      for (int64_t n = 0; n < kTileColumns; ++n) c[n] += numbers[n];
    else
      std::copy_n(numbers, kTileColumns, c);
}
void nothing() {}
constexpr TileEngine kStandIn{stand_in, nothing};

const TileEngine& timed_engine() {
  const TileEngine* machine = kernels::cpu::tile_engine();
  return machine ? *machine : kStandIn;
}

void multiply_timed(int64_t m, int64_t k, const Bf16* a, int64_t a_stride, const Bf16* b, float* c,
                    int64_t c_stride, bool accumulate) {
  const double start = cpu_seconds();
  timed_engine().multiply(m, k, a, a_stride, b, c, c_stride, accumulate);
  g_use.seconds += cpu_seconds() - start;
  g_use.flops += 2.0 * static_cast<double>(m * k * kTileColumns);
  ++g_use.calls;
}
void release_timed() {
  timed_engine().release();
}
constexpr TileEngine kTimed{multiply_timed, release_timed};

void print_vectors(const char* what, double seconds, double flops) {
  std::printf("  %-9s vectors (%s)  %6.3f ns per pair, %6.1f GFLOP/s\n", what,
              kernels::cpu::isa_name(kernels::cpu::processor_isa()), seconds / kPairs * 1e9,
              flops / seconds * 1e-9);
}

/// The shortest times around and inside the engine, each of its own run.
template <typename Body>
void print_tiles(const char* what, double flops, Body body) {
  double around = 1e30, inside = 1e30;
  const double reading = reading_seconds();
  const auto run = [&] {
    g_use = {};
    const double start = cpu_seconds();
    body();
    const double total = cpu_seconds() - start, clock = reading * static_cast<double>(g_use.calls);
    around = std::min(around, total - g_use.seconds - clock);
    inside = std::min(inside, g_use.seconds - clock);
  };
  best_seconds(run, kBudgetSeconds);
  std::printf("  %-9s tiles    %6.3f ns per pair around the engine (at most %5.0f GFLOP/s)", what,
              around / kPairs * 1e9, flops / around * 1e-9);
  if (kernels::cpu::tile_engine())
    std::printf(", %6.3f inside (%5.0f GFLOP/s): %6.1f GFLOP/s", inside / kPairs * 1e9,
                g_use.flops / inside * 1e-9, flops / (around + inside) * 1e-9);
  std::printf("; %ld calls, %.2f times the products of the pairs\n", g_use.calls, g_use.flops / flops);
}

}  // namespace

void print_attention_table() {
  const int num_threads = core::num_threads();
  core::set_num_threads(1);
  std::printf(
      "\nattention: one layer of W1 (%ld x %ld tokens, %ld heads of %ld/%ld, causal, bf16), one thread; this "
      "machine uses %s",
      kSequences, kLength, kHeads, kQkSize, kVSize, kernels::attention_kernel_name(at::kBFloat16).c_str());
  std::printf(kernels::cpu::tile_engine() ? "\n" : "; tiles with a stand-in for the engine\n");
  const auto normal = [](int64_t size) {
    return at::randn({kTokens, kHeads, size}, at::kFloat).to(at::kBFloat16);
  };
  const at::Tensor q = normal(kQkSize), k = normal(kQkSize), v = normal(kVSize), d_o = normal(kVSize);
  const at::Tensor o = normal(kVSize), lse = at::empty({kTokens, kHeads}, at::kFloat);
  const at::Tensor dq = normal(kQkSize), dk = normal(kQkSize), dv = normal(kVSize);
  std::vector<int64_t> offsets;
  for (int64_t i = 0; i <= kSequences; ++i) offsets.push_back(i * kLength);
  const kernels::AttentionOptions options{1.0 / std::sqrt(static_cast<double>(kQkSize)), 0};
  const auto forward = [&](const TileEngine* engine) {
    kernels::cpu::attention(o, lse, q, k, v, offsets, options, engine);
  };
  const auto backward = [&](const TileEngine* engine) {
    kernels::cpu::attention_backward({dq, dk, dv, d_o, o, lse, q, k, v, offsets, options}, engine);
  };
  print_vectors("forward", best_cpu_seconds([&] { forward(nullptr); }, kBudgetSeconds), kForwardFlops);
  print_vectors("backward", best_cpu_seconds([&] { backward(nullptr); }, kBudgetSeconds), kBackwardFlops);
  print_tiles("forward", kForwardFlops, [&] { forward(&kTimed); });
  print_tiles("backward", kBackwardFlops, [&] { backward(&kTimed); });
  core::set_num_threads(num_threads);
}

}  // namespace athanor::bench
