// Products against the literal chain of fused multiply-adds: equal bits (on machines whose bf16 products run
// on tile hardware: bf16 within rounding, and still the same bits for any batch and any number of threads).
#include <cstring>

#include "core/error.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/gemm_isa.h"
#include "kernels/cpu/processor.h"
#include "kernels/cpu/tile_engine.h"
#include "kernels/ops.h"
#include "kernels/reference/plain_ops.h"
#include "tests/kernels/kernel_test.h"

namespace athanor::kernels {
namespace {

using namespace testing;

struct Shape {
  int64_t num_rows, num_columns, depth;
};

constexpr Shape kShapes[] = {{1, 1, 1},     {1, 16, 7},     {2, 17, 3},   {5, 31, 64},
                             {6, 16, 256},  {7, 33, 257},   {13, 64, 31}, {64, 128, 65},
                             {253, 40, 19}, {300, 270, 11}, {3, 300, 520}};

/// Equal bits where the chain is ours; else equal within rounding.
void expect_chain(const at::Tensor& out, const at::Tensor& expected, at::ScalarType operand_dtype) {
  if (operand_dtype == at::kBFloat16 && cpu::tile_engine())
    EXPECT_LT(largest_error(out, expected), out.scalar_type() == at::kBFloat16 ? 1e-2 : 1e-4);
  else
    EXPECT_TRUE(same_bits(out, expected.to(out.scalar_type()))) << largest_error(out, expected);
}

std::string text(const Shape& s, at::ScalarType dtype) {
  return fmt::format("M {} N {} K {} {}", s.num_rows, s.num_columns, s.depth, c10::toString(dtype));
}

template <typename Body>
void for_all_shapes(Body body) {
  for (const at::ScalarType dtype : kComputeTypes)
    for (const Shape& shape : kShapes) {
      SCOPED_TRACE(text(shape, dtype));
      for_thread_counts([&] { body(shape, dtype); });
    }
}

TEST(Products, PlainAndPackedEqualTheChain) {
  for_all_shapes([](const Shape& s, at::ScalarType dtype) {
    const at::Tensor a = random_tensor({s.num_rows, s.depth}, dtype, 1);
    const at::Tensor w = random_tensor({s.num_columns, s.depth}, dtype, 2);
    const at::Tensor expected = reference::product(a, w.t());
    for (const at::ScalarType out_dtype : {at::kFloat, dtype}) {
      const at::Tensor nt = at::empty({s.num_rows, s.num_columns}, typed(out_dtype)),
                       packed = at::empty_like(nt);
      matmul_nt(nt, a, w);
      matmul(packed, a, pack_nt(w));
      expect_chain(nt, expected, dtype);
      EXPECT_TRUE(same_bits(nt, packed));
      const at::Tensor w_KN = w.t().contiguous(), nn = at::empty_like(nt), packed_nn = at::empty_like(nt);
      matmul_nn(nn, a, w_KN);
      matmul(packed_nn, a, pack_nn(w_KN));
      EXPECT_TRUE(same_bits(nt, nn));
      EXPECT_TRUE(same_bits(nt, packed_nn));
    }
  });
}

TEST(Products, StridedOperandsBiasAndAccumulation) {
  for_all_shapes([](const Shape& s, at::ScalarType dtype) {
    const at::Tensor a = with_row_gap(random_tensor({s.num_rows, s.depth}, dtype, 3), 5);
    const at::Tensor w = with_row_gap(random_tensor({s.num_columns, s.depth}, dtype, 4), 3);
    const at::Tensor bias = random_tensor({s.num_columns}, dtype, 5);
    const at::Tensor start = with_row_gap(random_tensor({s.num_rows, s.num_columns}, at::kFloat, 6), 7);
    const at::Tensor outside = start.as_strided({1}, {1}, s.num_columns), outside_before = outside.clone();
    const at::Tensor expected = reference::product(a, w.t(), start) + bias.to(at::kFloat);
    matmul_nt(start, a, w, /*accumulate=*/true, bias);
    expect_chain(start, expected, dtype);
    EXPECT_TRUE(same_bits(outside, outside_before));
    const at::Tensor rounded = at::empty({s.num_rows, s.num_columns}, typed(dtype));
    matmul(rounded, a, pack_nt(w), false, bias);
    expect_chain(rounded, reference::product(a, w.t()) + bias.to(at::kFloat), dtype);
  });
}

TEST(Products, WeightGradientSumsTokensInOrder) {
  for_all_shapes([](const Shape& s, at::ScalarType dtype) {
    const at::Tensor a = with_row_gap(random_tensor({s.depth, s.num_rows}, dtype, 7), 2);
    const at::Tensor b = with_row_gap(random_tensor({s.depth, s.num_columns}, dtype, 8), 1);
    at::Tensor out = random_tensor({s.num_rows, s.num_columns}, at::kFloat, 9);
    const at::Tensor added = reference::product(a.t(), b, out);
    matmul_tn(out, a, b, /*accumulate=*/true);
    expect_chain(out, added, dtype);
    matmul_tn(out, a, b);
    expect_chain(out, reference::product(a.t(), b), dtype);
  });
}

TEST(Products, OperandsOfDifferentTypes) {
  const at::Tensor a = random_tensor({37, 50}, at::kFloat, 1), b = random_tensor({37, 21}, at::kBFloat16, 2);
  const at::Tensor out = at::empty({50, 21}, typed(at::kFloat));
  matmul_tn(out, a, b);
  EXPECT_TRUE(same_bits(out, reference::product(a.t(), b)));
}

TEST(Products, ARowsBitsDoNotDependOnTheBatch) {
  for (const at::ScalarType dtype : kComputeTypes) {
    const at::Tensor a = random_tensor({301, 129}, dtype, 10), w = random_tensor({75, 129}, dtype, 11);
    const PackedMatrix packed = pack_nt(w);
    const at::Tensor whole = at::empty({301, 75}, typed(dtype));
    matmul(whole, a, packed);
    for (const int64_t count : {1, 2, 3, 6, 7, 100})
      for (const int64_t begin : {0, 1, 150, 201}) {
        const at::Tensor part = at::empty({count, 75}, typed(dtype));
        matmul(part, a.narrow(0, begin, count), packed);
        EXPECT_TRUE(same_bits(part, whole.narrow(0, begin, count))) << count << " rows from " << begin;
      }
  }
}

TEST(Products, EmptyOperands) {
  const at::Tensor none = at::empty({0, 8}), w = random_tensor({4, 8}, at::kFloat, 1);
  matmul_nt(at::empty({0, 4}), none, w);
  at::Tensor out = random_tensor({4, 8}, at::kFloat, 2);
  const at::Tensor before = out.clone();
  matmul_tn(out, at::empty({0, 4}), none, /*accumulate=*/true);
  EXPECT_TRUE(same_bits(out, before));
  matmul_tn(out, at::empty({0, 4}), none);
  EXPECT_TRUE(same_bits(out, at::zeros({4, 8})));
  const PackedMatrix packed = pack_nt(at::empty({0, 8}));
  matmul(at::empty({3, 0}), random_tensor({3, 8}, at::kFloat, 3), packed);
}

TEST(Products, GroupedEqualsOneProductPerExpert) {
  const std::vector<int64_t> offsets = {0, 3, 3, 300, 301, 301};
  const int64_t num_experts = 5, num_rows = 301, num_columns = 70, depth = 45;
  for (const at::ScalarType dtype : kComputeTypes) {
    for_thread_counts([&] {
      const at::Tensor a = random_tensor({num_rows, depth}, dtype, 1);
      const at::Tensor w = random_tensor({num_experts, num_columns, depth}, dtype, 2);
      const at::Tensor out = at::empty({num_rows, num_columns}, typed(dtype)), dx = at::empty_like(a);
      at::Tensor dw = random_tensor({num_experts, num_columns, depth}, at::kFloat, 3), sum = dw.clone();
      grouped_matmul_nt(out, a, w, offsets);
      grouped_matmul_nn(dx, out, w, offsets);
      grouped_matmul_tn(dw, out, a, offsets);
      grouped_matmul_tn(sum, out, a, offsets, /*accumulate=*/true);
      for (int64_t e = 0; e < num_experts; ++e) {
        const int64_t begin = offsets[e], count = offsets[e + 1] - begin;
        const at::Tensor rows = a.narrow(0, begin, count), dy = out.narrow(0, begin, count);
        const at::Tensor one_out = at::empty_like(dy), one_dx = at::empty_like(rows);
        const at::Tensor one_dw = at::empty({num_columns, depth}),
                         one_sum = random_tensor(dw.sizes(), at::kFloat, 3)[e];
        matmul_nt(one_out, rows, w[e]);
        matmul_nn(one_dx, dy, w[e]);
        matmul_tn(one_dw, dy, rows);
        matmul_tn(one_sum, dy, rows, true);
        EXPECT_TRUE(same_bits(dy, one_out)) << e;
        EXPECT_TRUE(same_bits(dx.narrow(0, begin, count), one_dx)) << e;
        EXPECT_TRUE(same_bits(dw[e], one_dw)) << e;
        EXPECT_TRUE(same_bits(sum[e], one_sum)) << e;
      }
    });
  }
}

TEST(Products, SumRows) {
  for (const at::ScalarType dtype : kComputeTypes)
    for (const Shape& s : kShapes) {
      for_thread_counts([&] {
        const at::Tensor a = with_row_gap(random_tensor({s.num_rows, s.num_columns}, dtype, 1), 3);
        at::Tensor out = random_tensor({s.num_columns}, at::kFloat, 2);
        const at::Tensor added = reference::sum_rows(a, out);
        sum_rows(out, a, /*accumulate=*/true);
        EXPECT_TRUE(same_bits(out, added));
        sum_rows(out, a);
        EXPECT_TRUE(same_bits(out, reference::sum_rows(a)));
      });
    }
}

TEST(Products, WrongArgumentsAreNamed) {
  const at::Tensor a = at::zeros({3, 8}), w = at::zeros({4, 8}), out = at::zeros({3, 4});
  EXPECT_THROW(matmul_nt(out, a, at::zeros({4, 7})), core::InternalError);
  EXPECT_THROW(matmul_nt(at::zeros({3, 5}), a, w), core::InternalError);
  EXPECT_THROW(matmul_nt(out, a, at::zeros({8, 4}).t()), core::InternalError);
  EXPECT_THROW(matmul_nt(out, a.to(at::kDouble), w), core::InternalError);
  EXPECT_THROW(matmul_nt(out.to(at::kBFloat16), a, w, /*accumulate=*/true), core::InternalError);
  EXPECT_THROW(matmul_nt(out, a, w, false, at::zeros({3})), core::InternalError);
  EXPECT_THROW(matmul_nt(out, a, at::Tensor()), core::InternalError);
  EXPECT_THROW(matmul(out, a, PackedMatrix()), core::InternalError);
  EXPECT_THROW(matmul(out, a.to(at::kBFloat16), pack_nt(w)), core::InternalError);
  EXPECT_THROW(matmul_tn(at::zeros({8, 4}, typed(at::kBFloat16)), a, at::zeros({3, 4})), core::InternalError);
  EXPECT_THROW(sum_rows(at::zeros({3}), a), core::InternalError);
  const at::Tensor experts = at::zeros({2, 4, 8});
  for (const auto& offsets : std::vector<std::vector<int64_t>>{{0, 3}, {0, 2, 2}, {1, 2, 3}, {0, 4, 3}, {}})
    EXPECT_THROW(grouped_matmul_nt(out, a, experts, offsets), core::InternalError);
  try {
    matmul_nt(out, a, at::zeros({4, 7}));
  } catch (const core::InternalError& error) {
    EXPECT_NE(std::string(error.what()).find("matmul_nt: a has shape [3, 8], expected [3, 7]"),
              std::string::npos)
        << error.what();
  }
}

TEST(Products, MeasuresAPeak) {
  for (const at::ScalarType dtype : kComputeTypes) EXPECT_GT(measure_peak_flops(dtype), 1e6);
  EXPECT_THROW(product_kernel_name(at::kDouble), core::InternalError);
}

// ---- the building block, on every instruction set that runs here
// ---------------------------------------------

std::vector<const cpu::GemmTable*> runnable_tables() {
  std::vector<const cpu::GemmTable*> tables = {&cpu::portable::kGemmTable};
  if (cpu::processor_isa() >= cpu::Isa::kAvx2) tables.push_back(&cpu::avx2::kGemmTable);
  if (cpu::processor_isa() >= cpu::Isa::kAvx512) tables.push_back(&cpu::avx512::kGemmTable);
  return tables;
}

TEST(Gemm, EveryInstructionSetGivesTheChain) {
  for (const cpu::GemmTable* table : runnable_tables())
    for (const auto& [num_rows, num_columns, depth] : kShapes)
      for (const bool transposed : {false, true}) {
        SCOPED_TRACE(::testing::Message()
                     << num_rows << " " << num_columns << " " << depth << " " << transposed);
        const at::Tensor a = random_tensor({num_rows, depth}, at::kFloat, 1);
        const at::Tensor a_memory = transposed ? a.t().contiguous() : a;
        const at::Tensor b = random_tensor({num_columns, depth}, at::kFloat, 2);
        const at::Tensor out = at::empty({num_rows, num_columns});
        std::vector<float> packed(cpu::packed_size(num_columns, depth));
        cpu::pack_nk(packed.data(), b.const_data_ptr<float>(), depth, num_columns, depth);
        cpu::GemmArgs<float, float> args{};
        args.num_rows = num_rows, args.num_columns = num_columns, args.depth = depth;
        args.a = a_memory.const_data_ptr<float>();
        args.a_stride = a_memory.stride(0);
        args.a_is_transposed = transposed;
        args.packed_b = packed.data();
        args.c = out.mutable_data_ptr<float>();
        args.c_stride = num_columns;
        table->f32_f32(args);
        EXPECT_TRUE(same_bits(out, reference::product(a, b.t())));
      }
}

TEST(Gemm, ADepthCutInTwoGivesTheSameBits) {
  const int64_t num_rows = 9, num_columns = 21, depth = 300, cut = 111;
  const at::Tensor a = random_tensor({num_rows, depth}, at::kFloat, 1),
                   b = random_tensor({depth, num_columns}, at::kFloat, 2);
  const at::Tensor out = at::empty({num_rows, num_columns});
  std::vector<float> packed(cpu::packed_size(num_columns, depth));
  cpu::pack_kn(packed.data(), b.const_data_ptr<float>(), num_columns, num_columns, depth);
  cpu::GemmArgs<float, float> args{};
  args.num_rows = num_rows, args.num_columns = num_columns, args.depth = cut, args.panel_depth = depth;
  args.a = a.const_data_ptr<float>(), args.a_stride = depth;
  args.packed_b = packed.data();
  args.c = out.mutable_data_ptr<float>(), args.c_stride = num_columns;
  cpu::gemm(args);
  args.a += cut, args.packed_b += cut * cpu::kPanelColumns;
  args.depth = depth - cut, args.accumulate = true;
  cpu::gemm(args);
  EXPECT_TRUE(same_bits(out, reference::product(a, b)));
}

}  // namespace
}  // namespace athanor::kernels
