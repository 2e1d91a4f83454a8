#include "tests/trainer/named_tensors.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "checkpoints/layout.h"
#include "inference/part_piece.h"
#include "parallel/ordered_reduction.h"

namespace athanor::tests {
namespace {

// Zeros for every tensor of which this rank holds a part.
NamedTensors named_zeros(Harness& made) {
  NamedTensors named;
  for (const model::Parameter* parameter : model::all_parameters(made.model))
    for (const model::HfPart& part : parameter->parts)
      named[part.name] = at::zeros(inference::shape_of_whole(part), at::kFloat);
  return named;
}

// Puts elements [begin, end) of the part's box to their places, and a one there in `count`.
void place(const model::HfPart& part, int64_t begin, const at::Tensor& values, const at::Tensor& whole,
           const at::Tensor& count) {
  const checkpoints::Shape shape = inference::shape_of_whole(part);
  const checkpoints::Piece all{checkpoints::whole_box(shape), 0, checkpoints::num_elements(shape)};
  checkpoints::for_each_overlap(shape, inference::piece_of(part, begin, begin + values.numel()), all,
                                [&](uint64_t source, uint64_t target, uint64_t size) {
                                  const auto at = [&](const at::Tensor& to, uint64_t first) {
                                    return to.view({-1}).narrow(0, static_cast<int64_t>(first),
                                                                static_cast<int64_t>(size));
                                  };
                                  at(whole, target).copy_(at(values, source));
                                  at(count, target).add_(1);
                                });
}

}  // namespace

NamedTensors whole_tensors(Harness& made, const std::vector<at::Tensor>& shards,
                           parallel::Communicator& world) {
  NamedTensors named = named_zeros(made), counts = named_zeros(made);
  for (size_t i = 0; i < shards.size(); ++i) {
    const auto& slice = made.store->slices()[i];
    for (const auto& piece : slice.layout->pieces(slice.shard))
      model::for_each_part(
          *slice.parameters->at(piece.parameter_idx), piece.parameter_begin, piece.parameter_end,
          [&](const model::HfPart& part, int64_t begin, int64_t end, int64_t position) {
            place(part, begin, shards[i].narrow(0, piece.slice_begin + position, end - begin),
                  named.at(part.name), counts.at(part.name));
          });
  }
  parallel::OrderedReduction reduction(world);
  for (auto& [name, tensor] : named) {
    reduction.all_reduce(tensor.view({-1}));
    reduction.all_reduce(counts.at(name).view({-1}));
    EXPECT_TRUE(counts.at(name).eq(1).all().item<bool>()) << name << " is not covered exactly once";
  }
  return named;
}

NamedTensors whole_weights(Harness& made, parallel::Communicator& world) {
  std::vector<at::Tensor> shards;
  for (const auto& slice : made.store->slices())
    shards.push_back(
        slice.master.narrow(0, slice.shard.begin - slice.range.begin, slice.shard.end - slice.shard.begin));
  return whole_tensors(made, shards, world);
}

NamedTensors whole_gradients(Harness& made, parallel::Communicator& world) {
  return whole_tensors(made, made.store->gradient_shards(), world);
}

}  // namespace athanor::tests
