// The weight gradient of a stack of matrices, source by source (model/row_groups.h).
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "model/parameter.h"
#include "model/row_groups.h"

namespace athanor::model {

/// out [n, N, K] fp32 = (or +=) the products of rows [begin, begin + count): matrix i sums over rows
/// [offsets[i], offsets[i+1]) of them.
using GroupedProducts = std::function<void(const at::Tensor& out, int64_t begin, int64_t count,
                                           const std::vector<int64_t>& offsets, bool accumulate)>;

/// Adds to the gradient of `weight` [G, N, K], unless it is frozen: where rows come from several sources,
/// each one's product is computed alone, and they are added in the tree over sources.
void add_grouped_gradient(Parameter& weight, const RowGroups& groups, const GroupedProducts& products);

}  // namespace athanor::model
