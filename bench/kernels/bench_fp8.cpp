// Speed of FP8 products beside bf16 ones, and what quantising costs. Usage: bench_fp8 [threads ...],
// default 1. For a linear layer x [T, K], w [N, K]: forward, gradient of the input, gradient of the weight.
// "all" counts everything that a training step does (weights quantised once per step aside), as GFLOP/s of
// the product; a share is the part of that time which is not the product.
#include <cstdio>
#include <ctime>
#include <vector>

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include "core/parallel_for.h"
#include "core/rng.h"
#include "kernels/fp8.h"
#include "kernels/ops.h"

namespace {

namespace kernels = athanor::kernels;
using kernels::Fp8Keep;
using kernels::Fp8Matrix;
using kernels::Fp8Scale;
using kernels::Fp8Tiles;

/// The least CPU time of one call, of calls over about 0.3 s.
template <typename Body>
double best_seconds(Body body) {
  constexpr double kBudgetSeconds = 0.3;
  const auto now = [] {
    timespec time{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
  };
  double best = 1e30;
  body();
  for (double total = 0; total < kBudgetSeconds;) {
    const double start = now();
    body();
    best = std::min(best, now() - start);
    total += now() - start;
  }
  return best;
}

at::Tensor normal(const char* name, at::IntArrayRef sizes) {
  const athanor::core::CounterRng rng(1, name);
  const at::Tensor x = at::empty(sizes);
  for (int64_t i = 0; i < x.numel(); ++i)
    x.mutable_data_ptr<float>()[i] = static_cast<float>(rng.normal(static_cast<uint64_t>(i)));
  return x.to(at::kBFloat16);
}

struct Shape {
  const char* what;
  int64_t num_tokens, num_outputs, num_inputs;
};

constexpr Shape kShapes[] = {{"square", 2048, 2048, 2048},
                             {"W1 dense", 4096, 1408, 512},
                             {"W1 one expert", 256, 512, 512},
                             {"few rows", 64, 2048, 2048}};

void print_line(const char* what, double flops, double bf16, double product, double all) {
  std::printf("  %-16s bf16 %6.1f | fp8 product %6.1f, all %6.1f GFLOP/s, share %4.1f %%, all : bf16 %.2f\n",
              what, flops / bf16 * 1e-9, flops / product * 1e-9, flops / all * 1e-9,
              100 * (1 - product / all), bf16 / all);
}

void bench_layer(const Shape& s, Fp8Scale scale) {
  const at::Tensor x = normal("x", {s.num_tokens, s.num_inputs}),
                   w = normal("w", {s.num_outputs, s.num_inputs}),
                   dy = normal("dy", {s.num_tokens, s.num_outputs});
  const at::Tensor y = at::empty_like(dy), dx = at::empty_like(x),
                   dw = at::empty({s.num_outputs, s.num_inputs});
  const double flops = 2.0 * static_cast<double>(s.num_tokens * s.num_outputs * s.num_inputs);
  const auto rows = [&](const at::Tensor& m) {
    return quantise(m, Fp8Tiles::kRow, {scale}, Fp8Keep::kExact);
  };
  const auto tokens = [&](const at::Tensor& m) {
    return quantise(m, Fp8Tiles::kToken, {scale}, Fp8Keep::kExact);
  };
  const Fp8Matrix weight = quantise(w, Fp8Tiles::kBlock, {scale}, Fp8Keep::kBoth), qx = rows(x),
                  qdy = rows(dy);
  const Fp8Matrix tx = tokens(x), tdy = tokens(dy);

  std::printf("%s, T %ld N %ld K %ld, %s scales\n", s.what, s.num_tokens, s.num_outputs, s.num_inputs,
              scale == Fp8Scale::kFp32 ? "fp32" : "power-of-two");
  print_line("forward", flops, best_seconds([&] { kernels::matmul_nt(y, x, w); }),
             best_seconds([&] { kernels::fp8_matmul_nt(y, qx, weight); }),
             best_seconds([&] { kernels::fp8_matmul_nt(y, rows(x), weight); }));
  print_line("input gradient", flops, best_seconds([&] { kernels::matmul_nn(dx, dy, w); }),
             best_seconds([&] { kernels::fp8_matmul_nn(dx, qdy, weight); }),
             best_seconds([&] { kernels::fp8_matmul_nn(dx, rows(dy), weight); }));
  print_line("weight gradient", flops, best_seconds([&] { kernels::matmul_tn(dw, dy, x); }),
             best_seconds([&] { kernels::fp8_matmul_tn(dw, tdy, tx); }),
             best_seconds([&] { kernels::fp8_matmul_tn(dw, tokens(dy), tokens(x)); }));
}

void bench_quantising(Fp8Scale scale) {
  constexpr int64_t kRows = 4096, kColumns = 1024;
  const at::Tensor x = normal("x", {kRows, kColumns}), back = at::empty_like(x);
  const auto line = [&](const char* what, auto body) {
    std::printf("  %-28s %6.2f ns per element\n", what, best_seconds(body) / (kRows * kColumns) * 1e9);
  };
  std::printf("quantising %ld x %ld bf16, %s scales\n", kRows, kColumns,
              scale == Fp8Scale::kFp32 ? "fp32" : "power-of-two");
  for (const auto& [name, tiles] :
       {std::pair{"1x128", Fp8Tiles::kRow}, {"128x1", Fp8Tiles::kToken}, {"128x128", Fp8Tiles::kBlock}}) {
    line(fmt::format("{} to codes", name).c_str(), [&] { quantise(x, tiles, {scale}); });
    line(fmt::format("{} to exact values", name).c_str(),
         [&] { quantise(x, tiles, {scale}, Fp8Keep::kExact); });
    line(fmt::format("{} to both", name).c_str(), [&] { quantise(x, tiles, {scale}, Fp8Keep::kBoth); });
  }
  const Fp8Matrix q = quantise(x, Fp8Tiles::kRow, {scale});
  line("1x128 codes to bf16", [&] { dequantise(back, q); });
}

}  // namespace

int main() {
  std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
  athanor::core::set_num_threads(1);
  at::set_num_threads(1);
  std::printf("bf16 products: %s\n", kernels::product_kernel_name(at::kBFloat16).c_str());
  for (const Fp8Scale scale : {Fp8Scale::kPowerOfTwo, Fp8Scale::kFp32}) {
    for (const Shape& shape : kShapes) bench_layer(shape, scale);
    bench_quantising(scale);
  }
  return 0;
}
