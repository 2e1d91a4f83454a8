// The products for tile hardware, driven by a plain emulation of its block product: packing, padding, cutting
// and rounding are tested on any machine; the self-check must notice a wrong engine.
#include "kernels/cpu/tile_products.h"

#include <ATen/ops/full.h>

#include "kernels/cpu/dot_engine.h"
#include "kernels/cpu/tensor_data.h"
#include "kernels/reference/plain_ops.h"
#include "kernels/reference/tile_engine.h"
#include "tests/kernels/kernel_test.h"

namespace athanor::kernels {
namespace {

using namespace testing;
using cpu::Bf16;
using cpu::RightLayout;

const cpu::TileEngine& kEmulation = reference::tile_engine();

void forgetful_multiply(int64_t m, int64_t k, const Bf16* a, int64_t a_stride, const Bf16* b, float* c,
                        int64_t c_stride, bool accumulate) {
  kEmulation.multiply(m, k - 2, a, a_stride, b, c, c_stride, accumulate);
}

void overwriting_multiply(int64_t m, int64_t k, const Bf16* a, int64_t a_stride, const Bf16* b, float* c,
                          int64_t c_stride, bool) {
  kEmulation.multiply(m, k, a, a_stride, b, c, c_stride, /*accumulate=*/false);
}

void nothing() {}

constexpr cpu::TileEngine kForgetful{forgetful_multiply, nothing},
    kOverwriting{overwriting_multiply, nothing};

TEST(TileProducts, TheSelfCheckTellsRightFromWrong) {
  EXPECT_TRUE(cpu::agrees_with_gemm(kEmulation));
  EXPECT_FALSE(cpu::agrees_with_gemm(kForgetful));
  EXPECT_FALSE(cpu::agrees_with_gemm(kOverwriting));
}

struct Case {
  int64_t num_rows, num_columns, depth;
};

cpu::Product product(const at::Tensor& out, const at::Tensor& a, bool transposed, const at::Tensor& b,
                     RightLayout layout) {
  const int64_t depth = a.size(transposed ? 0 : 1);
  return {out.size(0),
          out.size(1),
          depth,
          {a.const_data_ptr(), true, a.stride(0), transposed},
          {b.const_data_ptr(), true, layout, b.stride(0)},
          {out.mutable_data_ptr(), out.scalar_type() == at::kBFloat16, out.stride(0)}};
}

TEST(TileProducts, EveryLayoutGivesTheChainOfTheEmulation) {
  for (const auto& [num_rows, num_columns, depth] :
       {Case{1, 1, 1}, Case{16, 64, 32}, Case{17, 70, 33}, Case{140, 257, 5}, Case{20, 3, 1030},
        Case{272, 128, 65}, Case{130, 1100, 2}, Case{144, 64, 600}})
    for_thread_counts([&, m = num_rows, n = num_columns, k = depth] {
      SCOPED_TRACE(::testing::Message() << m << " " << n << " " << k);
      const at::Tensor a = random_tensor({m, k}, at::kBFloat16, 1),
                       w = random_tensor({n, k}, at::kBFloat16, 2);
      const at::Tensor a_transposed = a.t().contiguous(), w_transposed = w.t().contiguous();
      const at::Tensor expected = reference::product(a, w.t());
      const at::Tensor packed = at::empty({cpu::tile_packed_size(n, k)}, typed(at::kBFloat16));
      cpu::pack_tiles(cpu::mutable_data<Bf16>(packed), cpu::data<Bf16>(w), RightLayout::kColumns, k, n, k);
      for (const at::ScalarType dtype : kComputeTypes) {
        const auto run = [&](const at::Tensor& left, bool transposed, const at::Tensor& right,
                             RightLayout layout) {
          const at::Tensor out = at::empty({m, n}, typed(dtype));
          cpu::run_tile_products({product(out, left, transposed, right, layout)}, kEmulation);
          return same_bits(out, expected.to(dtype));
        };
        EXPECT_TRUE(run(a, false, w, RightLayout::kColumns));
        EXPECT_TRUE(run(a, false, w_transposed, RightLayout::kRows));
        EXPECT_TRUE(run(a, false, packed, RightLayout::kTileBlocks));
        EXPECT_TRUE(run(a_transposed, true, w_transposed, RightLayout::kRows));
      }
    });
}

// 144 x 128 sums in the output itself, 20 x 66 beside it; some of both in 150 x 130.
TEST(TileProducts, AddsToTheOutputAndTheBias) {
  for (const auto& [m, n, k] : {Case{20, 66, 9}, Case{144, 128, 9}, Case{150, 130, 9}, Case{144, 130, 0}}) {
    SCOPED_TRACE(::testing::Message() << m << " " << n << " " << k);
    const at::Tensor a = random_tensor({m, k}, at::kBFloat16, 1), w = random_tensor({n, k}, at::kBFloat16, 2);
    const at::Tensor start = random_tensor({m, n}, at::kFloat, 3), out = start.clone(),
                     bias = random_tensor({n}, at::kFloat, 4);
    cpu::Product one = product(out, a, false, w, RightLayout::kColumns);
    one.out.accumulate = true;
    one.out.bias = bias.const_data_ptr<float>();
    cpu::run_tile_products({one}, kEmulation);
    EXPECT_TRUE(same_bits(out, reference::product(a, w.t(), start) + bias));
  }
}

TEST(TileProducts, NoDepthGivesZerosOrLeavesTheOutputAlone) {
  for (const int64_t m : {5, 32}) {
    const at::Tensor a = at::empty({0, m}, typed(at::kBFloat16)),
                     b = at::empty({0, 64}, typed(at::kBFloat16));
    const at::Tensor start = random_tensor({m, 64}, at::kFloat, 1), out = start.clone();
    cpu::Product one = product(out, a, true, b, RightLayout::kRows);
    one.out.accumulate = true;
    cpu::run_tile_products({one}, kEmulation);
    EXPECT_TRUE(same_bits(out, start));
    one.out.accumulate = false;
    cpu::run_tile_products({one}, kEmulation);
    EXPECT_TRUE(same_bits(out, at::zeros(start.sizes(), start.options())));
  }
}

struct Group {
  at::Tensor a, b;
  bool transposed;
  RightLayout layout;
};

// Whether everything is packed at once, in several batches, or cut in depth and columns: the same bits.
TEST(TileProducts, TheSizeOfThePackingBufferDoesNotMatter) {
  std::vector<Group> groups;
  for (const auto& [m, n, k] : {Case{200, 200, 70}, Case{144, 192, 1700}, Case{3, 65, 40}, Case{132, 3, 5}}) {
    const at::Tensor a = random_tensor({m, k}, at::kBFloat16, 1), w = random_tensor({n, k}, at::kBFloat16, 2);
    groups.push_back({a, w, false, RightLayout::kColumns});
    groups.push_back({a.t().contiguous(), w.t().contiguous(), true, RightLayout::kRows});
    groups.push_back({a, w.t().contiguous(), false, RightLayout::kRows});
  }
  const auto run = [&](int64_t max_packed_elements, at::ScalarType dtype) {
    std::vector<at::Tensor> outs;
    std::vector<cpu::Product> products;
    for (const auto& [a, b, transposed, layout] : groups) {
      outs.push_back(at::empty({a.size(transposed ? 1 : 0), b.size(layout == RightLayout::kColumns ? 0 : 1)},
                               typed(dtype)));
      products.push_back(product(outs.back(), a, transposed, b, layout));
    }
    cpu::run_tile_products(products, kEmulation, max_packed_elements);
    return outs;
  };
  for (const at::ScalarType dtype : kComputeTypes) {
    const auto expected = run(cpu::kMaxPackedTileElements, dtype);
    for (const int64_t limit : {1, 20000, 120000, 500000}) {
      const auto outs = run(limit, dtype);
      for (size_t i = 0; i < outs.size(); ++i) {
        EXPECT_TRUE(same_bits(outs[i], expected[i])) << "product " << i << " with " << limit << " elements";
        const auto& [a, b, transposed, layout] = groups[i];
        const at::Tensor right = layout == RightLayout::kColumns ? b.t() : b;
        EXPECT_TRUE(same_bits(outs[i], reference::product(transposed ? a.t() : a, right).to(dtype)));
      }
    }
  }
}

// An element's sum depends on its row and column alone, however many rows come in one call.
TEST(DotEngine, AgreesAndKeepsTheBitsOfEveryRow) {
  const cpu::TileEngine* const engine = cpu::dot_engine();
  if (!engine) GTEST_SKIP() << "no dot products of bf16 pairs on this processor";
  EXPECT_TRUE(cpu::agrees_with_gemm(*engine));
  for (const int64_t k : {2, 32, 514}) {
    const at::Tensor a = random_tensor({128, k + 6}, at::kBFloat16, 1),
                     w = random_tensor({cpu::kTileColumns, k}, at::kBFloat16, 2);
    std::vector<Bf16> packed(static_cast<size_t>(cpu::tile_packed_size(cpu::kTileColumns, k)));
    cpu::pack_tiles(packed.data(), static_cast<const Bf16*>(w.const_data_ptr()), RightLayout::kColumns, k,
                    cpu::kTileColumns, k);
    const auto rows_at_a_time = [&](int64_t num_rows, bool accumulate) {
      at::Tensor c = at::full({128, 80}, 2.0, typed(at::kFloat));
      for (int64_t row = 0; row < 128; row += num_rows)
        engine->multiply(std::min(num_rows, 128 - row), k,
                         static_cast<const Bf16*>(a.const_data_ptr()) + row * a.stride(0), a.stride(0),
                         packed.data(), c.mutable_data_ptr<float>() + row * c.stride(0), c.stride(0),
                         accumulate);
      return c;
    };
    for (const bool accumulate : {false, true}) {
      const at::Tensor expected = rows_at_a_time(128, accumulate);
      for (const int64_t num_rows : {16, 32, 48, 64, 80, 96, 112})
        EXPECT_TRUE(same_bits(rows_at_a_time(num_rows, accumulate), expected))
            << num_rows << " rows, depth " << k;
      EXPECT_TRUE(same_bits(expected.narrow(1, 64, 16), at::full({128, 16}, 2.0, typed(at::kFloat))));
    }
  }
}

// Rounded in registers or from sums in memory, whole blocks of columns or not: the same bits.
TEST(DotEngine, RoundsAsTheWayThroughMemoryDoes) {
  const cpu::TileEngine* const engine = cpu::dot_engine();
  if (!engine) GTEST_SKIP() << "no dot products of bf16 pairs on this processor";
  cpu::TileEngine through_memory = *engine;
  through_memory.multiply_rounded = nullptr;
  for (const auto& [m, n, k] : {Case{1, 64, 2}, Case{7, 150, 33}, Case{150, 192, 96}}) {
    const at::Tensor a = random_tensor({m, k}, at::kBFloat16, 1), w = random_tensor({n, k}, at::kBFloat16, 2),
                     bias = random_tensor({n}, at::kFloat, 3);
    for (const bool has_bias : {false, true}) {
      const auto run = [&](const cpu::TileEngine& with) {
        at::Tensor out = at::empty({m, n}, typed(at::kBFloat16));
        cpu::Product one = product(out, a, false, w, RightLayout::kColumns);
        if (has_bias) one.out.bias = bias.const_data_ptr<float>();
        cpu::run_tile_products({one}, with);
        return out;
      };
      EXPECT_TRUE(same_bits(run(*engine), run(through_memory))) << m << " x " << n << " x " << k;
    }
  }
}

}  // namespace
}  // namespace athanor::kernels
