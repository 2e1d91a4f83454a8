// Rows in order of their experts: a stable counting sort of the slots, and the row copies and sums that go
// with it.
#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include <ATen/ops/empty.h>

#include "core/error.h"
#include "core/parallel_for.h"
#include "kernels/cpu/mixture_of_experts.h"
#include "kernels/cpu/pieces.h"
#include "kernels/cpu/row_sums.h"

namespace athanor::kernels::cpu {
namespace {

constexpr int64_t kSlotsPerPiece = 32768;
constexpr int64_t kRowsPerPiece = 64;
constexpr int32_t kDropped = -1;

// Where the rows of every (piece of slots, expert) begin.
struct SortPlan {
  std::vector<int64_t> offsets;                  // [E + 1]
  std::vector<std::vector<int64_t>> first_rows;  // [pieces][E]
};

std::vector<int64_t> count_experts(const int32_t* ids, int64_t begin, int64_t end, int64_t num_experts) {
  std::vector<int64_t> counts(static_cast<size_t>(num_experts));
  for (int64_t slot = begin; slot < end; ++slot) {
    if (ids[slot] == kDropped) continue;
    ATHANOR_CHECK(ids[slot] >= 0 && ids[slot] < num_experts,
                  "permutation_by_expert: slot {} names expert {}, expected -1 (dropped) or 0..{}", slot,
                  ids[slot], num_experts - 1);
    ++counts[static_cast<size_t>(ids[slot])];
  }
  return counts;
}

SortPlan plan_sort(const int32_t* ids, int64_t num_slots, int64_t num_experts) {
  SortPlan plan;
  plan.first_rows.resize(static_cast<size_t>(divide_up(num_slots, kSlotsPerPiece)));
  core::parallel_for(static_cast<int64_t>(plan.first_rows.size()), [&](int64_t piece) {
    const int64_t begin = piece * kSlotsPerPiece;
    plan.first_rows[static_cast<size_t>(piece)] =
        count_experts(ids, begin, std::min(num_slots, begin + kSlotsPerPiece), num_experts);
  });
  int64_t next_row = 0;
  for (size_t e = 0; e < static_cast<size_t>(num_experts); ++e) {
    plan.offsets.push_back(next_row);
    for (auto& rows : plan.first_rows) next_row += std::exchange(rows[e], next_row);
  }
  plan.offsets.push_back(next_row);
  return plan;
}

}  // namespace

Permutation permutation_by_expert(const at::Tensor& expert_ids_TA, int64_t num_experts) {
  const int64_t num_slots = expert_ids_TA.numel(), num_chosen = expert_ids_TA.size(1);
  const auto* ids = expert_ids_TA.const_data_ptr<int32_t>();
  SortPlan plan = plan_sort(ids, num_slots, num_experts);
  Permutation permutation{at::empty({num_slots}, at::kInt), at::empty({plan.offsets.back()}, at::kInt),
                          plan.offsets};
  auto* row_of_slot = permutation.row_of_slot.data_ptr<int32_t>();
  auto* token_of_row = permutation.token_of_row.data_ptr<int32_t>();
  core::parallel_for(static_cast<int64_t>(plan.first_rows.size()), [&](int64_t piece) {
    auto& next_rows = plan.first_rows[static_cast<size_t>(piece)];
    const int64_t end = std::min(num_slots, (piece + 1) * kSlotsPerPiece);
    for (int64_t slot = piece * kSlotsPerPiece; slot < end; ++slot) {
      row_of_slot[slot] = kDropped;
      if (ids[slot] == kDropped) continue;
      const int64_t row = next_rows[static_cast<size_t>(ids[slot])]++;
      row_of_slot[slot] = static_cast<int32_t>(row);
      token_of_row[row] = static_cast<int32_t>(slot / num_chosen);
    }
  });
  return permutation;
}

void permute(const at::Tensor& x_PD, const at::Tensor& x_TD, const Permutation& permutation) {
  const int64_t num_rows = x_PD.size(0), row_bytes = x_TD.size(1) * static_cast<int64_t>(x_TD.element_size());
  auto* out = static_cast<char*>(x_PD.data_ptr());
  const auto* in = static_cast<const char*>(x_TD.const_data_ptr());
  const auto* token_of_row = permutation.token_of_row.const_data_ptr<int32_t>();
  core::parallel_for(divide_up(num_rows, kRowsPerPiece), [&](int64_t piece) {
    const int64_t end = std::min(num_rows, (piece + 1) * kRowsPerPiece);
    for (int64_t row = piece * kRowsPerPiece; row < end; ++row)
      std::memcpy(out + row * row_bytes, in + token_of_row[row] * row_bytes, static_cast<size_t>(row_bytes));
  });
}

namespace {

template <typename T>
void combine_as(const at::Tensor& y_TD, const at::Tensor& y_PD, const at::Tensor& weights_TA,
                const Permutation& permutation) {
  const int64_t num_tokens = y_TD.size(0), hidden = y_TD.size(1);
  if (num_tokens == 0) return;
  const int64_t num_chosen = permutation.row_of_slot.size(0) / num_tokens;
  auto* y = static_cast<T*>(y_TD.data_ptr());
  const auto* rows = static_cast<const T*>(y_PD.const_data_ptr());
  const float* weights = weights_TA.defined() ? weights_TA.const_data_ptr<float>() : nullptr;
  const auto* row_of_slot = permutation.row_of_slot.const_data_ptr<int32_t>();
  core::parallel_for(divide_up(num_tokens, kRowsPerPiece), [&](int64_t piece) {
    const int64_t end = std::min(num_tokens, (piece + 1) * kRowsPerPiece);
    for (int64_t t = piece * kRowsPerPiece; t < end; ++t)
      row_sum_table<T>().sum_chosen_rows(y + t * hidden, rows, row_of_slot + t * num_chosen,
                                         weights ? weights + t * num_chosen : nullptr, num_chosen, hidden);
  });
}

template <typename T>
void combine_backward_as(const at::Tensor& dy_PD, const at::Tensor& dweights_TA, const at::Tensor& dy_TD,
                         const at::Tensor& y_PD, const at::Tensor& weights_TA,
                         const Permutation& permutation) {
  const int64_t num_tokens = dy_TD.size(0), hidden = dy_TD.size(1), num_chosen = weights_TA.size(1);
  auto* dy_rows = static_cast<T*>(dy_PD.data_ptr());
  auto* dweights = dweights_TA.data_ptr<float>();
  const auto* dy = static_cast<const T*>(dy_TD.const_data_ptr());
  const auto* y_rows = static_cast<const T*>(y_PD.const_data_ptr());
  const auto* weights = weights_TA.const_data_ptr<float>();
  const auto* row_of_slot = permutation.row_of_slot.const_data_ptr<int32_t>();
  core::parallel_for(divide_up(num_tokens, kRowsPerPiece), [&](int64_t piece) {
    const int64_t end = std::min(num_tokens, (piece + 1) * kRowsPerPiece) * num_chosen;
    for (int64_t slot = piece * kRowsPerPiece * num_chosen; slot < end; ++slot) {
      const int64_t row = row_of_slot[slot];
      const T* dy_of_token = dy + slot / num_chosen * hidden;
      dweights[slot] = row == kDropped
                           ? 0.0f
                           : row_sum_table<T>().scale_and_dot(dy_rows + row * hidden, dy_of_token,
                                                              y_rows + row * hidden, weights[slot], hidden);
    }
  });
}

}  // namespace

void combine(const at::Tensor& y_TD, const at::Tensor& y_PD, const at::Tensor& weights_TA,
             const Permutation& permutation) {
  if (y_TD.scalar_type() == at::kFloat)
    combine_as<float>(y_TD, y_PD, weights_TA, permutation);
  else
    combine_as<Bf16>(y_TD, y_PD, weights_TA, permutation);
}

void combine_backward(const at::Tensor& dy_PD, const at::Tensor& dweights_TA, const at::Tensor& dy_TD,
                      const at::Tensor& y_PD, const at::Tensor& weights_TA, const Permutation& permutation) {
  if (dy_TD.scalar_type() == at::kFloat)
    combine_backward_as<float>(dy_PD, dweights_TA, dy_TD, y_PD, weights_TA, permutation);
  else
    combine_backward_as<Bf16>(dy_PD, dweights_TA, dy_TD, y_PD, weights_TA, permutation);
}

}  // namespace athanor::kernels::cpu
