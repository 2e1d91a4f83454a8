#include "inference/decoder.h"

#include <algorithm>
#include <bit>

#include <ATen/ops/empty.h>

#include "core/error.h"

namespace athanor::inference {
namespace {

constexpr int64_t kSmallestCapacity = 64;

// A larger copy; the new rows are undefined.
at::Tensor grown(const at::Tensor& rows, int64_t used, int64_t capacity, int64_t heads, int64_t dim,
                 const at::TensorOptions& options) {
  at::Tensor larger = at::empty({capacity, heads, dim}, options);
  if (used) larger.narrow(0, 0, used).copy_(rows.narrow(0, 0, used));
  return larger;
}

// Rows of the last token of every sequence.
at::Tensor last_rows(const at::Tensor& hidden_TD, const std::vector<int64_t>& num_new) {
  at::Tensor rows_BD =
      at::empty({static_cast<int64_t>(num_new.size()), hidden_TD.size(1)}, hidden_TD.options());
  int64_t end = 0;
  for (size_t i = 0; i < num_new.size(); ++i) {
    end += num_new[i];
    rows_BD.select(0, static_cast<int64_t>(i)).copy_(hidden_TD.select(0, end - 1));
  }
  return rows_BD;
}

}  // namespace

Decoder::Decoder(LoadedModel& model, size_t num_sequences)
    : model_(model),
      length_(num_sequences, 0),
      capacity_(num_sequences, 0),
      layers_(static_cast<size_t>(model.model().num_cached_layers)) {
  for (model::LayerCache& layer : layers_) {
    layer.k.resize(num_sequences);
    layer.v.resize(num_sequences);
  }
}

void Decoder::reserve(size_t sequence, int64_t capacity) {
  if (capacity <= capacity_[sequence]) return;
  const model::ModelSpec& spec = model_.spec();
  const auto rounded =
      static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(std::max(capacity, kSmallestCapacity))));
  const auto options = at::TensorOptions().dtype(model_.dtype()).device(model_.device());
  const int64_t heads = spec.has_latent_attention() ? spec.num_attention_heads : spec.num_key_value_heads;
  for (model::LayerCache& layer : layers_) {
    layer.k[sequence] =
        grown(layer.k[sequence], length_[sequence], rounded, heads, spec.query_head_dim(), options);
    layer.v[sequence] =
        grown(layer.v[sequence], length_[sequence], rounded, heads, spec.value_head_dim(), options);
  }
  capacity_[sequence] = rounded;
}

model::KvCache Decoder::select(const std::vector<size_t>& sequences) {
  model::KvCache cache;
  for (size_t sequence : sequences) cache.length.push_back(length_[sequence]);
  for (const model::LayerCache& layer : layers_) {
    cache.layers.emplace_back();
    for (size_t sequence : sequences) {
      cache.layers.back().k.push_back(layer.k[sequence]);
      cache.layers.back().v.push_back(layer.v[sequence]);
    }
  }
  return cache;
}

at::Tensor Decoder::feed(const std::vector<size_t>& sequences,
                         const std::vector<std::vector<int64_t>>& tokens) {
  ATHANOR_CHECK(sequences.size() == tokens.size() && !tokens.empty(), "{} sequences for {} runs of tokens",
                sequences.size(), tokens.size());
  model::MicroBatch batch = batch_of_sequences(model_.spec(), tokens);
  int64_t* positions = batch.positions_T.mutable_data_ptr<int64_t>();
  for (size_t i = 0; i < sequences.size(); ++i) {
    const auto count = static_cast<int64_t>(tokens[i].size());
    ATHANOR_CHECK(count > 0, "sequence {} was fed no token", sequences[i]);
    const int64_t start = length_[sequences[i]], longest = model_.spec().max_position_embeddings;
    if (start + count > longest)
      throw core::DataError(
          "a sequence of {} tokens: the model's context ends at {} (max_position_embeddings)", start + count,
          longest);
    reserve(sequences[i], start + count);
    for (int64_t t = batch.document_offsets[i]; t < batch.document_offsets[i + 1]; ++t) positions[t] += start;
    batch.num_new.push_back(count);
  }
  batch.rotary = model::rotary_tables(model_.spec(), batch.positions_T);
  model::KvCache cache = select(sequences);
  batch.cache = &cache;
  const at::Tensor hidden_TD = model_.hidden_states(batch);
  for (size_t i = 0; i < sequences.size(); ++i) length_[sequences[i]] += batch.num_new[i];
  return model_.logits(last_rows(hidden_TD, batch.num_new));
}

}  // namespace athanor::inference
