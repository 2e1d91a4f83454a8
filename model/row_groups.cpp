#include "model/row_groups.h"

#include <ATen/ops/empty_like.h>
#include <ATen/ops/tensor.h>

namespace athanor::model {

RowGroups::RowGroups(std::vector<int64_t> first_rows, int64_t sources)
    : num_sources(sources), source_offsets(std::move(first_rows)) {
  for (size_t i = 0; i < source_offsets.size(); i += static_cast<size_t>(sources))
    offsets.push_back(source_offsets[i]);
}

RowOrder::RowOrder(const std::vector<int64_t>& counts, int64_t num_senders, const c10::Device& device) {
  const int64_t num_groups = static_cast<int64_t>(counts.size()) / num_senders;
  first_rows_ = {0};
  for (int64_t g = 0; g < num_groups; ++g)
    for (int64_t s = 0; s < num_senders; ++s)
      first_rows_.push_back(first_rows_.back() + counts[static_cast<size_t>(s * num_groups + g)]);
  if (num_senders > 1 && num_groups > 1) find_order(counts, num_senders, device);
}

void RowOrder::find_order(const std::vector<int64_t>& counts, int64_t num_senders,
                          const c10::Device& device) {
  const int64_t num_groups = static_cast<int64_t>(counts.size()) / num_senders;
  std::vector<int32_t> arrived_row(static_cast<size_t>(first_rows_.back())), placed_row(arrived_row.size());
  int32_t arrived = 0;
  for (int64_t s = 0; s < num_senders; ++s)
    for (int64_t g = 0; g < num_groups; ++g) {
      auto placed = static_cast<int32_t>(first_rows_[static_cast<size_t>(g * num_senders + s)]);
      for (int64_t i = 0; i < counts[static_cast<size_t>(s * num_groups + g)]; ++i, ++arrived, ++placed) {
        placed_row[static_cast<size_t>(arrived)] = placed;
        arrived_row[static_cast<size_t>(placed)] = arrived;
      }
    }
  const at::Tensor to_group = at::tensor(arrived_row, at::kInt).to(device);
  const at::Tensor to_sender = at::tensor(placed_row, at::kInt).to(device);
  by_group_ = {.row_of_slot = to_sender, .token_of_row = to_group, .offsets = {}};
  by_sender_ = {.row_of_slot = to_group, .token_of_row = to_sender, .offsets = {}};
}

at::Tensor RowOrder::reordered(const at::Tensor& rows, const std::optional<kernels::Permutation>& order) {
  if (!order) return rows;
  at::Tensor result = at::empty_like(rows);
  kernels::permute(result, rows, *order);
  return result;
}

}  // namespace athanor::model
