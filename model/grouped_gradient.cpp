#include "model/grouped_gradient.h"

#include <algorithm>

#include <ATen/ops/empty.h>

#include "kernels/ops.h"
#include "model/add_gradient.h"

namespace athanor::model {
namespace {

constexpr int64_t kSourceScratchBytes = int64_t{64} << 20;

// As many matrices at a time as the scratch memory holds, at least one.
void sum_over_sources(const at::Tensor& dw_GNK, const RowGroups& groups, const GroupedProducts& products,
                      bool accumulate) {
  const int64_t sources = groups.num_sources, rows = dw_GNK.size(1), columns = dw_GNK.size(2);
  const int64_t at_once =
      std::clamp<int64_t>(kSourceScratchBytes / (sources * rows * columns * 4), 1, groups.num_groups());
  const at::Tensor scratch = at::empty({at_once * sources, rows, columns}, dw_GNK.options());
  for (int64_t first = 0; first < groups.num_groups(); first += at_once) {
    const int64_t last = std::min(first + at_once, groups.num_groups());
    const int64_t begin = groups.offsets[first], count = groups.offsets[last] - begin;
    std::vector<int64_t> offsets;
    for (int64_t i = first * sources; i <= last * sources; ++i)
      offsets.push_back(groups.source_offsets[i] - begin);
    products(scratch.narrow(0, 0, (last - first) * sources), begin, count, offsets, /*accumulate=*/false);
    for (int64_t g = first; g < last; ++g) {
      const at::Tensor dw = dw_GNK.select(0, g).view({-1});
      auto parts = scratch.narrow(0, (g - first) * sources, sources).view({sources, dw.numel()}).unbind(0);
      if (accumulate) parts.insert(parts.begin(), dw);
      kernels::ordered_sum(dw, parts);
    }
  }
}

}  // namespace

void add_grouped_gradient(Parameter& weight, const RowGroups& groups, const GroupedProducts& products) {
  add_gradient(weight, [&](const at::Tensor& dw, bool accumulate) {
    if (groups.num_sources == 1)
      products(dw, 0, groups.num_rows(), groups.offsets, accumulate);
    else
      sum_over_sources(dw, groups, products, accumulate);
  });
}

}  // namespace athanor::model
