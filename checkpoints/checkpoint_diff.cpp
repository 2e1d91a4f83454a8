#include "checkpoints/checkpoint_diff.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <tuple>

#include <fmt/format.h>

namespace athanor::checkpoints {
namespace {

constexpr uint64_t kStretchElements = uint64_t{1} << 20;

template <typename T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}

double half_to_double(uint16_t bits) {
  const int exponent = bits >> 10 & 0x1f, fraction = bits & 0x3ff;
  double value = std::ldexp(exponent == 0 ? fraction : fraction + 1024, (exponent == 0 ? 1 : exponent) - 25);
  if (exponent == 31)
    value =
        fraction == 0 ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
  return bits >> 15 ? -value : value;
}

double bf16_to_double(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &wide, sizeof(value));
  return value;
}

double to_double(const std::byte* at, Dtype dtype) {
  switch (dtype) {
    case Dtype::kF64:
      return load<double>(at);
    case Dtype::kF32:
      return load<float>(at);
    case Dtype::kF16:
      return half_to_double(load<uint16_t>(at));
    case Dtype::kBF16:
      return bf16_to_double(load<uint16_t>(at));
    case Dtype::kI64:
      return static_cast<double>(load<int64_t>(at));
    case Dtype::kI32:
      return load<int32_t>(at);
    case Dtype::kI16:
      return load<int16_t>(at);
    case Dtype::kI8:
      return load<int8_t>(at);
    case Dtype::kU64:
      return static_cast<double>(load<uint64_t>(at));
    case Dtype::kU32:
      return load<uint32_t>(at);
    case Dtype::kU16:
      return load<uint16_t>(at);
    case Dtype::kU8:
    case Dtype::kBool:
      return load<uint8_t>(at);
    case Dtype::kF8E4M3:
    case Dtype::kF8E5M2:
      return 0;
  }
  return 0;
}

// Adds one pair of elements whose bits differ.
void add_difference(TensorDiff& diff, double a, double b) {
  const double absolute = std::fabs(a - b), scale = std::max(std::fabs(a), std::fabs(b));
  if (std::isnan(absolute)) {
    diff.note = "some elements are not finite";
    return;
  }
  diff.max_absolute = std::max(diff.max_absolute, absolute);
  if (scale > 0) diff.max_relative = std::max(diff.max_relative, absolute / scale);
}

void compare_values(const CheckpointReader& a, const SavedTensor& in_a, const CheckpointReader& b,
                    const SavedTensor& in_b, TensorDiff& diff) {
  const uint64_t bytes = element_bytes(in_a.dtype);
  diff.num_elements = num_elements(in_a.shape);
  std::vector<std::byte> from_a(std::min(kStretchElements, diff.num_elements) * bytes), from_b(from_a.size());
  for (uint64_t at = 0; at < diff.num_elements; at += kStretchElements) {
    const uint64_t count = std::min(kStretchElements, diff.num_elements - at);
    a.read_range(in_a, at, at + count, in_a.dtype, std::span(from_a).first(count * bytes));
    b.read_range(in_b, at, at + count, in_b.dtype, std::span(from_b).first(count * bytes));
    for (uint64_t i = 0; i < count * bytes; i += bytes)
      if (std::memcmp(&from_a[i], &from_b[i], bytes) == 0)
        ++diff.num_equal;
      else
        add_difference(diff, to_double(&from_a[i], in_a.dtype), to_double(&from_b[i], in_b.dtype));
  }
  diff.state = diff.num_equal == diff.num_elements ? DiffState::kEqual : DiffState::kDifferent;
}

TensorDiff diff_of(const CheckpointReader& a, const SavedTensor& in_a, const CheckpointReader& b,
                   const SavedTensor& in_b) {
  TensorDiff diff{in_a.name, in_a.kind, DiffState::kMismatch, ""};
  if (in_a.dtype == in_b.dtype && in_a.shape == in_b.shape)
    compare_values(a, in_a, b, in_b, diff);
  else
    diff.note = fmt::format("{} {} against {} {}", dtype_name(in_a.dtype), to_string(in_a.shape),
                            dtype_name(in_b.dtype), to_string(in_b.shape));
  return diff;
}

}  // namespace

std::string_view state_name(DiffState state) {
  switch (state) {
    case DiffState::kEqual:
      return "equal";
    case DiffState::kDifferent:
      return "different";
    case DiffState::kMismatch:
      return "mismatch";
    case DiffState::kOnlyInA:
      return "only in A";
    case DiffState::kOnlyInB:
      return "only in B";
  }
  return "";
}

std::vector<TensorDiff> diff_checkpoints(const CheckpointReader& a, const CheckpointReader& b) {
  std::vector<TensorDiff> diffs;
  for (const SavedTensor& in_a : a.tensors())
    if (const SavedTensor* const in_b = b.find(in_a.name, in_a.kind))
      diffs.push_back(diff_of(a, in_a, b, *in_b));
    else
      diffs.push_back({in_a.name, in_a.kind, DiffState::kOnlyInA, ""});
  for (const SavedTensor& in_b : b.tensors())
    if (!a.find(in_b.name, in_b.kind)) diffs.push_back({in_b.name, in_b.kind, DiffState::kOnlyInB, ""});
  std::sort(diffs.begin(), diffs.end(),
            [](const auto& x, const auto& y) { return std::tie(x.name, x.kind) < std::tie(y.name, y.kind); });
  return diffs;
}

}  // namespace athanor::checkpoints
