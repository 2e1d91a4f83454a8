#include "kernels/fp8.h"

#include <bit>
#include <limits>

#include "core/error.h"
#include "core/parallel_for.h"
#include "kernels/checks.h"
#include "kernels/cpu/fp8_rows.h"
#include "kernels/cpu/pieces.h"
#include "kernels/cpu/tensor_data.h"
#include "kernels/ops.h"

namespace athanor::kernels {
namespace {

using cpu::Bf16;

constexpr float kLargestCode = 448.0f;
constexpr int64_t kTokenTileColumns =
    256;  // a token tile's piece stays in the first caches for its two passes

// ---- scales
// ------------------------------------------------------------------------------------------------------

float rounded_up_to_power_of_two(float scale) {
  const uint32_t bits = std::bit_cast<uint32_t>(scale), exponent = (bits >> 23) + ((bits & 0x7fffff) != 0);
  return std::bit_cast<float>(std::clamp(exponent, 1u, 254u) << 23);
}

float scale_of(float magnitude, const Fp8Options& options) {
  if (!(magnitude <= std::numeric_limits<float>::max())) return std::numeric_limits<float>::quiet_NaN();
  const float scale = std::max(magnitude, options.floor) / kLargestCode;
  return options.scale == Fp8Scale::kPowerOfTwo ? rounded_up_to_power_of_two(scale) : scale;
}

// ---- what is written
// ---------------------------------------------------------------------------------------------

uint8_t* mutable_codes(const at::Tensor& tensor) {
  return tensor.defined() ? static_cast<uint8_t*>(tensor.mutable_data_ptr()) : nullptr;
}
const uint8_t* codes_of(const at::Tensor& tensor) {
  return static_cast<const uint8_t*>(tensor.const_data_ptr());
}

/// Writes codes and exact values of stretches of elements, whichever are wanted.
template <typename T>
class Sink {
 public:
  explicit Sink(const Fp8Matrix& to)
      : codes_(mutable_codes(to.codes)),
        exact_(to.exact.defined() ? cpu::mutable_data<Bf16>(to.exact) : nullptr),
        folds_(to.scale == Fp8Scale::kPowerOfTwo) {}

  void write(int64_t at, const T* x, float scale, int64_t count) const {
    const float factor = 1.0f / scale;
    if (codes_) table_.encode(codes_ + at, x, factor, count);
    if (exact_) table_.round(exact_ + at, x, factor, folds_ ? scale : 1.0f, count);
  }
  /// A scale for each element; count <= kTokenTileColumns.
  void write_each(int64_t at, const T* x, const float* factors, const float* scales, int64_t count) const {
    static constexpr auto kOnes = [] {
      std::array<float, kTokenTileColumns> ones{};
      ones.fill(1.0f);
      return ones;
    }();
    if (codes_) table_.encode_each(codes_ + at, x, factors, count);
    if (exact_) table_.round_each(exact_ + at, x, factors, folds_ ? scales : kOnes.data(), count);
  }

