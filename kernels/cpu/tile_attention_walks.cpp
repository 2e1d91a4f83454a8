#include "kernels/cpu/tile_attention_walks.h"

#include <algorithm>

#include "core/parallel_for.h"
#include "kernels/cpu/pieces.h"
#include "kernels/cpu/tile_attention_operands.h"

namespace athanor::kernels::cpu {
namespace {

class Planner {
 public:
  Planner(const AttentionShape& shape, const std::vector<int64_t>& lengths)
      : shape_(shape), lengths_(lengths), heads_per_group_(shape.heads_per_group()) {}

  bool heads_suffice() const {
    const int64_t longest = lengths_.empty() ? 0 : *std::max_element(lengths_.begin(), lengths_.end());
    const int64_t num_heads = static_cast<int64_t>(lengths_.size()) * shape_.num_groups;
    return (core::num_threads() == 1 || num_heads >= wanted_walks()) &&
           longest * heads_per_group_ * as_columns(shape_.qk_size) <= kMaxQueryGradientFloats;
  }

  std::vector<Walk> over_heads() const {
    std::vector<Walk> walks;
    for_each_head([&](size_t document, int64_t group) {
      const int64_t tiles = num_tiles(lengths_[document]), blocks = num_blocks(lengths_[document]);
      walks.push_back({document, group, 0, tiles, 0, blocks, true, true, tiles * blocks});
    });
    return walks;
  }

  std::vector<Walk> over_keys() const {
    const int64_t step = step_for_threads(kChunkBlocks, num_blocks_of_all());
    std::vector<Walk> walks;
    for_each_head([&](size_t document, int64_t group) {
      const int64_t tiles = num_tiles(lengths_[document]), blocks = num_blocks(lengths_[document]);
      for (int64_t block = 0; block < blocks; block += step) {
        const int64_t end = std::min(block + step, blocks), tile = tile_of(block * kBlockKeys);
        walks.push_back(
            {document, group, tile, tiles, block, end, false, true, (tiles - tile) * (end - block)});
      }
    });
    return walks;
  }

  std::vector<Walk> over_queries() const {
    const int64_t step = step_for_threads(kMaxPieceTiles, num_tiles_of_all());
    std::vector<Walk> walks;
    for_each_head([&](size_t document, int64_t group) {
      const int64_t tiles = num_tiles(lengths_[document]);
      for (int64_t tile = 0; tile < tiles; tile += step) {
        const int64_t end = std::min(tile + step, tiles), block = first_block(tile);
        const int64_t block_end = std::min(last_block(end - 1) + 1, num_blocks(lengths_[document]));
        walks.push_back(
            {document, group, tile, end, block, block_end, true, false, (end - tile) * (block_end - block)});
      }
    });
    return walks;
  }

 private:
  static int64_t wanted_walks() { return kTilePiecesPerThread * core::num_threads(); }
  static int64_t num_blocks(int64_t length) { return divide_up(length, kBlockKeys); }
  int64_t num_tiles(int64_t length) const { return divide_up(length * heads_per_group_, kTileRows); }
  int64_t tile_of(int64_t position) const { return position * heads_per_group_ / kTileRows; }
  int64_t first_block(int64_t tile) const {
    return shape_.visibility.first_key(tile * kTileRows / heads_per_group_) / kBlockKeys;
  }
  int64_t last_block(int64_t tile) const {
    return ((tile + 1) * kTileRows - 1) / heads_per_group_ / kBlockKeys;
  }

  int64_t num_blocks_of_all() const {
    int64_t sum = 0;
    for (const int64_t length : lengths_) sum += num_blocks(length);
    return sum * shape_.num_groups;
  }
  int64_t num_tiles_of_all() const {
    int64_t sum = 0;
    for (const int64_t length : lengths_) sum += num_tiles(length);
    return sum * shape_.num_groups;
  }

  /// How many units a walk takes: the more, the more often what it packs is used.
  static int64_t step_for_threads(int64_t max_step, int64_t num_units) {
    int64_t step = max_step;
    while (step > 1 && num_units < step * wanted_walks()) step /= 2;
    return step;
  }

  template <typename Body>
  void for_each_head(const Body& body) const {
    for (size_t document = 0; document < lengths_.size(); ++document)
      for (int64_t group = 0; lengths_[document] > 0 && group < shape_.num_groups; ++group)
        body(document, group);
  }

  const AttentionShape& shape_;
  const std::vector<int64_t>& lengths_;
  int64_t heads_per_group_;
};

}  // namespace

std::vector<std::vector<Walk>> plan_walks(const AttentionShape& shape, const std::vector<int64_t>& lengths) {
  const Planner planner(shape, lengths);
  if (planner.heads_suffice()) return {planner.over_heads()};
  return {planner.over_keys(), planner.over_queries()};
}

}  // namespace athanor::kernels::cpu
