// Products on a GPU against fp64.
#include <ATen/TensorOperators.h>
#include <ATen/ops/concat.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/zeros.h>
#include <fmt/core.h>

#include "kernels/cuda/products.h"
#include "kernels/ops.h"
#include "tests/kernels/cuda_testing.h"

namespace athanor::kernels {
namespace {

using testing::compare;
using testing::gpu_tolerance;
using testing::kComputeTypes;
using testing::normal;
using testing::on_gpu;
using testing::poisoned;
using testing::Tensors;

// Tensor cores cut the low bits of each step of a sum; fp32 sums of fp32 products do not.
double sum_tolerance(at::ScalarType inputs) {
  return inputs == at::kBFloat16 ? 1e-4 : 1e-5;
}

struct Shape {
  int64_t rows, columns, depth;
};
// One token, odd sizes, nothing to sum, no rows, a real one.
constexpr Shape kShapes[] = {{1, 64, 32}, {7, 5, 3}, {129, 65, 33}, {4, 8, 0}, {0, 8, 16}, {384, 512, 2048}};

std::string named(const char* operation, const Shape& shape) {
  return fmt::format("{} {}x{}x{}", operation, shape.rows, shape.columns, shape.depth);
}

/// in fp64, on the CPU.
at::Tensor product(const at::Tensor& a, const at::Tensor& b) {
  return at::matmul(a.to(at::kDouble), b.to(at::kDouble));
}

TEST(CudaProducts, LinearLayer) {
  for (const auto dtype : kComputeTypes)
    for (const Shape& s : kShapes) {
      const at::Tensor a = normal("a", {s.rows, s.depth}, dtype),
                       w = normal("w", {s.columns, s.depth}, dtype);
      const at::Tensor bias = normal("bias", {s.columns}, dtype);
      const at::Tensor ga = on_gpu(a), gw = on_gpu(w), gbias = on_gpu(bias);
      const at::Tensor expected = product(a, w.t());
      compare(named("matmul_nt", s), dtype, gpu_tolerance(dtype),
              [&]() -> Tensors {
                const at::Tensor out = poisoned({s.rows, s.columns}, dtype);
                matmul_nt(out, ga, gw);
                return {out};
              },
              {expected});
      compare(named("matmul_nt with bias", s), dtype, gpu_tolerance(dtype),
              [&]() -> Tensors {
                const at::Tensor out = poisoned({s.rows, s.columns}, dtype);
                matmul_nt(out, ga, gw, false, gbias);
                return {out};
              },
              {expected + bias.to(at::kDouble)});
      compare(named("matmul, packed, to fp32", s), dtype, sum_tolerance(dtype),
              [&]() -> Tensors {
                const at::Tensor out = poisoned({s.rows, s.columns}, at::kFloat);
                matmul(out, ga, pack_nt(gw));
                return {out};
              },
              {expected});
    }
}

TEST(CudaProducts, RowStrides) {
  for (const auto dtype : kComputeTypes) {
    const at::Tensor a = normal("a", {33, 40}, dtype), w = normal("w", {24, 40}, dtype);
    const at::Tensor ga = on_gpu(normal("wide", {33, 64}, dtype)).narrow(1, 16, 40), gw = on_gpu(w);
    ga.copy_(a);
    compare("matmul_nt with row strides", dtype, gpu_tolerance(dtype),
            [&]() -> Tensors {
              const at::Tensor wide = poisoned({33, 48}, dtype), out = wide.narrow(1, 8, 24);
              matmul_nt(out, ga, gw);
              return {out.contiguous()};
            },
            {product(a, w.t())});
  }
}

TEST(CudaProducts, Gradients) {
  for (const auto dtype : kComputeTypes)
    for (const Shape& s : kShapes) {
      const at::Tensor dy = normal("dy", {s.rows, s.columns}, dtype),
                       w = normal("w", {s.columns, s.depth}, dtype);
      const at::Tensor x = normal("x", {s.rows, s.depth}, dtype),
                       before = normal("before", {s.columns, s.depth});
      const at::Tensor gdy = on_gpu(dy), gw = on_gpu(w), gx = on_gpu(x), gbefore = on_gpu(before);
      compare(named("matmul_nn", s), dtype, gpu_tolerance(dtype),
              [&]() -> Tensors {
                const at::Tensor out = poisoned({s.rows, s.depth}, dtype);
                matmul_nn(out, gdy, gw);
                return {out};
              },
              {product(dy, w)});
      compare(named("matmul, packed for the gradient", s), dtype, gpu_tolerance(dtype),
              [&]() -> Tensors {
                const at::Tensor out = poisoned({s.rows, s.depth}, dtype);
                matmul(out, gdy, pack_nn(gw));
                return {out};
              },
              {product(dy, w)});
      compare(named("matmul_tn", s), dtype, sum_tolerance(dtype),
              [&]() -> Tensors {
                const at::Tensor out = poisoned({s.columns, s.depth}, at::kFloat);
                matmul_tn(out, gdy, gx);
                return {out};
              },
              {product(dy.t(), x)});
      compare(named("matmul_tn, accumulated", s), dtype, sum_tolerance(dtype),
              [&]() -> Tensors {
                const at::Tensor out = gbefore.clone();
                matmul_tn(out, gdy, gx, true);
                return {out};
              },
              {product(dy.t(), x) + before.to(at::kDouble)});
    }
}

TEST(CudaProducts, SumRows) {
  for (const auto dtype : kComputeTypes)
    for (const auto& [rows, columns] : std::vector<std::pair<int64_t, int64_t>>{
             {1, 1}, {0, 24}, {63, 17}, {64, 64}, {65, 2056}, {1000, 520}}) {
      const at::Tensor a = normal("a", {rows, columns}, dtype), before = normal("before", {columns});
      const at::Tensor ga = on_gpu(a), gbefore = on_gpu(before), sums = a.to(at::kDouble).sum(0);
      compare(fmt::format("sum_rows {}x{}", rows, columns), dtype, 1e-6,
              [&]() -> Tensors {
                const at::Tensor out = poisoned({columns}, at::kFloat), added = gbefore.clone();
                sum_rows(out, ga);
                sum_rows(added, ga, true);
                return {out, added};
              },
              {sums, sums + before.to(at::kDouble)});
    }
}

struct GroupedCase {
  std::vector<int64_t> offsets;
  int64_t columns, depth;
};
const GroupedCase kGrouped[] = {
    {{0, 1}, 8, 16},
    {{0, 0, 5, 5, 12, 13}, 24, 40},  // empty experts, odd counts
    {{0, 3, 3, 10}, 7, 5},           // sizes that no fast kernel takes
    {{0, 0, 0}, 16, 8},              // no rows at all
    {{0, 100, 300, 300, 700, 1024}, 256, 512},
    {{0, 1500, 2600}, 128, 64},
};

at::Tensor grouped_reference(const at::Tensor& a, const at::Tensor& b_EKN,
                             const std::vector<int64_t>& offsets) {
  at::Tensor out = at::zeros({a.size(0), b_EKN.size(2)}, at::TensorOptions().dtype(at::kDouble));
  for (size_t e = 0; e + 1 < offsets.size(); ++e) {
    const int64_t count = offsets[e + 1] - offsets[e];
    out.narrow(0, offsets[e], count)
        .copy_(product(a.narrow(0, offsets[e], count), b_EKN.select(0, static_cast<int64_t>(e))));
  }
  return out;
}

at::Tensor grouped_gradient(const at::Tensor& a, const at::Tensor& b, const std::vector<int64_t>& offsets) {
  Tensors products;
  for (size_t e = 0; e + 1 < offsets.size(); ++e) {
    const int64_t count = offsets[e + 1] - offsets[e];
    products.push_back(
        product(a.narrow(0, offsets[e], count).t(), b.narrow(0, offsets[e], count)).unsqueeze(0));
  }
  return at::concat(products, 0);
}

TEST(CudaProducts, Grouped) {
  for (const auto dtype : kComputeTypes)
    for (const GroupedCase& c : kGrouped) {
      const int64_t experts = static_cast<int64_t>(c.offsets.size()) - 1, rows = c.offsets.back();
      const at::Tensor x = normal("x", {rows, c.depth}, dtype), dy = normal("dy", {rows, c.columns}, dtype);
      const at::Tensor w = normal("w", {experts, c.columns, c.depth}, dtype);
      const at::Tensor before = normal("before", {experts, c.columns, c.depth});
      const at::Tensor gx = on_gpu(x), gdy = on_gpu(dy), gw = on_gpu(w), gbefore = on_gpu(before);
      const std::string shape = fmt::format(" {} experts {} rows {}x{}", experts, rows, c.columns, c.depth);
      compare("grouped_matmul_nt" + shape, dtype, gpu_tolerance(dtype),
              [&]() -> Tensors {
                const at::Tensor out = poisoned({rows, c.columns}, dtype);
                grouped_matmul_nt(out, gx, gw, c.offsets);
                return {out};
              },
              {grouped_reference(x, w.transpose(1, 2), c.offsets)});
      compare("grouped_matmul_nn" + shape, dtype, gpu_tolerance(dtype),
              [&]() -> Tensors {
                const at::Tensor out = poisoned({rows, c.depth}, dtype);
                grouped_matmul_nn(out, gdy, gw, c.offsets);
                return {out};
              },
              {grouped_reference(dy, w, c.offsets)});
      const at::Tensor dw = grouped_gradient(dy, x, c.offsets);
      compare("grouped_matmul_tn, and accumulated" + shape, dtype, sum_tolerance(dtype),
              [&]() -> Tensors {
                const at::Tensor out = poisoned({experts, c.columns, c.depth}, at::kFloat);
                grouped_matmul_tn(out, gdy, gx, c.offsets);
                const at::Tensor added = gbefore.clone();
                grouped_matmul_tn(added, gdy, gx, c.offsets, true);
                return {out, added};
              },
              {dw, dw + before.to(at::kDouble)});
      compare("grouped products one by one" + shape, dtype, gpu_tolerance(dtype),
              [&]() -> Tensors {
                const at::Tensor out = poisoned({rows, c.columns}, dtype);
                cuda::grouped_matmul_one_by_one(out, gx, gw.transpose(1, 2), c.offsets);
                return {out};
              },
              {grouped_reference(x, w.transpose(1, 2), c.offsets)});
    }
}

TEST(CudaProducts, PeakIsMeasured) {
  EXPECT_GT(measure_peak_flops(at::kBFloat16, testing::gpu()), 1e12);
  EXPECT_EQ(product_kernel_name(at::kBFloat16, testing::gpu()).find("cublas"), 0u);
}

}  // namespace
}  // namespace athanor::kernels
