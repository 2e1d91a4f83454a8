// Norm, activation, rotary embedding, token embedding and flat buffers on a GPU.
#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>
#include <fmt/core.h>

#include "kernels/ops.h"
#include "kernels/reference/plain_ops.h"
#include "tests/kernels/cuda_testing.h"

namespace athanor::kernels {
namespace {

using testing::compare;
using testing::gpu_tolerance;
using testing::kComputeTypes;
using testing::kExact;
using testing::normal;
using testing::on_gpu;
using testing::poisoned;
using testing::Tensors;
using testing::whole_numbers;

struct Size {
  int64_t tokens, columns;
};
constexpr Size kSizes[] = {{1, 3}, {0, 64}, {3, 7}, {65, 264}, {200, 2048}, {130, 5000}};

TEST(CudaRows, RmsNorm) {
  constexpr double kEps = 1e-6;
  for (const auto dtype : kComputeTypes)
    for (const auto& [tokens, columns] : kSizes) {
      const at::Tensor x = normal("x", {tokens, columns}, dtype), w = normal("w", {columns}, dtype);
      const at::Tensor dy = normal("dy", {tokens, columns}, dtype), before = normal("before", {columns});
      const at::Tensor gx = on_gpu(x), gw = on_gpu(w), gdy = on_gpu(dy), gbefore = on_gpu(before);
      const at::Tensor rstd = poisoned({tokens}, at::kFloat);
      const at::Tensor expected_rstd = (x.to(at::kDouble).square().mean(1) + kEps).rsqrt();
      compare(fmt::format("rms_norm {}x{}", tokens, columns), dtype, gpu_tolerance(dtype),
              [&]() -> Tensors {
                const at::Tensor y = poisoned({tokens, columns}, dtype);
                rms_norm(y, rstd, gx, gw, kEps);
                return {y, rstd};
              },
              {reference::rms_norm(x, w, kEps), expected_rstd});
      const auto gradients = reference::rms_norm_backward(dy, x, w, kEps);
      compare(
          fmt::format("rms_norm_backward {}x{}", tokens, columns), dtype, gpu_tolerance(dtype),
          [&]() -> Tensors {
            const at::Tensor dx = poisoned({tokens, columns}, dtype), dw = poisoned({columns}, at::kFloat);
            const at::Tensor added = gbefore.clone(), in_place = gdy.clone();
            rms_norm_backward(dx, dw, gdy, gx, gw, rstd, false);
            rms_norm_backward(in_place, added, in_place, gx, gw, rstd, true);
            return {dx, dw, in_place, added};
          },
          {gradients.dx_TD, gradients.dw_D, gradients.dx_TD, gradients.dw_D + before.to(at::kDouble)});
    }
}

TEST(CudaRows, RmsNormOfStridedRows) {
  for (const auto dtype : kComputeTypes) {
    const at::Tensor wide = normal("wide", {40, 200}, dtype), x = wide.narrow(1, 3, 128);
    const at::Tensor w = normal("w", {128}, dtype), gx = on_gpu(wide).narrow(1, 3, 128), gw = on_gpu(w);
    compare("rms_norm of strided, unaligned rows", dtype, gpu_tolerance(dtype),
            [&]() -> Tensors {
              const at::Tensor y = poisoned({40, 128}, dtype), rstd = poisoned({40}, at::kFloat);
              rms_norm(y, rstd, gx, gw, 1e-5);
              return {y};
            },
            {reference::rms_norm(x.contiguous(), w, 1e-5)});
  }
}

TEST(CudaRows, Swiglu) {
  for (const auto dtype : kComputeTypes)
    for (const auto& [tokens, columns] : kSizes) {
      const at::Tensor gate_up = normal("gate_up", {tokens, 2 * columns}, dtype) * 3;
      const at::Tensor dh = normal("dh", {tokens, columns}, dtype);
      const at::Tensor g = on_gpu(gate_up), gdh = on_gpu(dh);
      compare(fmt::format("swiglu, and backward {}x{}", tokens, columns), dtype, gpu_tolerance(dtype),
              [&]() -> Tensors {
                const at::Tensor h = poisoned({tokens, columns}, dtype);
                const at::Tensor dgate_up = poisoned({tokens, 2 * columns}, dtype);
                swiglu(h, g);
                swiglu_backward(dgate_up, gdh, g);
                return {h, dgate_up};
              },
              {reference::swiglu(gate_up), reference::swiglu_backward(dh, gate_up)});
    }
}

struct RotaryCase {
  int64_t tokens, heads, head_size, column, pairs;
};

TEST(CudaRows, Rotary) {
  for (const auto dtype : kComputeTypes)
    for (const RotaryCase& c :
         {RotaryCase{1, 1, 2, 0, 1}, RotaryCase{9, 3, 192, 128, 32}, RotaryCase{50, 5, 130, 1, 33},
          RotaryCase{3, 2, 1024, 0, 512}, RotaryCase{0, 2, 8, 0, 4}})
      for (const bool interleaved : {false, true})
        for (const bool inverse : {false, true}) {
          const RotaryOptions options{c.column, interleaved, inverse};
          const at::Tensor x = normal("x", {c.tokens, c.heads, c.head_size}, dtype);
          const at::Tensor angles = normal("angles", {c.tokens, c.pairs});
          const at::Tensor cos = angles.cos(), sin = angles.sin(), gcos = on_gpu(cos), gsin = on_gpu(sin);
          at::Tensor expected = x.clone();
          rotary(expected, cos, sin, options);
          compare(
              fmt::format("rotary T{} H{} size {} column {} pairs {}{}{}", c.tokens, c.heads, c.head_size,
                          c.column, c.pairs, interleaved ? " interleaved" : "", inverse ? " inverse" : ""),
              dtype, kExact,
              [&]() -> Tensors {
                const at::Tensor out = on_gpu(x);
                rotary(out, gcos, gsin, options);
                return {out};
              },
              {expected});
        }
}

TEST(CudaRows, Embedding) {
  for (const auto dtype : kComputeTypes)
    for (const auto& [tokens, columns, vocabulary] : std::vector<std::array<int64_t, 3>>{
             {1, 1, 1}, {0, 8, 5}, {300, 24, 7}, {1000, 264, 500}, {77, 5, 1000}, {2000, 512, 3}}) {
      const at::Tensor ids = whole_numbers("ids", {tokens}, vocabulary);
      const at::Tensor w = normal("w", {vocabulary, columns}, dtype);
      const at::Tensor dy = normal("dy", {tokens, columns}, dtype),
                       before = normal("before", {vocabulary, columns});
      const at::Tensor gids = on_gpu(ids), gw = on_gpu(w), gdy = on_gpu(dy), gbefore = on_gpu(before);
      const at::Tensor y = w.index_select(0, ids);
      at::Tensor dw = before.clone();
      embedding_backward(dw, dy, ids);
      compare(fmt::format("embedding, and backward T{} D{} V{}", tokens, columns, vocabulary), dtype, kExact,
              [&]() -> Tensors {
                const at::Tensor out = poisoned({tokens, columns}, dtype), gdw = gbefore.clone();
                embedding(out, gids, gw);
                embedding_backward(gdw, gdy, gids);
                return {out, gdw};
              },
              {y, dw});
    }
}

TEST(CudaRows, BadIdsBecomeNaN) {
  const at::Tensor ids = at::zeros({3}, at::kLong), w = normal("w", {4, 8});
  ids[1] = 4;
  ids[2] = -1;
  const at::Tensor out = poisoned({3, 8}, at::kFloat);
  embedding(out, on_gpu(ids), on_gpu(w));
  const at::Tensor is_nan = out.cpu().isnan().all(1);
  EXPECT_FALSE(is_nan[0].item<bool>());
  EXPECT_TRUE(is_nan[1].item<bool>() && is_nan[2].item<bool>());
}

TEST(CudaRows, OrderedSum) {
  for (const auto dtype : kComputeTypes)
    for (const int64_t count : {1, 2, 3, 8, 13}) {
      Tensors parts, on_device;
      for (int64_t i = 0; i < count; ++i) {
        parts.push_back(normal(fmt::format("part{}", i), {1000}, dtype));
        on_device.push_back(on_gpu(parts.back()));
      }
      const at::Tensor sum = reference::ordered_sum(parts);
      compare(fmt::format("ordered_sum of {}", count), dtype, kExact,
              [&]() -> Tensors {
                const at::Tensor full = poisoned({1000}, at::kFloat),
                                 rounded = poisoned({1000}, at::kBFloat16);
                ordered_sum(full, on_device);
                ordered_sum(rounded, on_device);
                return {full, rounded};
              },
              {sum, sum.to(at::kBFloat16)});
    }
}

TEST(CudaRows, ChunkSquareSums) {
  for (const int64_t count : {1, 0, 255, 256, 257, 10000, 100003}) {
    const at::Tensor flat = normal("flat", {count}), on_device = on_gpu(flat);
    const int64_t chunks = (count + kFlatAlignment - 1) / kFlatAlignment;
    at::Tensor expected = at::zeros({chunks}, at::kDouble);
    chunk_square_sums(expected, flat);
    compare(fmt::format("chunk_square_sums {}", count), at::kFloat, kExact,
            [&]() -> Tensors {
              const at::Tensor out = poisoned({chunks}, at::kDouble);
              chunk_square_sums(out, on_device);
              return {out};
            },
            {expected});
  }
}

TEST(CudaRows, AdamW) {
  const AdamWOptions options{3e-4, 0.9, 0.95, 1e-8, 0.1, 3, 0.7};
  const std::vector<ElementRange> decay{{0, 300}, {512, 900}};
  for (const auto dtype : kComputeTypes) {
    const at::Tensor master = normal("master", {1001}), gradient = normal("gradient", {1001});
    const at::Tensor m = (normal("m", {1001}) * 0.1).to(dtype), v = normal("v", {1001}).square().to(dtype);
    const at::Tensor ggradient = on_gpu(gradient);
    const reference::AdamWState state{master.to(at::kDouble), m.to(at::kDouble), v.to(at::kDouble)};
    reference::adamw(state, gradient, decay, options);
    compare("adamw (dtype of the moments)", dtype, gpu_tolerance(dtype),
            [&]() -> Tensors {
              const at::Tensor p = on_gpu(master).clone(), gm = on_gpu(m).clone(), gv = on_gpu(v).clone();
              const at::Tensor compute = poisoned({1001}, at::kBFloat16);
              adamw(p, gm, gv, ggradient, compute, decay, options);
              return {p, gm, gv};
            },
            {state.master, state.exp_avg, state.exp_avg_sq});
  }
}

}  // namespace
}  // namespace athanor::kernels
