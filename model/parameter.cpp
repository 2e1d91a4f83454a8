#include "model/parameter.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "core/error.h"

namespace athanor::model {
namespace {
int64_t product(const std::vector<int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}
}  // namespace

int64_t HfPart::num_elements() const {
  return product(shape);
}

int64_t Parameter::num_elements() const {
  return product(shape);
}

HfPart share_of(const HfPart& whole, size_t dim, const Share& share) {
  if (share.count == 1) return whole;
  ATHANOR_CHECK(whole.is_whole() && whole.shape.at(dim) % share.count == 0,
                "dimension {} of {} has {} entries: they cannot be cut into {} equal shares", dim, whole.name,
                whole.shape.at(dim), share.count);
  HfPart part{.name = whole.name, .shape = whole.shape, .global_shape = whole.shape, .offset = whole.shape};
  std::fill(part.offset.begin(), part.offset.end(), 0);
  part.shape[dim] /= share.count;
  part.offset[dim] = share.index * part.shape[dim];
  return part;
}

void Parameter::pack() {
  if (value.dim() == 2) packed = {kernels::pack_nt(value)};
  if (value.dim() == 3) {
    packed.clear();
    for (int64_t i = 0; i < value.size(0); ++i) packed.push_back(kernels::pack_nt(value.select(0, i)));
  }
}

Parameter Parameter::whole(std::string name, std::vector<int64_t> shape, Initialisation initialisation) {
  Parameter parameter;
  parameter.parts = {{name, 0, shape}};
  parameter.name = std::move(name);
  parameter.shape = std::move(shape);
  parameter.initialisation = initialisation;
  return parameter;
}

Parameter Parameter::cut(std::string name, std::vector<int64_t> shape, size_t dim, const Share& share) {
  Parameter parameter = whole(std::move(name), std::move(shape));
  parameter.parts.front() = share_of(parameter.parts.front(), dim, share);
  parameter.shape = parameter.parts.front().shape;
  parameter.is_cut = share.count > 1;
  return parameter;
}

Parameter Parameter::stacked(std::string name, const std::vector<HfPart>& rows) {
  Parameter parameter;
  parameter.name = std::move(name);
  int64_t num_rows = 0, position = 0;
  for (HfPart part : rows) {
    part.begin = position;
    position += product(part.shape);
    num_rows += part.shape.front();
    parameter.is_cut |= !part.is_whole();
    parameter.parts.push_back(std::move(part));
  }
  parameter.shape = rows.front().shape;
  parameter.shape.front() = num_rows;
  ATHANOR_CHECK(parameter.num_elements() == position, "the parts of {} have different widths",
                parameter.name);
  return parameter;
}

}  // namespace athanor::model
