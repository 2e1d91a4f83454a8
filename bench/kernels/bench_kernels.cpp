// Speed of the kernels. Usage: bench_kernels [table ...] [threads ...], default: step packing 2, which takes
// less than 20 s. Tables: step (all kernels of a step of W1), packing (operands of tile products), attention
// (vectors and tiles, what is inside the tile engine and around it), products (with LibTorch's own beside
// ours), rows, flat. Every figure is the best of several runs; the conditions stand at the top of each block.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <ATen/Parallel.h>
#include <ATen/ops/full.h>
#include <ATen/ops/mm.h>

#include "bench/kernels/tables.h"
#include "bench/kernels/timing.h"
#include "core/parallel_for.h"
#include "kernels/ops.h"

namespace {

using athanor::kernels::AdamWOptions;
namespace kernels = athanor::kernels;

using athanor::bench::best_seconds;

at::TensorOptions typed(at::ScalarType dtype) {
  return at::TensorOptions().dtype(dtype);
}
at::Tensor filled(at::IntArrayRef sizes, at::ScalarType dtype) {
  return at::full(sizes, 0.5, typed(dtype));
}

struct Shape {
  const char* what;
  int64_t num_rows, num_columns, depth;
};

constexpr Shape kShapes[] = {
    {"square", 2048, 2048, 2048},      {"W1 dense", 4096, 1408, 512}, {"W1 vocabulary", 4096, 8192, 512},
    {"W1 one expert", 1024, 512, 512}, {"few rows", 64, 2048, 2048},  {"decode 1", 1, 8192, 2048},
    {"decode 4", 4, 8192, 2048},       {"decode 8", 8, 8192, 2048},
};

void bench_product(const Shape& s, at::ScalarType dtype) {
  const at::Tensor a = filled({s.num_rows, s.depth}, dtype), w = filled({s.num_columns, s.depth}, dtype);
  const at::Tensor dy = filled({s.num_rows, s.num_columns}, dtype), out = at::empty_like(dy),
                   dx = at::empty_like(a);
  const at::Tensor dw = at::empty({s.num_columns, s.depth}), peer_dw = at::empty_like(w);
  const auto packed = kernels::pack_nt(w);
  const double flops = 2.0 * static_cast<double>(s.num_rows * s.num_columns * s.depth);
  const auto gflops = [&](auto body) { return flops / best_seconds(body) * 1e-9; };
  const double ours_packed = gflops([&] { kernels::matmul(out, a, packed); });
  const double ours_nt = gflops([&] { kernels::matmul_nt(out, a, w); });
  const double ours_nn = gflops([&] { kernels::matmul_nn(dx, dy, w); });
  const double ours_tn = gflops([&] { kernels::matmul_tn(dw, dy, a); });
  at::Tensor peer_out = out, peer_dx = dx, peer = peer_dw;
  const double peer_nt = gflops([&] { at::mm_out(peer_out, a, w.t()); });
  const double peer_nn = gflops([&] { at::mm_out(peer_dx, dy, w); });
  const double peer_tn = gflops([&] { at::mm_out(peer, dy.t(), a); });
  const double weight_gbps = ours_packed * static_cast<double>(w.nbytes()) / flops;
  std::printf(
      "%-14s %5ld %5ld %5ld %-8s packed %6.1f nt %6.1f nn %6.1f tn %6.1f | mm nt %6.1f nn %6.1f tn %6.1f",
      s.what, s.num_rows, s.num_columns, s.depth, c10::toString(dtype), ours_packed, ours_nt, ours_nn,
      ours_tn, peer_nt, peer_nn, peer_tn);
  if (s.num_rows <= 8) std::printf("  (weights at %.1f GB/s)", weight_gbps);
  std::printf("\n");
}

void bench_grouped(at::ScalarType dtype) {
  constexpr int64_t kExperts = 16, kTokens = 4096, kHidden = 512, kWidth = 512;
  const at::Tensor x = filled({kTokens, kHidden}, dtype), w = filled({kExperts, kWidth, kHidden}, dtype);
  const at::Tensor y = filled({kTokens, kWidth}, dtype), dx = at::empty_like(x),
                   dw = at::empty({kExperts, kWidth, kHidden});
  std::vector<int64_t> offsets;
  for (int64_t e = 0; e <= kExperts; ++e) offsets.push_back(e * e * kTokens / (kExperts * kExperts));
  const double flops = 2.0 * kTokens * kHidden * kWidth;
  const auto gflops = [&](auto body) { return flops / best_seconds(body) * 1e-9; };
  std::printf("grouped, %ld rows over %ld experts of %ldx%ld %-8s nt %6.1f nn %6.1f tn %6.1f GFLOP/s\n",
              kTokens, kExperts, kWidth, kHidden, c10::toString(dtype),
              gflops([&] { kernels::grouped_matmul_nt(y, x, w, offsets); }),
              gflops([&] { kernels::grouped_matmul_nn(dx, y, w, offsets); }),
              gflops([&] { kernels::grouped_matmul_tn(dw, y, x, offsets); }));
}

void print_bandwidth(const char* what, at::ScalarType dtype, double bytes, double seconds) {
  std::printf("%-18s %-8s %8.3f ms %6.1f GB/s\n", what, c10::toString(dtype), seconds * 1e3,
              bytes / seconds * 1e-9);
}

void bench_rows(at::ScalarType dtype) {
  constexpr int64_t kTokens = 4096, kColumns = 1024, kHeads = 16, kHeadSize = 64;
  const at::Tensor x = filled({kTokens, kColumns}, dtype), w = filled({kColumns}, dtype),
                   y = at::empty_like(x);
  const at::Tensor rstd = at::empty({kTokens}), dw = at::empty({kColumns}),
                   h = filled({kTokens, kColumns / 2}, dtype);
  const double bytes = static_cast<double>(x.nbytes());
  print_bandwidth("rms_norm", dtype, 2 * bytes,
                  best_seconds([&] { kernels::rms_norm(y, rstd, x, w, 1e-6); }));
  print_bandwidth("rms_norm_backward", dtype, 3 * bytes,
                  best_seconds([&] { kernels::rms_norm_backward(y, dw, x, x, w, rstd, false); }));
  print_bandwidth("swiglu", dtype, 1.5 * bytes, best_seconds([&] { kernels::swiglu(h, x); }));
  print_bandwidth("swiglu_backward", dtype, 2.5 * bytes,
                  best_seconds([&] { kernels::swiglu_backward(y, h, x); }));
  const at::Tensor heads = x.view({kTokens, kHeads, kHeadSize}),
                   angles = at::full({kTokens, kHeadSize / 2}, 0.7);
  for (const bool interleaved : {false, true})
    print_bandwidth(interleaved ? "rotary interleaved" : "rotary", dtype, 2 * bytes, best_seconds([&] {
                      kernels::rotary(heads, angles, angles, {0, interleaved, false});
                    }));
}

void bench_flat() {
  constexpr int64_t kCount = 1 << 24;
  const at::Tensor p = filled({kCount}, at::kFloat), m = at::zeros({kCount}), v = at::zeros({kCount});
  const at::Tensor m16 = at::zeros({kCount}, typed(at::kBFloat16)),
                   v16 = at::zeros({kCount}, typed(at::kBFloat16));
  const at::Tensor g = filled({kCount}, at::kFloat), compute = at::empty({kCount}, typed(at::kBFloat16));
  const AdamWOptions options{1e-4, 0.9, 0.95, 1e-8, 0.1, 3, 1.0};
  print_bandwidth("adamw", at::kFloat, 30.0 * kCount, best_seconds([&] {
                    kernels::adamw(p, m, v, g, compute, {{0, kCount / 2}}, options);
                  }));
  print_bandwidth("adamw", at::kBFloat16, 22.0 * kCount, best_seconds([&] {
                    kernels::adamw(p, m16, v16, g, compute, {{0, kCount / 2}}, options);
                  }));
  print_bandwidth("ordered_sum of 4", at::kFloat, 20.0 * kCount, best_seconds([&] {
                    kernels::ordered_sum(g, {p, m, v, p});
                  }));
  const at::Tensor sums = at::empty({kCount / kernels::kFlatAlignment}, typed(at::kDouble));
  print_bandwidth("chunk_square_sums", at::kFloat, 4.0 * kCount,
                  best_seconds([&] { kernels::chunk_square_sums(sums, p); }));
}

void bench_products() {
  std::printf(
      "\n%d threads; products in GFLOP/s (float32: %s, bfloat16: %s; peak %.1f and %.1f), LibTorch's at::mm "
      "beside\n",
      athanor::core::num_threads(), kernels::product_kernel_name(at::kFloat).c_str(),
      kernels::product_kernel_name(at::kBFloat16).c_str(), kernels::measure_peak_flops(at::kFloat) * 1e-9,
      kernels::measure_peak_flops(at::kBFloat16) * 1e-9);
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const Shape& shape : kShapes) bench_product(shape, dtype);
    bench_grouped(dtype);
  }
}

