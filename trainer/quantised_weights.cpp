#include "trainer/quantised_weights.h"

#include <ATen/ops/zeros.h>

namespace athanor::trainer {
namespace {

at::Tensor part(const at::Tensor& slice, const parallel::ParameterPiece& piece) {
  return slice.narrow(0, piece.slice_begin, piece.parameter_end - piece.parameter_begin);
}

}  // namespace

QuantisedWeights::QuantisedWeights(const std::vector<model::Parameter*>& parameters,
                                   const parallel::FlatLayout& layout, parallel::Communicator& comm,
                                   const QuantisedWeightsOptions& options)
    : parameters_(parameters),
      layout_(layout),
      comm_(comm),
      scale_(options.scale),
      pieces_(layout.pieces(options.range)) {
  const auto here = [&](at::ScalarType type) {
    return at::TensorOptions().dtype(type).device(options.device);
  };
  std::vector<int64_t> begins{0};
  for (const model::Parameter* parameter : parameters)
    begins.push_back(begins.back() +
                     c10::multiply_integers(kernels::fp8_block_scale_shape(parameter->shape)));
  all_scales_ = at::zeros({begins.back()}, here(at::kFloat));
  for (size_t i = 0; i < parameters.size(); ++i)
    scales_.push_back(all_scales_.narrow(0, begins[i], begins[i + 1] - begins[i])
                          .view(kernels::fp8_block_scale_shape(parameters[i]->shape)));
  if (options.keeps_codes)
    codes_ = at::zeros({options.range.end - options.range.begin}, here(at::kFloat8_e4m3fn));
}

void QuantisedWeights::begin(const at::Tensor& slice, bool is_sharded) {
  all_scales_.zero_();
  for (const auto& piece : pieces_) {
    const auto idx = static_cast<size_t>(piece.parameter_idx);
    kernels::raise_block_magnitudes(scales_[idx], part(slice, piece),
                                    {parameters_[idx]->shape, piece.parameter_begin});
  }
  if (is_sharded) maximum_ = comm_.all_reduce(all_scales_.view(at::kInt), parallel::ReduceOp::kMax);
}

void QuantisedWeights::finish(const at::Tensor& slice) {
  maximum_.wait();
  kernels::fp8_scales(all_scales_, all_scales_, {.scale = scale_});
  for (const auto& piece : pieces_) {
    const auto idx = static_cast<size_t>(piece.parameter_idx);
    const kernels::WeightSlice place{parameters_[idx]->shape, piece.parameter_begin};
    if (keeps_codes())
      kernels::encode_block_slice(part(codes_, piece), part(slice, piece), scales_[idx], place);
    else
      kernels::round_block_slice(part(slice, piece), part(slice, piece), scales_[idx], place, scale_);
  }
}

void QuantisedWeights::decode(const at::Tensor& exact, const at::Tensor& codes) const {
  for (const auto& piece : layout_.pieces({0, layout_.used_size()})) {
    const auto idx = static_cast<size_t>(piece.parameter_idx);
    kernels::decode_block_slice(part(exact, piece), part(codes, piece), scales_[idx],
                                {parameters_[idx]->shape, piece.parameter_begin}, scale_);
  }
}

void QuantisedWeights::bind(const at::Tensor& exact) const {
  const auto& placed = layout_.parameters();
  for (size_t i = 0; i < placed.size(); ++i) {
    kernels::Fp8Matrix& to = parameters_[i]->quantised;
    to = {};
    if (!exact.defined()) continue;
    to.tiles = kernels::Fp8Tiles::kBlock;
    to.scale = scale_;
    to.scales = scales_[i];
    to.exact = layout_.view(exact, placed[i]);
  }
}

}  // namespace athanor::trainer
