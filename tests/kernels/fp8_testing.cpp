#include "tests/kernels/fp8_testing.h"

#include <cmath>
#include <limits>

#include <fmt/core.h>

#include "kernels/cpu/fp8_tiles.h"
#include "tests/kernels/tensor_testing.h"

namespace athanor::kernels::testing {

const std::vector<Fp8Case> kFp8Cases = {
    {Fp8Tiles::kRow, 9, 320, {}},     {Fp8Tiles::kRow, 5, 131, {}},
    {Fp8Tiles::kRow, 3, 1, {}},       {Fp8Tiles::kBlock, 200, 300, {}},
    {Fp8Tiles::kBlock, 130, 131, {}}, {Fp8Tiles::kBlock, 5, 129, {}},
    {Fp8Tiles::kToken, 300, 72, {}},  {Fp8Tiles::kToken, 301, 261, {0, 3, 3, 200, 301, 301}},
};

std::string describe(const Fp8Case& c, at::ScalarType dtype, Fp8Scale scale) {
  return fmt::format("tiles {} of {}x{} {} scale {}", static_cast<int>(c.tiles), c.num_rows, c.num_columns,
                     c10::toString(dtype), static_cast<int>(scale));
}

at::Tensor uneven_matrix(const std::string& name, int64_t num_rows, int64_t num_columns,
                         at::ScalarType dtype) {
  const at::Tensor x = normal(name, {num_rows, num_columns}), power = normal(name + " power", {num_columns});
  float* data = x.mutable_data_ptr<float>();
  for (int64_t i = 0; i < x.numel(); ++i) {
    const int64_t row = i / num_columns;
    const auto exponent = static_cast<int>(3 * power.const_data_ptr<float>()[i % num_columns]);
    data[i] = row % 7 == 3 ? 0.0f : std::ldexp(data[i], row % 5 == 1 ? exponent - 20 : exponent);
  }
  return x.to(dtype);
}

at::Tensor telling_matrix(const std::string& name, int64_t num_rows, int64_t num_columns,
                          at::ScalarType dtype) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN(),
                  kInfinity = std::numeric_limits<float>::infinity();
  const at::Tensor x = uneven_matrix(name, num_rows, num_columns, at::kFloat);
  float* data = x.mutable_data_ptr<float>();
  const float oddities[] = {kNan, -kNan, kInfinity, -kInfinity, 1e-40f, -0.0f, 448.0f, -1e30f};
  // One in each eighth of the rows, in columns that move on, so that most tiles stay ordinary.
  for (int64_t i = 0; i < 8; ++i) {
    const int64_t row = i * num_rows / 8, column = i * 37 % num_columns;
    data[row * num_columns + column] = oddities[i];
  }
  return x.to(dtype);
}

void decode_on_cpu(const at::Tensor& out, const Fp8Matrix& matrix, bool scaled) {
  cpu::decode_tiles(out, matrix, scaled);
}

}  // namespace athanor::kernels::testing
