// Ordered sums, chunk sums and AdamW against plain references.
#include <cstring>

#include "core/error.h"
#include "kernels/ops.h"
#include "kernels/reference/plain_ops.h"
#include "tests/kernels/kernel_test.h"

namespace athanor::kernels {
namespace {

using namespace testing;

TEST(OrderedSum, EqualsTheTree) {
  for (const at::ScalarType dtype : kComputeTypes)
    for (const at::ScalarType out_dtype : kComputeTypes)
      for (const int64_t num_parts : {1, 2, 3, 4, 5, 7, 8, 13})
        for (const int64_t count : {1, 15, 16, 16500}) {
          std::vector<at::Tensor> parts;
          for (int64_t i = 0; i < num_parts; ++i)
            parts.push_back(random_tensor({count}, dtype, static_cast<uint32_t>(i)));
          const at::Tensor expected = reference::ordered_sum(parts).to(out_dtype);
          for_thread_counts([&] {
            const at::Tensor out = at::empty({count}, typed(out_dtype));
            ordered_sum(out, parts);
            EXPECT_TRUE(same_bits(out, expected)) << num_parts << " parts of " << count;
          });
        }
}

TEST(OrderedSum, MayReplaceAPart) {
  const std::vector<at::Tensor> parts = {random_tensor({33}, at::kFloat, 1),
                                         random_tensor({33}, at::kFloat, 2)};
  const at::Tensor expected = reference::ordered_sum(parts);
  ordered_sum(parts[1], parts);
  EXPECT_TRUE(same_bits(parts[1], expected));
}

TEST(ChunkSquareSums, EqualsTheReferenceForAnyThreads) {
  for (const int64_t count : {0, 1, 255, 256, 257, 100001}) {
    const at::Tensor flat = random_tensor({count}, at::kFloat, 1),
                     expected = reference::chunk_square_sums(flat);
    at::Tensor first;
    for_thread_counts([&] {
      const at::Tensor out = at::empty({expected.numel()}, typed(at::kDouble));
      chunk_square_sums(out, flat);
      EXPECT_LT(largest_error(out, expected), 1e-13) << count;
      if (!first.defined()) first = out;
      EXPECT_TRUE(same_bits(out, first));
    });
  }
}

struct AdamWCase {
  int64_t num_elements;
  std::vector<ElementRange> decay;
};

const AdamWCase kAdamWCases[] = {{1, {}},
                                 {17, {{0, 17}}},
                                 {100, {{3, 50}, {50, 51}, {99, 100}}},
                                 {33000, {{0, 7}, {16000, 17000}, {32999, 33000}}}};

TEST(AdamW, EqualsTheReference) {
  for (const AdamWCase& one : kAdamWCases)
    for_thread_counts([&] {
      const int64_t count = one.num_elements;
      const at::Tensor master = random_tensor({count}, at::kFloat, 1), m = at::zeros({count}),
                       v = at::zeros({count});
      const at::Tensor compute = at::empty({count}, typed(at::kBFloat16));
      const auto f64 = [](const at::Tensor& x) { return x.to(at::kDouble).clone(); };
      const reference::AdamWState state{f64(master), f64(m), f64(v)};
      for (int64_t step = 1; step <= 3; ++step) {
        const at::Tensor gradient = random_tensor({count}, at::kFloat, static_cast<uint32_t>(step));
        const AdamWOptions options{0.01, 0.9, 0.95, 1e-8, 0.1, step, 0.5};
        adamw(master, m, v, gradient, compute, one.decay, options);
        reference::adamw(state, gradient, one.decay, options);
      }
      EXPECT_LT(largest_error(master, state.master), 1e-6);
      EXPECT_LT(largest_error(m, state.exp_avg), 1e-6);
      EXPECT_LT(largest_error(v, state.exp_avg_sq), 1e-6);
      EXPECT_TRUE(same_bits(compute, master.to(at::kBFloat16)));
    });
}

TEST(AdamW, Bfloat16MomentsAndBitsForAnyThreads) {
  const int64_t count = 33000;
  at::Tensor first;
  for_thread_counts([&] {
    const at::Tensor master = random_tensor({count}, at::kFloat, 1),
                     gradient = random_tensor({count}, at::kFloat, 2);
    const at::Tensor m = at::zeros({count}, typed(at::kBFloat16)), v = m.clone();
    const reference::AdamWState state{master.to(at::kDouble).clone(), m.to(at::kDouble), v.to(at::kDouble)};
    const AdamWOptions options{0.01, 0.9, 0.95, 1e-8, 0.1, 1, 1.0};
    adamw(master, m, v, gradient, at::Tensor(), {{5, 900}}, options);
    reference::adamw(state, gradient, {{5, 900}}, options);
    EXPECT_LT(largest_error(master, state.master), 1e-6);
    EXPECT_LT(largest_error(m, state.exp_avg), tolerance(at::kBFloat16));
    EXPECT_LT(largest_error(v, state.exp_avg_sq), tolerance(at::kBFloat16));
    if (!first.defined()) first = master;
    EXPECT_TRUE(same_bits(master, first));
  });
}

// A shard of a buffer must give the bits that the whole gives: what every ZeRO stage rests on.
TEST(AdamW, ASliceGivesTheBitsOfTheWhole) {
  const int64_t count = 2048, cut = 768;
  const AdamWOptions options{0.01, 0.9, 0.95, 1e-8, 0.1, 1, 1.0};
  const at::Tensor gradient = random_tensor({count}, at::kFloat, 2);
  const at::Tensor whole = random_tensor({count}, at::kFloat, 1), shards = whole.clone();
  const at::Tensor m = at::zeros({count}), v = at::zeros({count}), m2 = at::zeros({count}),
                   v2 = at::zeros({count});
  adamw(whole, m, v, gradient, at::Tensor(), {{700, 1000}}, options);
  const auto step = [&](int64_t begin, int64_t length, const std::vector<ElementRange>& decay) {
    const auto part = [&](const at::Tensor& x) { return x.narrow(0, begin, length); };
    adamw(part(shards), part(m2), part(v2), part(gradient), at::Tensor(), decay, options);
  };
  step(0, cut, {{700, cut}});
  step(cut, count - cut, {{0, 1000 - cut}});
  EXPECT_TRUE(same_bits(whole, shards) && same_bits(v, v2));
}

TEST(FlatBuffers, WrongArgumentsAreNamed) {
  const at::Tensor x = at::zeros({8});
  EXPECT_THROW(ordered_sum(x, {}), core::InternalError);
  EXPECT_THROW(ordered_sum(x, {x, at::zeros({7})}), core::InternalError);
  EXPECT_THROW(ordered_sum(x, {x, x.to(at::kBFloat16)}), core::InternalError);
  EXPECT_THROW(chunk_square_sums(at::zeros({2}, typed(at::kDouble)), x), core::InternalError);
  EXPECT_THROW(chunk_square_sums(at::zeros({1}), x), core::InternalError);
  const AdamWOptions options{0.01, 0.9, 0.95, 1e-8, 0.1, 1, 1.0};
  const auto update = [&](const at::Tensor& m, const at::Tensor& compute,
                          const std::vector<ElementRange>& decay,
                          const AdamWOptions& o) { adamw(x, m, x.clone(), x, compute, decay, o); };
  EXPECT_THROW(update(at::zeros({7}), {}, {}, options), core::InternalError);
  EXPECT_THROW(update(x.to(at::kBFloat16), {}, {}, options), core::InternalError);
  EXPECT_THROW(update(x.clone(), x.clone(), {}, options), core::InternalError);
  EXPECT_THROW(update(x.clone(), {}, {{0, 9}}, options), core::InternalError);
  EXPECT_THROW(update(x.clone(), {}, {{3, 5}, {4, 6}}, options), core::InternalError);
  AdamWOptions step_zero = options;
  step_zero.step = 0;
  EXPECT_THROW(update(x.clone(), {}, {}, step_zero), core::InternalError);
}

}  // namespace
}  // namespace athanor::kernels