 private:
  const cpu::Fp8Table<T>& table_ = cpu::fp8_table<T>();
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
  const auto& table = cpu::fp8_table<T>();
  const Sink<T> sink(to);
  const T* from = cpu::data<T>(x);
  float* scales = cpu::mutable_data<float>(to.scales);
  cpu::for_each_row(x.size(0), num_columns, [&](int64_t t) {
    for_each_tile(num_columns, [&](int64_t first, int64_t count) {
      const T* tile = from + t * stride + first;
      const float scale = scale_of(table.largest_magnitude(tile, count), options);
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
  const auto& table = cpu::fp8_table<T>();
  const Sink<T> sink(to);
  const T* from = cpu::data<T>(x);
  float* scales = cpu::mutable_data<float>(to.scales);
  const auto quantise_piece = [&](int64_t s, const TokenTile& tile, int64_t first, int64_t count) {
    std::array<float, kTokenTileColumns> magnitudes{}, factors;
    float* tile_scales = scales + s * num_columns + first;
    for (int64_t t = tile.row_begin; t < tile.row_begin + tile.num_rows; ++t)
      table.raise_magnitudes(magnitudes.data(), from + t * stride + first, count);
    for (int64_t i = 0; i < count; ++i) {
      tile_scales[i] = scale_of(magnitudes[static_cast<size_t>(i)], options);
      factors[static_cast<size_t>(i)] = 1.0f / tile_scales[i];
    }
    for (int64_t t = tile.row_begin; t < tile.row_begin + tile.num_rows; ++t)
      sink.write_each(t * num_columns + first, from + t * stride + first, factors.data(), tile_scales, count);
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
  std::vector<int64_t> scale_sizes(size_t num_dims) const {
    std::vector<int64_t> sizes{fp8_tiles(num_rows), tiles_across()};
    if (num_dims == 3) sizes.insert(sizes.begin(), num_matrices);
    return sizes;
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
  const auto& table = cpu::fp8_table<T>();
  for_each_block_stretch(shape, begin, end, [&](int64_t at, int64_t count, int64_t block) {
    magnitudes[block] = larger_or_nan(magnitudes[block], table.largest_magnitude(slice + at, count));
  });
}

template <typename T>
void write_blocks(const Fp8Matrix& to, const T* slice, const BlockShape& shape, int64_t begin, int64_t end) {
  const Sink<T> sink(to);
  const float* scales = cpu::data<float>(to.scales);
  for_each_block_stretch(shape, begin, end, [&](int64_t at, int64_t count, int64_t block) {
    sink.write(at, slice + at, scales[block], count);
  });
}

template <typename T>
void quantise_blocks(const Fp8Matrix& to, const at::Tensor& x, const Fp8Options& options) {
  const BlockShape shape(x.sizes());
  to.scales.zero_();
  raise_magnitudes(cpu::mutable_data<float>(to.scales), cpu::data<T>(x), shape, 0, x.numel());
  fp8_scales(to.scales, to.scales, options);
  write_blocks(to, cpu::data<T>(x), shape, 0, x.numel());
}

// ---- reading
// -------------------------------------------------------------------------------------------------------

/// out = value of the codes, times their scales when `scaled`.
template <typename T>
void decode(T* out, const Fp8Matrix& from, bool scaled) {
  const auto& table = cpu::fp8_table<T>();
  const uint8_t* codes = codes_of(from.codes);
  const float* scales = cpu::data<float>(from.scales);
  if (!scaled || from.tiles == Fp8Tiles::kBlock) {
    const BlockShape shape(from.sizes());
    for_each_block_stretch(shape, 0, from.codes.numel(), [&](int64_t at, int64_t count, int64_t block) {
      table.decode(out + at, codes + at, scaled ? scales[block] : 1.0f, count);
    });
  } else if (from.tiles == Fp8Tiles::kRow) {
    const int64_t num_columns = from.codes.size(1), num_tiles = fp8_tiles(num_columns);
    cpu::for_each_row(from.codes.size(0), num_columns, [&](int64_t t) {
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

// ---- checks
// --------------------------------------------------------------------------------------------------------

void check_source(const Checker& check, const at::Tensor& x, Fp8Tiles tiles) {
  check.compute_dtype("x", x);
  if (tiles == Fp8Tiles::kBlock && x.dim() == 3) {
    check.contiguous("x", x);
  } else {
    check.dim("x", x, 2);
    check.rows_contiguous("x", x);
    if (tiles == Fp8Tiles::kBlock) check.contiguous("x", x);
  }
  check.on_cpu({&x});
}

void check_slice(const Checker& check, const char* name, const at::Tensor& slice, const WeightSlice& place) {
  const size_t num_dims = place.weight_shape.size();
  ATHANOR_CHECK(num_dims == 2 || num_dims == 3, "{}: the weight has {} dimensions, expected 2 or 3",
                check.operation(), num_dims);
  check.dim(name, slice, 1);
  check.contiguous(name, slice);
  check.on_cpu({&slice});
  const int64_t num_elements = c10::multiply_integers(place.weight_shape), end = place.begin + slice.size(0);
  ATHANOR_CHECK(place.begin >= 0 && end <= num_elements, "{}: {} is [{}, {}) of a weight with {} elements",
                check.operation(), name, place.begin, end, num_elements);
}

void check_block_scales(const Checker& check, const char* name, const at::Tensor& scales,
                        at::IntArrayRef weight_shape) {
  const auto sizes = BlockShape(weight_shape).scale_sizes(weight_shape.size());
  ATHANOR_CHECK(scales.defined() && scales.sizes() == at::IntArrayRef(sizes),
                "{}: {} do not have the shape of the blocks of the weight", check.operation(), name);
  check.dtype(name, scales, at::kFloat);
  check.contiguous(name, scales);
}

std::vector<int64_t> scale_sizes(const at::Tensor& x, Fp8Tiles tiles, const std::vector<int64_t>& offsets) {
  if (tiles == Fp8Tiles::kRow) return {x.size(0), fp8_tiles(x.size(1))};
  if (tiles == Fp8Tiles::kBlock) return BlockShape(x.sizes()).scale_sizes(static_cast<size_t>(x.dim()));
  return {static_cast<int64_t>(token_tiles(offsets).size()), x.size(1)};
}

void quantise_into(const Fp8Matrix& to, const at::Tensor& x, const Fp8Options& options) {
  cpu::with_compute_type(x, [&](auto type) {
    using T = decltype(type);
    if (to.tiles == Fp8Tiles::kRow) quantise_row_tiles<T>(to, x, options);
    if (to.tiles == Fp8Tiles::kToken) quantise_token_tiles<T>(to, x, options);
    if (to.tiles == Fp8Tiles::kBlock) quantise_blocks<T>(to, x, options);
  });
}

}  // namespace

Fp8Matrix quantise(const at::Tensor& x, Fp8Tiles tiles, const Fp8Options& options, Fp8Keep keep,
                   const std::vector<int64_t>& offsets) {
  const Checker check("quantise");
  check_source(check, x, tiles);
  Fp8Matrix to;
  to.tiles = tiles;
  to.scale = options.scale;
  if (tiles == Fp8Tiles::kToken) {
    to.offsets = offsets.empty() ? std::vector<int64_t>{0, x.size(0)} : offsets;
    check.offsets("offsets", to.offsets, static_cast<int64_t>(to.offsets.size()) - 1, x.size(0));
  }
  const auto like = [&](at::ScalarType type) { return at::TensorOptions().dtype(type).device(x.device()); };
  to.scales = at::empty(scale_sizes(x, tiles, to.offsets), like(at::kFloat));
  if (keep != Fp8Keep::kExact) to.codes = at::empty(x.sizes(), like(at::kFloat8_e4m3fn));
  if (keep != Fp8Keep::kCodes) to.exact = at::empty(x.sizes(), like(at::kBFloat16));
  quantise_into(to, x, options);
  return to;
}

void dequantise(const at::Tensor& out, const Fp8Matrix& matrix) {
  const Checker check("dequantise");
  ATHANOR_CHECK(matrix.codes.defined(), "dequantise: the codes were not kept");
  ATHANOR_CHECK(out.defined() && out.sizes() == matrix.codes.sizes(),
                "dequantise: out does not have the shape of the codes");
  check.compute_dtype("out", out);
  check.contiguous("out", out);
  check.on_cpu({&out, &matrix.codes, &matrix.scales});
  cpu::with_compute_type(
      out, [&](auto type) { decode(cpu::mutable_data<decltype(type)>(out), matrix, /*scaled=*/true); });
}

void make_exact(Fp8Matrix& matrix) {
  if (matrix.exact.defined()) return;
  ATHANOR_CHECK(matrix.codes.defined(), "make_exact: the matrix holds neither codes nor exact values");
  matrix.exact = at::empty(matrix.codes.sizes(), matrix.codes.options().dtype(at::kBFloat16));
  decode(cpu::mutable_data<Bf16>(matrix.exact), matrix, matrix.scale == Fp8Scale::kPowerOfTwo);
}

void quantise_rows(const at::Tensor& codes_TD, const at::Tensor& scales_TC, const at::Tensor& x_TD,
                   const Fp8Options& options) {
  const Checker check("quantise_rows");
  check_source(check, x_TD, Fp8Tiles::kRow);
  check.tensor("codes", codes_TD, at::kFloat8_e4m3fn, {x_TD.size(0), x_TD.size(1)});
  check.tensor("scales", scales_TC, at::kFloat, {x_TD.size(0), fp8_tiles(x_TD.size(1))});
  check.on_cpu({&codes_TD, &scales_TC});
  quantise_into({Fp8Tiles::kRow, options.scale, codes_TD, scales_TC, {}, {}}, x_TD, options);
}

void dequantise_rows(const at::Tensor& y_TD, const at::Tensor& codes_TD, const at::Tensor& scales_TC) {
  const Checker check("dequantise_rows");
  check.dim("codes", codes_TD, 2);
  check.tensor("codes", codes_TD, at::kFloat8_e4m3fn, {codes_TD.size(0), codes_TD.size(1)});
  check.tensor("scales", scales_TC, at::kFloat, {codes_TD.size(0), fp8_tiles(codes_TD.size(1))});
  dequantise(y_TD, {Fp8Tiles::kRow, Fp8Scale::kPowerOfTwo, codes_TD, scales_TC, {}, {}});
}

std::vector<int64_t> fp8_block_scale_shape(at::IntArrayRef weight_shape) {
  return BlockShape(weight_shape).scale_sizes(weight_shape.size());
}

void raise_block_magnitudes(const at::Tensor& magnitudes, const at::Tensor& slice, const WeightSlice& place) {
  const Checker check("raise_block_magnitudes");
  check.compute_dtype("slice", slice);
  check_slice(check, "slice", slice, place);
  check_block_scales(check, "magnitudes", magnitudes, place.weight_shape);
  cpu::with_compute_type(slice, [&](auto type) {
    raise_magnitudes(cpu::mutable_data<float>(magnitudes), cpu::data<decltype(type)>(slice),
                     BlockShape(place.weight_shape), place.begin, place.begin + slice.size(0));
  });
}

void fp8_scales(const at::Tensor& scales, const at::Tensor& magnitudes, const Fp8Options& options) {
  const Checker check("fp8_scales");
  for (const at::Tensor* tensor : {&scales, &magnitudes}) {
    check.dtype("a tensor", *tensor, at::kFloat);
    check.contiguous("a tensor", *tensor);
  }
  ATHANOR_CHECK(scales.numel() == magnitudes.numel(), "fp8_scales: {} scales for {} magnitudes",
                scales.numel(), magnitudes.numel());
  check.on_cpu({&scales, &magnitudes});
  float* to = cpu::mutable_data<float>(scales);
  const float* from = cpu::data<float>(magnitudes);
  std::transform(from, from + scales.numel(), to, [&](float x) { return scale_of(x, options); });
}

namespace {

/// Codes or exact values of a slice, whichever `to` has.
void write_slice(const Checker& check, const Fp8Matrix& to, const at::Tensor& slice,
                 const WeightSlice& place) {
  check.compute_dtype("slice", slice);
  check_slice(check, "slice", slice, place);
  check_block_scales(check, "scales", to.scales, place.weight_shape);
  cpu::with_compute_type(slice, [&](auto type) {
    write_blocks(to, cpu::data<decltype(type)>(slice), BlockShape(place.weight_shape), place.begin,
                 place.begin + slice.size(0));
  });
}

}  // namespace

void encode_block_slice(const at::Tensor& codes, const at::Tensor& slice, const at::Tensor& scales,
                        const WeightSlice& place) {
  const Checker check("encode_block_slice");
  check.tensor("codes", codes, at::kFloat8_e4m3fn, {slice.size(0)});
  write_slice(check, {Fp8Tiles::kBlock, Fp8Scale::kPowerOfTwo, codes, scales, {}, {}}, slice, place);
}

void round_block_slice(const at::Tensor& exact, const at::Tensor& slice, const at::Tensor& scales,
                       const WeightSlice& place, Fp8Scale scale) {
  const Checker check("round_block_slice");
  check.tensor("exact", exact, at::kBFloat16, {slice.size(0)});
  write_slice(check, {Fp8Tiles::kBlock, scale, {}, scales, exact, {}}, slice, place);
}

void decode_block_slice(const at::Tensor& exact, const at::Tensor& codes, const at::Tensor& scales,
                        const WeightSlice& place, Fp8Scale scale) {
  const Checker check("decode_block_slice");
  check.dtype("codes", codes, at::kFloat8_e4m3fn);
  check_slice(check, "codes", codes, place);
  check_block_scales(check, "scales", scales, place.weight_shape);
  check.tensor("exact", exact, at::kBFloat16, {codes.size(0)});
  const auto& table = cpu::fp8_table<Bf16>();
  Bf16* to = cpu::mutable_data<Bf16>(exact);
  for_each_block_stretch(BlockShape(place.weight_shape), place.begin, place.begin + codes.size(0),
                         [&, from = codes_of(codes), factors = cpu::data<float>(scales)](
                             int64_t at, int64_t count, int64_t block) {
                           const float factor = scale == Fp8Scale::kPowerOfTwo ? factors[block] : 1.0f;
                           table.decode(to + at, from + at, factor, count);
                         });
}

}  // namespace athanor::kernels