void bench_all_rows() {
  std::printf("\n%d threads; operations on rows\n", athanor::core::num_threads());
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) bench_rows(dtype);
}

void bench_flat_buffers() {
  std::printf("\n%d threads; flat buffers\n", athanor::core::num_threads());
  bench_flat();
}

const std::map<std::string, std::function<void()>> kTables{
    {"step", athanor::bench::print_step_table},
    {"packing", athanor::bench::print_packing_table},
    {"attention", athanor::bench::print_attention_table},
    {"products", bench_products},
    {"rows", bench_all_rows},
    {"flat", bench_flat_buffers}};

int complain(const std::string& argument) {
  std::fprintf(stderr,
               "bench_kernels: %s is neither a number of threads nor a table; tables:", argument.c_str());
  for (const auto& [name, print] : kTables) std::fprintf(stderr, " %s", name.c_str());
  std::fprintf(stderr, "\n");
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
  std::vector<std::string> tables;
  std::vector<int> thread_counts;
  for (const std::string& argument : std::vector<std::string>(argv + 1, argv + argc)) {
    if (kTables.count(argument))
      tables.push_back(argument);
    else if (const int num_threads = std::atoi(argument.c_str()); num_threads > 0)
      thread_counts.push_back(num_threads);
    else
      return complain(argument);
  }
  if (tables.empty()) tables = {"step", "packing"};
  if (thread_counts.empty()) thread_counts = {2};
  for (const int num_threads : thread_counts) {
    athanor::core::set_num_threads(num_threads);
    at::set_num_threads(num_threads);
    for (const std::string& table : tables) kTables.at(table)();
  }
  return 0;
}
