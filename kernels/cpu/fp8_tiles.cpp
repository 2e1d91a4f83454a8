#include "kernels/cpu/fp8_tiles.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "core/parallel_for.h"
#include "kernels/cpu/fp8_rows.h"
#include "kernels/cpu/pieces.h"
#include "kernels/cpu/tensor_data.h"
#include "kernels/ops.h"

namespace athanor::kernels::cpu {
namespace {

constexpr float kLargestCode = 448.0f;
// A token tile's piece stays in the first caches for its two passes.
constexpr int64_t kTokenTileColumns = 256;

float rounded_up_to_power_of_two(float scale) {
  const uint32_t bits = std::bit_cast<uint32_t>(scale), exponent = (bits >> 23) + ((bits & 0x7fffff) != 0);
  return std::bit_cast<float>(std::clamp(exponent, 1u, 254u) << 23);
}

}  // namespace

float fp8_scale(float magnitude, const Fp8Options& options) {
  if (!(magnitude <= std::numeric_limits<float>::max())) return std::numeric_limits<float>::quiet_NaN();
  const float scale = std::max(magnitude, options.floor) / kLargestCode;
  return options.scale == Fp8Scale::kPowerOfTwo ? rounded_up_to_power_of_two(scale) : scale;
}

namespace {

// ---- what is written
// ---------------------------------------------------------------------------------------------

uint8_t* mutable_codes(const at::Tensor& tensor) {
  return tensor.defined() ? static_cast<uint8_t*>(tensor.mutable_data_ptr()) : nullptr;
}
const uint8_t* codes_of(const at::Tensor& tensor) {
  return static_cast<const uint8_t*>(tensor.const_data_ptr());
}

/// The scales of neighbouring columns, and what values are multiplied by to become codes.
struct ColumnScales {
  explicit ColumnScales(int64_t num_columns) : count(num_columns) {}
  void set(int64_t i, float scale) {
    scales[static_cast<size_t>(i)] = scale;
    factors[static_cast<size_t>(i)] = 1.0f / scale;
    has_nan = has_nan || std::isnan(scale);
  }
  const int64_t count;
  std::array<float, kTokenTileColumns> scales, factors;
  bool has_nan = false;
};

/// Writes codes and exact values of stretches of elements, whichever are wanted. In a tile with NaN all codes
/// are 0x7f: which NaN a product of two keeps, and so its sign, differs between instruction sets.
template <typename T>
class Sink {
 public:
  explicit Sink(const Fp8Matrix& to)
      : codes_(mutable_codes(to.codes)),
        exact_(to.exact.defined() ? mutable_data<Bf16>(to.exact) : nullptr),
        folds_(to.scale == Fp8Scale::kPowerOfTwo) {}

  void write(int64_t at, const T* x, float scale, int64_t count) const {
    if (std::isnan(scale)) return write_nan(at, count);
    const float factor = 1.0f / scale;
    if (codes_) table_.encode(codes_ + at, x, factor, count);
    if (exact_) table_.round(exact_ + at, x, factor, folds_ ? scale : 1.0f, count);
  }
  /// A scale for each element.
  void write_each(int64_t at, const T* x, const ColumnScales& columns) const {
    static constexpr auto kOnes = [] {
      std::array<float, kTokenTileColumns> ones{};
      ones.fill(1.0f);
      return ones;
    }();
    const float *factors = columns.factors.data(), *scales = columns.scales.data();
    if (codes_) table_.encode_each(codes_ + at, x, factors, columns.count);
    if (exact_) table_.round_each(exact_ + at, x, factors, folds_ ? scales : kOnes.data(), columns.count);
    if (!columns.has_nan) return;
    for (int64_t i = 0; i < columns.count; ++i)
      if (std::isnan(scales[i])) write_nan(at + i, 1);
  }

 private:
  void write_nan(int64_t at, int64_t count) const {
    if (codes_) std::fill_n(codes_ + at, count, uint8_t{0x7f});
    if (exact_) std::fill_n(exact_ + at, count, Bf16{0x7fc0});
  }

