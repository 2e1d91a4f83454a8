#include "checkpoints/tensor_info.h"

#include <array>
#include <cstring>
#include <limits>

#include <fmt/format.h>

#include "core/error.h"

namespace athanor::checkpoints {
namespace {

struct DtypeRow {
  Dtype dtype;
  std::string_view name;
  uint64_t bytes;
};

// In the order of the enumeration.
constexpr std::array<DtypeRow, 15> kDtypes{{{Dtype::kF64, "F64", 8},
                                            {Dtype::kF32, "F32", 4},
                                            {Dtype::kF16, "F16", 2},
                                            {Dtype::kBF16, "BF16", 2},
                                            {Dtype::kI64, "I64", 8},
                                            {Dtype::kI32, "I32", 4},
                                            {Dtype::kI16, "I16", 2},
                                            {Dtype::kI8, "I8", 1},
                                            {Dtype::kU64, "U64", 8},
                                            {Dtype::kU32, "U32", 4},
                                            {Dtype::kU16, "U16", 2},
                                            {Dtype::kU8, "U8", 1},
                                            {Dtype::kBool, "BOOL", 1},
                                            {Dtype::kF8E4M3, "F8_E4M3", 1},
                                            {Dtype::kF8E5M2, "F8_E5M2", 1}}};

const DtypeRow& row(Dtype dtype) {
  return kDtypes[static_cast<size_t>(dtype)];
}

uint16_t to_bf16(uint32_t f32) {
  const bool is_nan = (f32 & 0x7fffffffu) > 0x7f800000u;
  const uint32_t rounded = f32 + 0x7fffu + ((f32 >> 16) & 1u);
  return static_cast<uint16_t>(is_nan ? (f32 >> 16) | 0x40u : rounded >> 16);
}

template <typename In, typename Out, typename Function>
void convert_each(std::span<const std::byte> in, std::span<std::byte> out, Function function) {
  const size_t count = in.size() / sizeof(In);
  for (size_t i = 0; i < count; ++i) {
    In value;
    std::memcpy(&value, in.data() + i * sizeof(In), sizeof(In));
    const Out converted = function(value);
    std::memcpy(out.data() + i * sizeof(Out), &converted, sizeof(Out));
  }
}

}  // namespace

std::string_view dtype_name(Dtype dtype) {
  return row(dtype).name;
}

std::optional<Dtype> dtype_from_name(std::string_view name) {
  for (const DtypeRow& candidate : kDtypes)
    if (candidate.name == name) return candidate.dtype;
  return std::nullopt;
}

std::string dtype_names() {
  std::string names;
  for (const DtypeRow& candidate : kDtypes)
    names += fmt::format("{}{}", names.empty() ? "" : ", ", candidate.name);
  return names;
}

uint64_t element_bytes(Dtype dtype) {
  return row(dtype).bytes;
}

std::optional<uint64_t> checked_num_elements(const Shape& shape) {
  uint64_t product = 1;
  for (const int64_t dim : shape) {
    if (dim < 0 || __builtin_mul_overflow(product, static_cast<uint64_t>(dim), &product)) return std::nullopt;
    if (product > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
  }
  return product;
}

std::optional<uint64_t> checked_num_bytes(const Shape& shape, Dtype dtype) {
  const auto elements = checked_num_elements(shape);
  uint64_t bytes = 0;
  if (!elements || __builtin_mul_overflow(*elements, element_bytes(dtype), &bytes)) return std::nullopt;
  return bytes;
}

uint64_t num_elements(const Shape& shape) {
  const auto elements = checked_num_elements(shape);
  ATHANOR_CHECK(elements.has_value(), "the shape {} has no valid number of elements", to_string(shape));
  return *elements;
}

std::string to_string(const Shape& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

bool can_convert(Dtype from, Dtype to) {
  const auto is_convertible = [](Dtype dtype) { return dtype == Dtype::kF32 || dtype == Dtype::kBF16; };
  return from == to || (is_convertible(from) && is_convertible(to));
}

void convert(std::span<const std::byte> in, Dtype from, std::span<std::byte> out, Dtype to) {
  ATHANOR_CHECK(can_convert(from, to), "no conversion from {} to {}", dtype_name(from), dtype_name(to));
  ATHANOR_CHECK(in.size() / element_bytes(from) == out.size() / element_bytes(to),
                "{} bytes of {} do not fill {} of {}", in.size(), dtype_name(from), out.size(),
                dtype_name(to));
  if (in.empty()) return;
  if (from == to)
    std::memcpy(out.data(), in.data(), in.size());
  else if (to == Dtype::kBF16)
    convert_each<uint32_t, uint16_t>(in, out, to_bf16);
  else
    convert_each<uint16_t, uint32_t>(in, out,
                                     [](uint16_t bits) { return static_cast<uint32_t>(bits) << 16; });
}

}  // namespace athanor::checkpoints
