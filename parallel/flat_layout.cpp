#include "parallel/flat_layout.h"

#include <algorithm>

#include <fmt/core.h>
#include <fmt/ranges.h>

#include "core/error.h"

namespace athanor::parallel {
namespace {

constexpr int64_t kMaxElements = int64_t{1} << 62;

int64_t round_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

int64_t count_elements(const NamedShape& parameter) {
  int64_t count = 1;
  for (const int64_t size : parameter.shape) {
    ATHANOR_CHECK(size > 0 && count <= kMaxElements / size, "parameter {} has the shape [{}]", parameter.name,
                  fmt::join(parameter.shape, ", "));
    count *= size;
  }
  return count;
}

}  // namespace

FlatLayout::FlatLayout(const std::vector<NamedShape>& parameters) {
  for (const NamedShape& given : parameters) {
    const int64_t num_elements = count_elements(given);
    const bool is_new = idx_of_name_.emplace(given.name, static_cast<int64_t>(parameters_.size())).second;
    ATHANOR_CHECK(is_new, "parameter {} is in the flat buffer twice", given.name);
    ATHANOR_CHECK(used_size_ < kMaxElements - num_elements, "the flat buffer overflows at parameter {}",
                  given.name);
    const int64_t num_matrices = given.is_stack ? given.shape.at(0) : 1;
    const int64_t stride = round_up(num_elements / num_matrices, kernels::kFlatAlignment);
    parameters_.push_back({given.name, given.shape, used_size_, num_elements, num_matrices, stride});
    used_size_ += num_matrices * stride;
  }
}

const FlatParameter& FlatLayout::parameter(const std::string& name) const {
  const auto found = idx_of_name_.find(name);
  ATHANOR_CHECK(found != idx_of_name_.end(), "no parameter {} in this flat buffer", name);
  return parameters_[found->second];
}

int64_t FlatLayout::padded_size(int num_shards) const {
  ATHANOR_CHECK(num_shards >= 1, "a flat buffer in {} shards", num_shards);
  return round_up(used_size_, num_shards * kernels::kFlatAlignment);
}

ElementRange FlatLayout::shard(int num_shards, int shard_idx) const {
  ATHANOR_CHECK(shard_idx >= 0 && shard_idx < num_shards, "shard {} of {}", shard_idx, num_shards);
  const int64_t size = shard_size(num_shards);
  return {shard_idx * size, (shard_idx + 1) * size};
}

std::vector<ParameterPiece> FlatLayout::pieces(const ElementRange& slice) const {
  const auto ends_later = [](int64_t at, const FlatParameter& p) {
    return at < p.begin + p.num_matrices * p.matrix_stride;
  };
  auto parameter = std::upper_bound(parameters_.begin(), parameters_.end(), slice.begin, ends_later);
  std::vector<ParameterPiece> pieces;
  if (slice.begin >= slice.end) return pieces;
  for (; parameter != parameters_.end() && parameter->begin < slice.end; ++parameter) {
    const int64_t first = std::max<int64_t>(0, (slice.begin - parameter->begin) / parameter->matrix_stride);
    for (int64_t i = first; i < parameter->num_matrices; ++i) {
      const int64_t matrix_begin = parameter->begin + i * parameter->matrix_stride;
      const int64_t begin = std::max(slice.begin, matrix_begin);
      const int64_t end = std::min(slice.end, matrix_begin + parameter->matrix_size());
      if (matrix_begin >= slice.end) break;
      if (begin >= end) continue;  // only padding of this matrix lies in the slice
      const int64_t before = i * parameter->matrix_size() - matrix_begin;
      pieces.push_back({parameter - parameters_.begin(), begin + before, end + before, begin - slice.begin});
    }
  }
  return pieces;
}

std::vector<ElementRange> FlatLayout::ranges(const ElementRange& slice,
                                             const std::function<bool(const FlatParameter&)>& selects) const {
  std::vector<ElementRange> ranges;
  for (const ParameterPiece& piece : pieces(slice)) {
    if (!selects(parameters_[piece.parameter_idx])) continue;
    const ElementRange range{piece.slice_begin,
                             piece.slice_begin + piece.parameter_end - piece.parameter_begin};
    if (!ranges.empty() && ranges.back().end == range.begin)
      ranges.back().end = range.end;
    else
      ranges.push_back(range);
  }
  return ranges;
}

at::Tensor FlatLayout::view(const at::Tensor& flat, const FlatParameter& parameter) const {
  ATHANOR_CHECK(flat.dim() == 1 && flat.numel() >= used_size_,
                "a flat buffer of {} elements for a layout of {}", flat.numel(), used_size_);
  std::vector<int64_t> strides(parameter.shape.size(), 1);
  for (size_t i = strides.size(); i-- > 1;) strides[i - 1] = strides[i] * parameter.shape[i];
  if (parameter.num_matrices > 1) strides[0] = parameter.matrix_stride;
  return flat.as_strided(parameter.shape, strides, flat.storage_offset() + parameter.begin);
}

}  // namespace athanor::parallel