  const Fp8Table<T>& table_ = fp8_table<T>();
  uint8_t* codes_;
  Bf16* exact_;
  bool folds_;
};

// ---- the three kinds of tiles
// ------------------------------------------------------------------------------------

/// body(first, count) for every tile of `size` elements.
template <typename Body>
void for_each_tile(int64_t size, Body body) {
  for (int64_t first = 0; first < size; first += kFp8Tile) body(first, std::min(kFp8Tile, size - first));
}

template <typename T>
void quantise_row_tiles(const Fp8Matrix& to, const at::Tensor& x, const Fp8Options& options) {
  const int64_t num_columns = x.size(1), stride = x.stride(0), num_tiles = fp8_tiles(num_columns);
  const auto& table = fp8_table<T>();
  const Sink<T> sink(to);
  const T* from = data<T>(x);
  float* scales = mutable_data<float>(to.scales);
  for_each_row(x.size(0), num_columns, [&](int64_t t) {
    for_each_tile(num_columns, [&](int64_t first, int64_t count) {
      const T* tile = from + t * stride + first;
      const float scale = fp8_scale(table.largest_magnitude(tile, count), options);
      scales[t * num_tiles + first / kFp8Tile] = scale;
      sink.write(t * num_columns + first, tile, scale, count);
    });
  });
}

/// Up to 128 rows of one group.
struct TokenTile {
  int64_t row_begin, num_rows;
};

std::vector<TokenTile> token_tiles(const std::vector<int64_t>& offsets) {
  std::vector<TokenTile> tiles;
  for (size_t e = 0; e + 1 < offsets.size(); ++e)
    for_each_tile(offsets[e + 1] - offsets[e], [&](int64_t first, int64_t count) {
      tiles.push_back({offsets[e] + first, count});
    });
  return tiles;
}

/// body(tile index, tile, first column, number of columns), on all threads.
template <typename Body>
void for_each_token_piece(const std::vector<TokenTile>& tiles, int64_t num_columns, Body body) {
  const int64_t pieces_per_tile = (num_columns + kTokenTileColumns - 1) / kTokenTileColumns;
  core::parallel_for(static_cast<int64_t>(tiles.size()) * pieces_per_tile, [&](int64_t piece) {
    const int64_t s = piece / pieces_per_tile, first = piece % pieces_per_tile * kTokenTileColumns;
    body(s, tiles[static_cast<size_t>(s)], first, std::min(kTokenTileColumns, num_columns - first));
  });
}

template <typename T>
void quantise_token_tiles(const Fp8Matrix& to, const at::Tensor& x, const Fp8Options& options) {
  const int64_t num_columns = x.size(1), stride = x.stride(0);
  const auto& table = fp8_table<T>();
  const Sink<T> sink(to);
  const T* from = data<T>(x);
  float* scales = mutable_data<float>(to.scales);
  const auto quantise_piece = [&](int64_t s, const TokenTile& tile, int64_t first, int64_t count) {
    std::array<float, kTokenTileColumns> magnitudes{};
    ColumnScales columns(count);
    float* tile_scales = scales + s * num_columns + first;
    for (int64_t t = tile.row_begin; t < tile.row_begin + tile.num_rows; ++t)
      table.raise_magnitudes(magnitudes.data(), from + t * stride + first, count);
    for (int64_t i = 0; i < count; ++i) {
      tile_scales[i] = fp8_scale(magnitudes[static_cast<size_t>(i)], options);
      columns.set(i, tile_scales[i]);
    }
    for (int64_t t = tile.row_begin; t < tile.row_begin + tile.num_rows; ++t)
      sink.write_each(t * num_columns + first, from + t * stride + first, columns);
  };
  for_each_token_piece(token_tiles(to.offsets), num_columns, quantise_piece);
}

/// Weights as rows of all matrices one after the other.
struct BlockShape {
  explicit BlockShape(at::IntArrayRef sizes)
      : num_matrices(sizes.size() == 3 ? sizes[0] : 1),
        num_rows(sizes[sizes.size() - 2]),
        num_columns(sizes[sizes.size() - 1]) {}
  int64_t tiles_across() const { return fp8_tiles(num_columns); }
  /// Which row of blocks a row lies in; both count through all matrices.
  int64_t band(int64_t row) const { return row / num_rows * fp8_tiles(num_rows) + row % num_rows / kFp8Tile; }
  ElementRange rows_of_band(int64_t band) const {
    const int64_t first_row = band / fp8_tiles(num_rows) * num_rows,
                  within = band % fp8_tiles(num_rows) * kFp8Tile;
    return {first_row + within, first_row + std::min(within + kFp8Tile, num_rows)};
  }
  int64_t num_matrices, num_rows, num_columns;
};

/// body(offset in the slice, number of elements, index of the block), for stretches of elements [begin, end)
/// of a flattened weight that lie in one row of one block; rows are shared out over threads when `row_begin`
/// and `row_end` are.
template <typename Body>
void for_stretches_of_rows(const BlockShape& shape, int64_t begin, int64_t end, int64_t row, Body body) {
  const int64_t row_begin = std::max(begin, row * shape.num_columns),
                row_end = std::min(end, (row + 1) * shape.num_columns);
  for (int64_t i = row_begin; i < row_end;) {
    const int64_t tile = (i - row * shape.num_columns) / kFp8Tile;
    const int64_t stop = std::min(row_end, row * shape.num_columns + (tile + 1) * kFp8Tile);
    body(i - begin, stop - i, shape.band(row) * shape.tiles_across() + tile);
    i = stop;
  }
}

/// The rows of every row of blocks that [begin, end) touches, one row of blocks per call on one thread: no
/// two threads share a block.
template <typename Body>
void for_each_block_stretch(const BlockShape& shape, int64_t begin, int64_t end, Body body) {
  if (begin >= end) return;
  const int64_t columns = shape.num_columns, row_begin = begin / columns, row_end = (end - 1) / columns + 1;
  const int64_t first_band = shape.band(row_begin), last_band = shape.band(row_end - 1);
  core::parallel_for(last_band - first_band + 1, [&](int64_t piece) {
    const ElementRange rows = shape.rows_of_band(first_band + piece);
    for (int64_t row = std::max(rows.begin, row_begin); row < std::min(rows.end, row_end); ++row)
      for_stretches_of_rows(shape, begin, end, row, body);
  });
}

float larger_or_nan(float a, float b) {
  return a >= b || a != a ? a : b;
}

template <typename T>
void raise_magnitudes(float* magnitudes, const T* slice, const BlockShape& shape, int64_t begin,
                      int64_t end) {
  const auto& table = fp8_table<T>();
  for_each_block_stretch(shape, begin, end, [&](int64_t at, int64_t count, int64_t block) {
    magnitudes[block] = larger_or_nan(magnitudes[block], table.largest_magnitude(slice + at, count));
  });
}

template <typename T>
void write_blocks(const Fp8Matrix& to, const T* slice, const BlockShape& shape, int64_t begin, int64_t end) {
  const Sink<T> sink(to);
  const float* scales = data<float>(to.scales);
  for_each_block_stretch(shape, begin, end, [&](int64_t at, int64_t count, int64_t block) {
    sink.write(at, slice + at, scales[block], count);
  });
}

template <typename T>
void quantise_blocks(const Fp8Matrix& to, const at::Tensor& x, const Fp8Options& options) {
  const BlockShape shape(x.sizes());
  to.scales.zero_();
  raise_magnitudes(mutable_data<float>(to.scales), data<T>(x), shape, 0, x.numel());
  float* scales = mutable_data<float>(to.scales);
  std::transform(scales, scales + to.scales.numel(), scales,
                 [&](float magnitude) { return fp8_scale(magnitude, options); });
  write_blocks(to, data<T>(x), shape, 0, x.numel());
}

// ---- reading
// -------------------------------------------------------------------------------------------------------

/// out = value of the codes, times their scales when `scaled`.
template <typename T>
void decode(T* out, const Fp8Matrix& from, bool scaled) {
  const auto& table = fp8_table<T>();
  const uint8_t* codes = codes_of(from.codes);
  const float* scales = data<float>(from.scales);
  if (!scaled || from.tiles == Fp8Tiles::kBlock) {
    const BlockShape shape(from.sizes());
    for_each_block_stretch(shape, 0, from.codes.numel(), [&](int64_t at, int64_t count, int64_t block) {
      table.decode(out + at, codes + at, scaled ? scales[block] : 1.0f, count);
    });
  } else if (from.tiles == Fp8Tiles::kRow) {
    const int64_t num_columns = from.codes.size(1), num_tiles = fp8_tiles(num_columns);
    for_each_row(from.codes.size(0), num_columns, [&](int64_t t) {
      for_each_tile(num_columns, [&](int64_t first, int64_t count) {
        const int64_t at = t * num_columns + first;
        table.decode(out + at, codes + at, scales[t * num_tiles + first / kFp8Tile], count);
      });
    });
  } else {
    const int64_t num_columns = from.codes.size(1);
    for_each_token_piece(token_tiles(from.offsets), num_columns,
                         [&](int64_t s, const TokenTile& tile, int64_t first, int64_t count) {
                           for (int64_t t = tile.row_begin; t < tile.row_begin + tile.num_rows; ++t) {
                             const int64_t at = t * num_columns + first;
                             table.decode_each(out + at, codes + at, scales + s * num_columns + first, count);
                           }
                         });
  }
}

}  // namespace

int64_t num_token_tiles(const std::vector<int64_t>& offsets) {
  return static_cast<int64_t>(token_tiles(offsets).size());
}

void quantise_tiles(const Fp8Matrix& to, const at::Tensor& x, const Fp8Options& options) {
  with_compute_type(x, [&](auto type) {
    using T = decltype(type);
    if (to.tiles == Fp8Tiles::kRow) quantise_row_tiles<T>(to, x, options);
    if (to.tiles == Fp8Tiles::kToken) quantise_token_tiles<T>(to, x, options);
    if (to.tiles == Fp8Tiles::kBlock) quantise_blocks<T>(to, x, options);
  });
}

void decode_tiles(const at::Tensor& out, const Fp8Matrix& from, bool scaled) {
  with_compute_type(out, [&](auto type) { decode(mutable_data<decltype(type)>(out), from, scaled); });
}

void raise_slice_magnitudes(const at::Tensor& magnitudes, const at::Tensor& slice, const WeightSlice& place) {
  with_compute_type(slice, [&](auto type) {
    raise_magnitudes(mutable_data<float>(magnitudes), data<decltype(type)>(slice),
                     BlockShape(place.weight_shape), place.begin, place.begin + slice.size(0));
  });
}

void write_slice(const Fp8Matrix& to, const at::Tensor& slice, const WeightSlice& place) {
  with_compute_type(slice, [&](auto type) {
    write_blocks(to, data<decltype(type)>(slice), BlockShape(place.weight_shape), place.begin,
                 place.begin + slice.size(0));
  });
}

void decode_slice(const at::Tensor& exact, const Fp8Matrix& from, const WeightSlice& place) {
  const auto& table = fp8_table<Bf16>();
  Bf16* to = mutable_data<Bf16>(exact);
  const bool folds = from.scale == Fp8Scale::kPowerOfTwo;
  for_each_block_stretch(BlockShape(place.weight_shape), place.begin, place.begin + exact.size(0),
                         [&, codes = codes_of(from.codes), scales = data<float>(from.scales)](
                             int64_t at, int64_t count, int64_t block) {
                           table.decode(to + at, codes + at, folds ? scales[block] : 1.0f, count);
                         });
}

}  // namespace athanor::kernels::cpu
