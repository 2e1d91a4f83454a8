#include <cstdio>
#include <vector>

#include "bench/kernels/tables.h"
#include "bench/kernels/timing.h"
#include "kernels/cpu/processor.h"
#include "kernels/cpu/tile_packing.h"

namespace athanor::bench {
namespace {

using kernels::cpu::Bf16;
using kernels::cpu::kTileColumns;
using kernels::cpu::TilePackingTable;

constexpr double kBudgetSeconds = 0.1;

struct Matrix {
  const char* what;
  int64_t num_rows, num_columns;
};

std::vector<Bf16> values(int64_t count) {
  std::vector<Bf16> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) values[i].bits = static_cast<uint16_t>(i);
  return values;
}

/// Bytes read and written, for both tables.
template <typename Body>
void print_line(const char* operation, const Matrix& matrix, Body body) {
  const double bytes = 4.0 * static_cast<double>(matrix.num_rows * matrix.num_columns);
  const auto speed = [&](const TilePackingTable& table) {
    return bytes / best_cpu_seconds([&] { body(table); }, kBudgetSeconds) * 1e-9;
  };
  const double portable = speed(kernels::cpu::portable::kTilePacking),
               best = speed(kernels::cpu::tile_packing_table());
  std::printf("  %-14s %-24s %5ld x %5ld  portable %6.2f GB/s, %s %6.2f GB/s, %.1f times\n", operation,
              matrix.what, matrix.num_rows, matrix.num_columns, portable,
              kernels::cpu::isa_name(kernels::cpu::processor_isa()), best, best / portable);
}

void bench_weight(const Matrix& weight) {
  const int64_t n = weight.num_rows, k = weight.num_columns;
  const auto from = values(n * k);
  auto to = values(n * k);
  print_line("pack_columns", weight, [&](const TilePackingTable& table) {
    for (int64_t first = 0; first < n; first += kTileColumns)
      table.pack_columns(to.data() + first * k, from.data() + first * k, k, kTileColumns, k);
  });
  print_line("pack_rows", weight, [&](const TilePackingTable& table) {
    for (int64_t first = 0; first < k; first += kTileColumns)
      table.pack_rows(to.data() + first * n, from.data() + first, k, kTileColumns, n);
  });
}

/// As a weight gradient does it: 128 rows of the result and 512 tokens at a time.
void bench_gradient(const Matrix& gradient) {
  constexpr int64_t kRows = 128, kDepth = 512;
  const int64_t tokens = gradient.num_rows, rows = gradient.num_columns;
  const auto from = values(tokens * rows);
  auto to = values(kRows * kDepth);
  print_line("transpose", gradient, [&](const TilePackingTable& table) {
    for (int64_t row = 0; row < rows; row += kRows)
      for (int64_t k = 0; k < tokens; k += kDepth)
        table.transpose(to.data(), kDepth, from.data() + k * rows + row, rows, kRows, kDepth);
  });
}

}  // namespace

void print_packing_table() {
  std::printf("\npacking: bytes read and written per second, one thread, CPU time\n");
  for (const Matrix& weight :
       {Matrix{"one expert", 512, 512}, {"tokens", 4096, 512}, {"vocabulary", 8192, 512}})
    bench_weight(weight);
  for (const Matrix& gradient : {Matrix{"gradient of one expert", 1024, 512},
                                 {"gradient of dense", 4096, 2816},
                                 {"gradient of logits", 512, 8192}})
    bench_gradient(gradient);
}

}  // namespace athanor::bench
