// RMSNorm, SwiGLU and rotary against fp64 references, whose derivatives are themselves checked numerically;
// the same bits for any batch, any number of threads and any instruction set.
#include <cstring>
#include <functional>

#include "core/error.h"
#include "kernels/cpu/processor.h"
#include "kernels/cpu/row_ops.h"
#include "kernels/cpu/tensor_data.h"
#include "kernels/ops.h"
#include "kernels/reference/plain_ops.h"
#include "tests/kernels/kernel_test.h"

namespace athanor::kernels {
namespace {

using namespace testing;

struct Shape {
  int64_t num_tokens, num_columns;
};
constexpr Shape kShapes[] = {{1, 1}, {3, 2}, {7, 31}, {5, 64}, {129, 257}, {2, 2048}, {67, 16}};
constexpr double kEps = 1e-6;

template <typename Body>
void for_all_shapes(Body body) {
  for (const at::ScalarType dtype : kComputeTypes)
    for (const auto& [num_tokens, num_columns] : kShapes) {
      SCOPED_TRACE(::testing::Message() << num_tokens << " x " << num_columns << " " << c10::toString(dtype));
      for_thread_counts([&] { body(num_tokens, num_columns, dtype); });
    }
}

/// The numeric derivative of sum(dy * f(x)) by every element of x (fp64, central differences).
at::Tensor numeric_gradient(const std::function<at::Tensor(const at::Tensor&)>& f, const at::Tensor& x,
                            const at::Tensor& dy) {
  constexpr double kStep = 1e-5;
  at::Tensor out = at::zeros(x.sizes(), typed(at::kDouble)), moved = x.to(at::kDouble).clone();
  const auto value_at = [&](double* place, double value) {
    *place = value;
    return (f(moved) * dy.to(at::kDouble)).sum().item<double>();
  };
  for (int64_t i = 0; i < x.numel(); ++i) {
    double* place = moved.mutable_data_ptr<double>() + i;
    const double centre = *place;
    const double above = value_at(place, centre + kStep), below = value_at(place, centre - kStep);
    out.mutable_data_ptr<double>()[i] = (above - below) / (2 * kStep);
    *place = centre;
  }
  return out;
}

// ---- RMSNorm
// -------------------------------------------------------------------------------------------------

TEST(RmsNorm, ReferenceGradientsAreTheDerivatives) {
  const at::Tensor x = random_tensor({3, 7}, at::kDouble, 1), w = random_tensor({7}, at::kDouble, 2);
  const at::Tensor dy = random_tensor({3, 7}, at::kDouble, 3);
  const auto [dx, dw] = reference::rms_norm_backward(dy, x, w, kEps);
  EXPECT_LT(largest_error(
                dx, numeric_gradient([&](const auto& v) { return reference::rms_norm(v, w, kEps); }, x, dy)),
            1e-8);
  EXPECT_LT(largest_error(
                dw, numeric_gradient([&](const auto& v) { return reference::rms_norm(x, v, kEps); }, w, dy)),
            1e-8);
}

TEST(RmsNorm, EqualsTheReference) {
  for_all_shapes([](int64_t num_tokens, int64_t num_columns, at::ScalarType dtype) {
    const at::Tensor x = with_row_gap(random_tensor({num_tokens, num_columns}, dtype, 1), 3);
    const at::Tensor w = random_tensor({num_columns}, dtype, 2),
                     y = at::empty({num_tokens, num_columns}, typed(dtype));
    const at::Tensor rstd = at::empty({num_tokens}), dy = random_tensor({num_tokens, num_columns}, dtype, 3);
    rms_norm(y, rstd, x, w, kEps);
    EXPECT_LT(largest_error(y, reference::rms_norm(x, w, kEps)), 2 * tolerance(dtype));
    const at::Tensor dx = at::empty_like(y), dw = random_tensor({num_columns}, at::kFloat, 4),
                     start = dw.clone();
    rms_norm_backward(dx, dw, dy, x, w, rstd, /*accumulate_dw=*/true);
    const auto [expected_dx, expected_dw] = reference::rms_norm_backward(dy, x, w, kEps);
    EXPECT_LT(largest_error(dx, expected_dx), tolerance(dtype) * 4);
    // The normalised value may round to a neighbour of the reference's: one bf16 step in a sum of many.
    EXPECT_LT(largest_error(dw, expected_dw + start), tolerance(dtype) * 4);
    const at::Tensor again = at::empty_like(dx), fresh_dw = at::empty_like(dw);
    rms_norm_backward(again, fresh_dw, dy, x, w, rstd, false);
    EXPECT_TRUE(same_bits(dx, again));
    EXPECT_LT(largest_error(fresh_dw, expected_dw), tolerance(dtype) * 4);
    rms_norm_backward(again, at::Tensor(), dy, x, w, rstd, false);
    EXPECT_TRUE(same_bits(dx, again));
  });
}

TEST(RmsNorm, RoundsBeforeTheProductWithTheWeight) {
  const at::Tensor x = random_tensor({4, 96}, at::kBFloat16, 1), w = random_tensor({96}, at::kBFloat16, 2);
  const at::Tensor y = at::empty_like(x), rstd = at::empty({4});
  rms_norm(y, rstd, x, w, kEps);
  const at::Tensor normalised = (x.to(at::kFloat) * rstd.unsqueeze(1)).to(at::kBFloat16);
  EXPECT_TRUE(same_bits(y, normalised * w));
}

// ---- SwiGLU
// --------------------------------------------------------------------------------------------------

TEST(Swiglu, ReferenceGradientIsTheDerivative) {
  const at::Tensor x = random_tensor({2, 6}, at::kDouble, 1), dh = random_tensor({2, 3}, at::kDouble, 2);
  EXPECT_LT(largest_error(reference::swiglu_backward(dh, x), numeric_gradient(reference::swiglu, x, dh)),
            1e-8);
}

TEST(Swiglu, EqualsTheReference) {
  for_all_shapes([](int64_t num_tokens, int64_t width, at::ScalarType dtype) {
    const at::Tensor x = random_tensor({num_tokens, 2 * width}, dtype, 1, 3.0);
    const at::Tensor h = at::empty({num_tokens, width}, typed(dtype)), dx = at::empty_like(x);
    const at::Tensor dh = random_tensor({num_tokens, width}, dtype, 2);
    swiglu(h, x);
    swiglu_backward(dx, dh, x);
    EXPECT_LT(largest_error(h, reference::swiglu(x)), tolerance(dtype));
    EXPECT_LT(largest_error(dx, reference::swiglu_backward(dh, x)), tolerance(dtype));
  });
}

TEST(Swiglu, RelativeErrorIsSmallEverywhere) {
  const int64_t count = 4096;
  at::Tensor x = at::empty({1, 2 * count});
  float* data = x.mutable_data_ptr<float>();
  for (int64_t i = 0; i < count; ++i) {
    data[i] = -80.0f + 160.0f * static_cast<float>(i) / count;
    data[count + i] = 1.0f;
  }
  const at::Tensor h = at::empty({1, count}), expected = reference::swiglu(x);
  swiglu(h, x);
  for (int64_t i = 0; i < count; ++i) {
    const double value = h.const_data_ptr<float>()[i], wanted = expected.const_data_ptr<double>()[i];
    EXPECT_LE(std::abs(value - wanted), 4e-7 * std::abs(wanted)) << data[i];
  }
}

TEST(Swiglu, ExtremeGates) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  at::Tensor x = at::zeros({1, 10}) + 1;
  const float gates[] = {1e30f, -1e30f, inf, nan, -200.0f};
  std::copy(std::begin(gates), std::end(gates), x.mutable_data_ptr<float>());
  const at::Tensor h = at::empty({1, 5});
  swiglu(h, x);
  const float* out = h.const_data_ptr<float>();
  EXPECT_EQ(out[0], 1e30f);
  EXPECT_EQ(out[1], 0.0f);
  EXPECT_EQ(out[2], inf);
  EXPECT_TRUE(std::isnan(out[3]));
  EXPECT_EQ(out[4], 0.0f);
}

// ---- rotary
// --------------------------------------------------------------------------------------------------

struct Angles {
  at::Tensor cos, sin;
};
Angles random_angles(int64_t num_tokens, int64_t num_pairs) {
  const at::Tensor angle = random_tensor({num_tokens, num_pairs}, at::kFloat, 7, 10.0);
  return {angle.cos(), angle.sin()};
}

TEST(Rotary, EqualsTheReferenceAndIsUndoneByItsInverse) {
  for (const at::ScalarType dtype : kComputeTypes)
    for (const int64_t num_pairs : {1, 3, 16, 32, 37})
      for (const bool interleaved : {false, true})
        for (const int64_t column : {0, 5}) {
          SCOPED_TRACE(::testing::Message()
                       << num_pairs << " pairs, interleaved " << interleaved << ", column " << column);
          const int64_t num_tokens = 9, num_heads = 3;
          const auto [cos, sin] = random_angles(num_tokens, num_pairs);
          const at::Tensor start =
              random_tensor({num_tokens, num_heads, column + 2 * num_pairs + 1}, dtype, 1);
          RotaryOptions options{column, interleaved, false};
          at::Tensor first;
          for_thread_counts([&] {
            const at::Tensor x =
                random_tensor({num_tokens, num_heads + 2, start.size(2)}, dtype, 2).narrow(1, 1, num_heads);
            x.copy_(start);
            rotary(x, cos, sin, options);
            EXPECT_LT(largest_error(x, reference::rotary(start, cos, sin, options)), tolerance(dtype));
            if (!first.defined()) first = x.clone();
            EXPECT_TRUE(same_bits(x, first));
            RotaryOptions back = options;
            back.inverse = true;
            rotary(x, cos, sin, back);
            EXPECT_LT(largest_error(x, start), 3 * tolerance(dtype));
          });
        }
}

// Hugging Face's formulas in plain ATen: rotate_half, and DeepSeek-V3's view and transpose before it.
TEST(Rotary, EqualsHuggingFaceInBothLayouts) {
  const int64_t num_tokens = 6, num_heads = 2, num_pairs = 16;
  const auto [cos, sin] = random_angles(num_tokens, num_pairs);
  const at::Tensor start = random_tensor({num_tokens, num_heads, 2 * num_pairs}, at::kFloat, 3);
  for (const bool interleaved : {false, true}) {
    const at::Tensor halves = interleaved ? start.view({num_tokens, num_heads, num_pairs, 2})
                                                .transpose(2, 3)
                                                .reshape({num_tokens, num_heads, 2 * num_pairs})
                                          : start;
    const at::Tensor a = halves.narrow(2, 0, num_pairs), b = halves.narrow(2, num_pairs, num_pairs);
    const at::Tensor c = cos.unsqueeze(1), s = sin.unsqueeze(1);
    const at::Tensor x = start.clone();
    rotary(x, cos, sin, {0, interleaved, false});
    EXPECT_TRUE(same_bits(x.narrow(2, 0, num_pairs), a * c + (-b) * s));
    EXPECT_TRUE(same_bits(x.narrow(2, num_pairs, num_pairs), b * c + a * s));
  }
}

TEST(Rotary, InverseMapsGradients) {
  const auto [cos, sin] = random_angles(2, 3);
  const at::Tensor x = random_tensor({2, 2, 8}, at::kDouble, 1),
                   dy = random_tensor({2, 2, 8}, at::kDouble, 2);
  for (const bool interleaved : {false, true}) {
    const auto forward = [&, c = cos, s = sin](const at::Tensor& v) {
      return reference::rotary(v, c, s, {1, interleaved, false});
    };
    EXPECT_LT(largest_error(reference::rotary(dy, cos, sin, {1, interleaved, true}),
                            numeric_gradient(forward, x, dy)),
              1e-7);
  }
}

// ---- what holds for all
// --------------------------------------------------------------------------------------

TEST(Rows, BitsDoNotDependOnTheBatchOrThreads) {
  const int64_t num_tokens = 70, width = 333;
  for (const at::ScalarType dtype : kComputeTypes) {
    const at::Tensor x = random_tensor({num_tokens, 2 * width}, dtype, 1),
                     w = random_tensor({2 * width}, dtype, 2);
    const at::Tensor y = at::empty_like(x), rstd = at::empty({num_tokens}),
                     h = at::empty({num_tokens, width}, typed(dtype));
    const at::Tensor dw = at::empty({2 * width}), dx = at::empty_like(x);
    rms_norm(y, rstd, x, w, kEps);
    rms_norm_backward(dx, dw, x, y, w, rstd, false);
    swiglu(h, x);
    for_thread_counts([&] {
      const at::Tensor again = at::empty_like(dx), dw_again = at::empty_like(dw);
      rms_norm_backward(again, dw_again, x, y, w, rstd, false);
      EXPECT_TRUE(same_bits(dw, dw_again) && same_bits(dx, again));
      for (const int64_t t : {0, 1, 69}) {
        const at::Tensor one = at::empty({1, 2 * width}, typed(dtype)), one_rstd = at::empty({1});
        const at::Tensor one_h = at::empty({1, width}, typed(dtype));
        rms_norm(one, one_rstd, x.narrow(0, t, 1), w, kEps);
        EXPECT_TRUE(same_bits(one, y.narrow(0, t, 1)));
        swiglu(one_h, x.narrow(0, t, 1));
        EXPECT_TRUE(same_bits(one_h, h.narrow(0, t, 1)));
      }
    });
  }
}

template <typename T>
void expect_same_rows(const cpu::RowTable<T>& a, const cpu::RowTable<T>& b, at::ScalarType dtype) {
  const int64_t width = 77;
  const at::Tensor x = random_tensor({3, width}, dtype, 1), angle = random_tensor({2, 38}, at::kFloat, 2);
  const auto row = [&](int64_t i) { return cpu::data<T>(x) + i * width; };
  const auto run = [&](const cpu::RowTable<T>& table) {
    const at::Tensor out = at::zeros({6, width}, typed(dtype)), sums = at::zeros({2, width});
    const auto to = [&](int64_t i) { return cpu::mutable_data<T>(out) + i * width; };
    float* sum = sums.mutable_data_ptr<float>();
    const float rstd = table.rms_norm(to(0), row(0), row(1), width, 1e-5f);
    table.rms_norm_backward(to(1), row(0), row(1), row(2), width, rstd);
    table.rms_norm_weight_gradient(sum, row(0), row(1), width, rstd);
    table.swiglu(to(2), row(0), row(1), width);
    table.swiglu_backward(to(3), to(4), row(0), row(1), row(2), width);
    std::copy_n(row(0), width, to(5));
    const float* angles = angle.const_data_ptr<float>();
    table.rotary(to(5), angles, angles + 38, {38, true, false});
    table.add_row(sum + width, row(0), width);
    return std::pair(out, sums);
  };
  const auto [out_a, sums_a] = run(a);
  const auto [out_b, sums_b] = run(b);
  EXPECT_TRUE(same_bits(out_a, out_b) && same_bits(sums_a, sums_b));
}

TEST(Rows, EveryInstructionSetGivesTheSameBits) {
  expect_same_rows(cpu::portable::kRowTableF32, cpu::row_table<float>(), at::kFloat);
  expect_same_rows(cpu::portable::kRowTableBf16, cpu::row_table<cpu::Bf16>(), at::kBFloat16);
  if (cpu::processor_isa() >= cpu::Isa::kAvx2)
    expect_same_rows(cpu::portable::kRowTableBf16, cpu::avx2::kRowTableBf16, at::kBFloat16);
}

TEST(Rows, RoundingToBfloat16IsTorchs) {
  const at::Tensor x = random_tensor({1, 4099}, at::kFloat, 1);
  float* data = x.mutable_data_ptr<float>();
  data[0] = -std::numeric_limits<float>::infinity();
  data[1] = std::numeric_limits<float>::infinity();
  data[2] = 3.4e38f, data[3] = 1e-40f, data[4] = 1.00390625f, data[5] = 1.01171875f, data[6] = -0.0f;
  const at::Tensor out = at::empty({1, 4099}, typed(at::kBFloat16));
  cpu::row_table<cpu::Bf16>().finish_row(cpu::mutable_data<cpu::Bf16>(out), data, nullptr, 4099);
  EXPECT_TRUE(same_bits(out, x.to(at::kBFloat16)));
  data[0] = std::numeric_limits<float>::quiet_NaN();  // which NaN comes out, torch leaves open
  cpu::row_table<cpu::Bf16>().finish_row(cpu::mutable_data<cpu::Bf16>(out), data, nullptr, 20);
  EXPECT_TRUE(std::isnan(out.to(at::kFloat).const_data_ptr<float>()[0]));
}

TEST(Rows, WrongArgumentsAreNamed) {
  const at::Tensor x = at::zeros({3, 8}), w = at::zeros({8}), rstd = at::zeros({3}), y = at::zeros({3, 8});
  EXPECT_THROW(rms_norm(y, rstd, x, at::zeros({7}), kEps), core::InternalError);
  EXPECT_THROW(rms_norm(y, rstd, x, w.to(at::kBFloat16), kEps), core::InternalError);
  EXPECT_THROW(rms_norm(y, at::zeros({4}), x, w, kEps), core::InternalError);
  EXPECT_THROW(rms_norm(y.to(at::kBFloat16), rstd, x, w, kEps), core::InternalError);
  EXPECT_THROW(rms_norm_backward(y, at::zeros({8}, typed(at::kBFloat16)), x, x, w, rstd, true),
               core::InternalError);
  EXPECT_THROW(swiglu(at::zeros({3, 4}), at::zeros({3, 7})), core::InternalError);
  EXPECT_THROW(swiglu(at::zeros({3, 5}), x), core::InternalError);
  EXPECT_THROW(swiglu_backward(at::zeros({3, 8}), at::zeros({3, 3}), x), core::InternalError);
  const at::Tensor heads = at::zeros({3, 2, 8}), angles = at::zeros({3, 2});
  EXPECT_THROW(rotary(heads, angles, at::zeros({2, 2}), {}), core::InternalError);
  EXPECT_THROW(rotary(heads, angles, angles, {5, false, false}), core::InternalError);
  EXPECT_THROW(rotary(heads, angles, angles, {-1, false, false}), core::InternalError);
  EXPECT_THROW(rotary(heads, angles.to(at::kDouble), angles, {}), core::InternalError);
}

}  // namespace
}  // namespace athanor::kernels
