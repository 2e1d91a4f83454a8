// One micro batch as the blocks see it, and what they report back about it.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "model/remake.h"
#include "model/rope.h"

namespace athanor::model {

/// Keys and values of one layer, one entry per sequence: k [capacity, G, Q], v [capacity, G, W].
struct LayerCache {
  std::vector<at::Tensor> k, v;
};

/// The sequences being decoded. Rows of a batch are the new tokens of all sequences, in order.
struct KvCache {
  std::vector<LayerCache> layers;
  std::vector<int64_t> length;  ///< tokens of each sequence in the cache, before this batch
};

struct MicroBatch {
  at::Tensor ids_T;     ///< int64
  at::Tensor labels_T;  ///< int64, kIgnoredLabel where no loss is taken; the label of t is the token after t
  at::Tensor positions_T;                 ///< int64, within the document
  std::vector<int64_t> document_offsets;  ///< ascending, from 0 to T
  int64_t sequence_length = 0;            ///< tokens per sequence (balance losses are taken per sequence)
  RotaryTables rotary;                    ///< of positions_T

  /// Decoding: the cache, and how many rows of this batch belong to each of its sequences.
  KvCache* cache = nullptr;
  std::vector<int64_t> num_new;

  /// The same batch with its tensors there; the host does not wait for the copies.
  MicroBatch on(at::Device device) const;
};

/// How a pass is run, and what it reports. One per micro batch and pass.
struct PassContext {
  const MicroBatch& batch;
  bool is_training = false;  ///< balance losses are taken
  bool takes_loss = true;  ///< the heads compute losses; with recording on, their gradients in the same pass
  Remake* remake = nullptr;      ///< takes what need not be kept for the backward pass; null: all is kept
  bool keeps_statistics = true;  ///< off while a block is run again for its backward pass
  /// What each labelled token's loss is multiplied with, one per prediction depth: the main head, then each
  /// multi-token prediction module (its weight included).
  std::vector<double> loss_scale;
  double micro_batch_share = 1;  ///< 1 / micro batches in the step, all ranks together

  // Reported:
  std::vector<double> loss_sum;  ///< per prediction depth, over this micro batch's labelled tokens
  at::Tensor token_loss_T;       ///< fp32, of the main head
  std::vector<std::vector<int64_t>> expert_tokens;  ///< per MoE layer, how many tokens chose each expert
  int64_t num_dropped = 0;  ///< choices of experts that found no place (CapacityOptions), all layers
  double balance_loss = 0;  ///< sum of the layers' balance losses, weight and share included
};

}  // namespace athanor::model
