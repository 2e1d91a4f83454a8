// Which engine this machine has, and whether it is to be trusted.
#include <cmath>
#include <cstring>
#include <exception>
#include <vector>

#include <ATen/native/CPUBlas.h>

#include "core/log.h"
#include "kernels/cpu/dot_engine.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/tile_products.h"

namespace athanor::kernels::cpu {
namespace {

void libtorch_multiply(int64_t m, int64_t k, const Bf16* a, int64_t a_stride, const Bf16* b, float* c,
                       int64_t c_stride, bool accumulate) {
  at::native::cpublas::brgemm(m, kTileColumns, k, a_stride, kTileColumns, c_stride, accumulate,
                              reinterpret_cast<const at::BFloat16*>(a),
                              reinterpret_cast<const at::BFloat16*>(b), c);
}

void libtorch_release() {
  at::native::cpublas::brgemm_release();
}

constexpr TileEngine kLibtorchEngine{libtorch_multiply, libtorch_release, "amx-brgemm"};

bool is_trusted(const TileEngine& engine) {
  try {
    if (agrees_with_gemm(engine)) return true;
    core::log::warning("the block product {} gives wrong results on this machine and is not used",
                       engine.name);
  } catch (const std::exception& error) {
    core::log::warning("the block product {} failed on this machine ({}) and is not used", engine.name,
                       error.what());
  }
  return false;
}

const TileEngine* find_engine() {
  if (at::native::cpublas::could_pack(at::kBFloat16) && is_trusted(kLibtorchEngine)) return &kLibtorchEngine;
  const TileEngine* const dot = dot_engine();
  return dot && is_trusted(*dot) ? dot : nullptr;
}

float widened(Bf16 x) {
  const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

/// Values in [-1, 1) that bf16 holds exactly.
std::vector<Bf16> sample_values(int64_t count, uint32_t seed) {
  std::vector<Bf16> values(static_cast<size_t>(count));
  for (auto& value : values) {
    seed = seed * 1664525u + 1013904223u;
    const float x = static_cast<float>(static_cast<int32_t>(seed >> 24) - 128) / 128.0f;
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof(bits));
    value.bits = static_cast<uint16_t>(bits >> 16);
  }
  return values;
}

double dot(const Bf16* a, int64_t a_stride, const Bf16* b, int64_t b_stride, int64_t depth) {
  double sum = 0;
  for (int64_t k = 0; k < depth; ++k)
    sum += static_cast<double>(widened(a[k * a_stride])) * static_cast<double>(widened(b[k * b_stride]));
  return sum;
}

bool is_close(float value, double expected) {
  return std::abs(value - expected) <= 1e-3;  // not true of NaN
}

// Attention adds to what is there, and its result lies in rows that are longer than a block.
bool adds_to_its_output(const TileEngine& engine) {
  constexpr int64_t kRows = 48, kDepth = 128, kStride = 2 * kTileColumns;
  const auto a = sample_values(kRows * kDepth, 3), b = sample_values(kTileColumns * kDepth, 4);
  std::vector<Bf16> packed(static_cast<size_t>(tile_packed_size(kTileColumns, kDepth)));
  pack_tiles(packed.data(), b.data(), RightLayout::kColumns, kDepth, kTileColumns, kDepth);
  std::vector<float> out(kRows * kStride, 2.0f);
  engine.multiply(kRows, kDepth, a.data(), kDepth, packed.data(), out.data(), kStride, /*accumulate=*/true);
  engine.release();
  for (int64_t i = 0; i < kRows * kStride; ++i) {
    const int64_t m = i / kStride, n = i % kStride;
    const double sum = n < kTileColumns ? dot(&a[m * kDepth], 1, &b[n * kDepth], 1, kDepth) : 0;
    if (!is_close(out[i], 2.0 + sum)) return false;
  }
  return true;
}

}  // namespace

const TileEngine* tile_engine() {
  static const TileEngine* const engine = find_engine();
  return engine;
}

bool agrees_with_gemm(const TileEngine& engine) {
  constexpr int64_t kRows = 147, kColumns = 70, kDepth = 133;
  const auto a = sample_values(kRows * kDepth, 1), b = sample_values(kColumns * kDepth, 2);
  std::vector<float> out(kRows * kColumns);
  for (const bool transposed : {false, true}) {
    const Product product{kRows,
                          kColumns,
                          kDepth,
                          {a.data(), true, transposed ? kRows : kDepth, transposed},
                          {b.data(), true, transposed ? RightLayout::kRows : RightLayout::kColumns,
                           transposed ? kColumns : kDepth},
                          {out.data(), false, kColumns}};
    // On this thread alone: another thread may be waiting for the answer in the middle of a loop of its own.
    run_tile_piece(product, {0, 0, kRows, 0, kColumns}, engine);
    for (int64_t i = 0; i < kRows * kColumns; ++i) {
      const int64_t m = i / kColumns, n = i % kColumns;
      const double expected = transposed ? dot(&a[m], kRows, &b[n], kColumns, kDepth)
                                         : dot(&a[m * kDepth], 1, &b[n * kDepth], 1, kDepth);
      if (!is_close(out[i], expected)) return false;
    }
  }
  return adds_to_its_output(engine);
}

}  // namespace athanor::kernels::cpu
