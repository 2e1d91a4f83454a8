// What a stored tensor is: a name, an element type and a shape. No tensor library is involved here, so that
// listing and verifying files starts fast; whoever owns tensors adapts them with a pointer and a byte count.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace athanor::checkpoints {

/// Element types of safetensors files.
enum class Dtype : uint8_t {
  kF64,
  kF32,
  kF16,
  kBF16,
  kI64,
  kI32,
  kI16,
  kI8,
  kU64,
  kU32,
  kU16,
  kU8,
  kBool,
  kF8E4M3,
  kF8E5M2,
};

/// Name as in a safetensors header ("F32", "BF16", "F8_E4M3", ...).
std::string_view dtype_name(Dtype dtype);
std::optional<Dtype> dtype_from_name(std::string_view name);
/// All names, comma-separated, for messages.
std::string dtype_names();
uint64_t element_bytes(Dtype dtype);

using Shape = std::vector<int64_t>;

/// Number of elements, or nothing when a dimension is negative or the product exceeds 2^63-1.
std::optional<uint64_t> checked_num_elements(const Shape& shape);
/// Number of bytes, or nothing on the same grounds.
std::optional<uint64_t> checked_num_bytes(const Shape& shape, Dtype dtype);
/// For shapes that were checked before; InternalError otherwise.
uint64_t num_elements(const Shape& shape);
/// "[2, 3]"
std::string to_string(const Shape& shape);

struct TensorInfo {
  std::string name;
  Dtype dtype = Dtype::kF32;
  Shape shape;

  uint64_t num_bytes() const { return num_elements(shape) * element_bytes(dtype); }
};

/// A tensor in host memory, row-major and contiguous; the bytes belong to somebody else.
struct HostTensor {
  TensorInfo info;
  std::span<const std::byte> bytes;
};

/// True for equal types and for F32 <-> BF16.
bool can_convert(Dtype from, Dtype to);
/// Element-wise; BF16 from F32 rounds to nearest even and keeps NaN a NaN. Requires can_convert and equal
/// counts.
void convert(std::span<const std::byte> in, Dtype from, std::span<std::byte> out, Dtype to);

}  // namespace athanor::checkpoints
