// Where the parameters of a block lie in its flat buffer, and which part of it a rank keeps.
//
// Parameters follow each other in the order given, each from the next multiple of kernels::kFlatAlignment
// elements. Offsets do not depend on how many ranks share the buffer; only the zero padding at its end does:
// it makes all shards equally long and each a multiple of kFlatAlignment. So every chunk of kFlatAlignment
// elements holds values of one parameter, the same ones on every layout. The matrices of a stack (the experts
// of a layer) each start at such a multiple too: a rank that holds some of them has the chunks of one that
// holds all.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include <ATen/core/Tensor.h>

#include "kernels/ops.h"

namespace athanor::parallel {

using kernels::ElementRange;

struct NamedShape {
  std::string name;
  std::vector<int64_t> shape;
  bool is_stack = false;  ///< the first dimension counts matrices that are placed one by one
};

struct FlatParameter {
  std::string name;
  std::vector<int64_t> shape;
  int64_t begin = 0;          ///< element index in the flat buffer
  int64_t num_elements = 0;   ///< product of the shape; padding not counted
  int64_t num_matrices = 1;   ///< of a stack; everything else is one
  int64_t matrix_stride = 0;  ///< from the start of one to the start of the next, in the flat buffer

  int64_t matrix_size() const { return num_elements / num_matrices; }
};

/// The part [parameter_begin, parameter_end) of a parameter, in its own row-major element indices, that lies
/// at `slice_begin` of a slice of the flat buffer.
struct ParameterPiece {
  int64_t parameter_idx;
  int64_t parameter_begin, parameter_end;
  int64_t slice_begin;
};

class FlatLayout {
 public:
  /// InternalError: a name twice, a negative or zero dimension, more than 2^62 elements.
  explicit FlatLayout(const std::vector<NamedShape>& parameters);

  const std::vector<FlatParameter>& parameters() const { return parameters_; }
  const FlatParameter& parameter(const std::string& name) const;  ///< InternalError when there is none
  /// Elements up to the aligned end of the last parameter.
  int64_t used_size() const { return used_size_; }
  /// Elements of the buffer that `num_shards` ranks share.
  int64_t padded_size(int num_shards) const;
  int64_t shard_size(int num_shards) const { return padded_size(num_shards) / num_shards; }
  ElementRange shard(int num_shards, int shard_idx) const;

  /// What a slice of the flat buffer holds, ascending; a stack gives a piece per matrix.
  std::vector<ParameterPiece> pieces(const ElementRange& slice) const;
  /// Elements of the parameters that `selects`, as ascending, disjoint ranges counted from the slice's begin:
  /// the `decay` argument of kernels::adamw.
  std::vector<ElementRange> ranges(const ElementRange& slice,
                                   const std::function<bool(const FlatParameter&)>& selects) const;
  /// A parameter as a view of the whole flat buffer (1-D, at least used_size() long). Rows are contiguous;
  /// the matrices of a stack are matrix_stride apart.
  at::Tensor view(const at::Tensor& flat, const FlatParameter& parameter) const;

 private:
  std::vector<FlatParameter> parameters_;
  std::unordered_map<std::string, int64_t> idx_of_name_;
  int64_t used_size_ = 0;
};

}  // namespace athanor::parallel
