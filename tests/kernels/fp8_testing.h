// What the tests of FP8 on several devices share: matrices that are hard to quantise, and the cases of tiles.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "kernels/fp8.h"

namespace athanor::kernels::testing {

constexpr Fp8Scale kFp8Scales[] = {Fp8Scale::kPowerOfTwo, Fp8Scale::kFp32};

/// Values over many orders of magnitude, some rows zero, some tiny.
at::Tensor uneven_matrix(const std::string& name, int64_t num_rows, int64_t num_columns,
                         at::ScalarType dtype);
/// The same with NaN of both signs, infinities, subnormal numbers and negative zero in some tiles.
at::Tensor telling_matrix(const std::string& name, int64_t num_rows, int64_t num_columns,
                          at::ScalarType dtype);

struct Fp8Case {
  Fp8Tiles tiles;
  int64_t num_rows, num_columns;
  std::vector<int64_t> offsets;
};
/// Widths that are multiples of 4 and not, partial tiles, groups that are empty.
extern const std::vector<Fp8Case> kFp8Cases;
std::string describe(const Fp8Case& c, at::ScalarType dtype, Fp8Scale scale);

inline at::Tensor fp8_bytes(const at::Tensor& codes) {
  return codes.view(at::kByte);
}
/// Values of codes on the CPU, times their scales when `scaled`.
void decode_on_cpu(const at::Tensor& out, const Fp8Matrix& matrix, bool scaled);

}  // namespace athanor::kernels::testing
