#include "kernels/cpu/embedding.h"

#include <algorithm>
#include <cstring>

#include "core/parallel_for.h"
#include "kernels/cpu/pieces.h"
#include "kernels/cpu/row_ops.h"

namespace athanor::kernels::cpu {
namespace {

constexpr int64_t kLookupsPerPiece = 64;
// The backward pass is cut by columns: every token adds to its row in order, whatever the threads do.
constexpr int64_t kColumnsPerPiece = 128;

template <typename T>
void add_rows(const at::Tensor& dw_VD, const at::Tensor& dy_TD, const at::Tensor& ids_T, int64_t first_id) {
  const int64_t num_tokens = dy_TD.size(0), hidden = dy_TD.size(1), num_rows = dw_VD.size(0);
  auto* dw = dw_VD.data_ptr<float>();
  const auto* dy = static_cast<const T*>(dy_TD.const_data_ptr());
  const auto* ids = ids_T.const_data_ptr<int64_t>();
  core::parallel_for(divide_up(hidden, kColumnsPerPiece), [&](int64_t piece) {
    const int64_t first = piece * kColumnsPerPiece;
    const int64_t size = std::min(kColumnsPerPiece, hidden - first);
    for (int64_t t = 0; t < num_tokens; ++t) {
      const int64_t row = ids[t] - first_id;
      if (row >= 0 && row < num_rows)
        row_table<T>().add_row(dw + row * hidden + first, dy + t * hidden + first, size);
    }
  });
}

}  // namespace

void embedding(const at::Tensor& y_TD, const at::Tensor& ids_T, const at::Tensor& w_VD, int64_t first_id) {
  const int64_t num_tokens = ids_T.size(0), num_rows = w_VD.size(0),
                row_bytes = w_VD.size(1) * static_cast<int64_t>(w_VD.element_size());
  auto* y = static_cast<char*>(y_TD.data_ptr());
  const auto* w = static_cast<const char*>(w_VD.const_data_ptr());
  const auto* ids = ids_T.const_data_ptr<int64_t>();
  core::parallel_for(divide_up(num_tokens, kLookupsPerPiece), [&](int64_t piece) {
    const int64_t end = std::min(num_tokens, (piece + 1) * kLookupsPerPiece);
    for (int64_t t = piece * kLookupsPerPiece; t < end; ++t) {
      const int64_t row = ids[t] - first_id;
      if (row >= 0 && row < num_rows)
        std::memcpy(y + t * row_bytes, w + row * row_bytes, static_cast<size_t>(row_bytes));
      else
        std::memset(y + t * row_bytes, 0, static_cast<size_t>(row_bytes));
    }
  });
}

void embedding_backward(const at::Tensor& dw_VD, const at::Tensor& dy_TD, const at::Tensor& ids_T,
                        int64_t first_id) {
  if (dy_TD.scalar_type() == at::kFloat)
    add_rows<float>(dw_VD, dy_TD, ids_T, first_id);
  else
    add_rows<Bf16>(dw_VD, dy_TD, ids_T, first_id);
}

}  // namespace athanor::kernels::cpu
