#include "model/blocks.h"

#include <algorithm>

#include <ATen/TensorOperators.h>
#include <ATen/ops/concat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/zeros_like.h>
#include <fmt/format.h>

#include "core/error.h"
#include "model/attention.h"
#include "model/autograd.h"
#include "model/collectives.h"
#include "model/functions.h"
#include "parallel/self_communicator.h"

namespace athanor::model {
namespace {

Parameter norm_parameter(const std::string& name, int64_t size) {
  return Parameter::whole(name, {size}, Initialisation::kOnes);
}

// Sum in token order, in fp64: the same bits on every layout.
double total(const at::Tensor& values_T) {
  const at::Tensor on_host = values_T.cpu();
  const float* values = on_host.const_data_ptr<float>();
  double sum = 0;
  for (int64_t t = 0; t < values_T.numel(); ++t) sum += values[t];
  return sum;
}

class EmbeddingBlock : public Block {
 public:
  EmbeddingBlock(const ModelSpec& spec, const Axes& axes)
      : tensor_(*axes.tensor),
        table_(Parameter::cut("model.embed_tokens.weight", {spec.vocab_size, spec.hidden_size}, 0,
                              axes.tensor_share())) {
    table_.keeps_precision = true;
  }

  BlockOutput forward(const at::Tensor& anchor, PassContext& pass) override {
    return {vocabulary_parallel_embedding(anchor, pass.batch.ids_T, table_, tensor_), {}};
  }
  std::vector<Parameter*> parameters() override { return {&table_}; }
  const std::string& name() const override { return name_; }
  Parameter* table() { return &table_; }

 private:
  std::string name_ = "embedding";
  parallel::Communicator& tensor_;
  Parameter table_;
};

// One decoder layer, used by the trunk and inside a prediction module.
class DecoderLayer {
 public:
  DecoderLayer(const ModelSpec& spec, const MoeOptions& moe, int64_t layer_idx, int64_t moe_idx)
      : prefix_(fmt::format("model.layers.{}", layer_idx)),
        eps_(spec.rms_norm_eps),
        input_norm_(norm_parameter(prefix_ + ".input_layernorm.weight", spec.hidden_size)),
        attention_(make_attention(spec, moe.axes, prefix_, layer_idx)),
        mlp_norm_(norm_parameter(prefix_ + ".post_attention_layernorm.weight", spec.hidden_size)),
        mlp_(spec.is_moe_layer(layer_idx) ? make_moe_mlp(spec, moe, prefix_, moe_idx)
                                          : make_dense_mlp(spec, moe.axes, prefix_, spec.intermediate_size)) {
  }

  BlockOutput forward(const at::Tensor& hidden_tD, PassContext& pass) {
    BlockOutput output;
    const at::Tensor attended = hidden_tD + attention_->forward(normed(hidden_tD, input_norm_, pass), pass);
    output.hidden_tD = attended + mlp_->forward(normed(attended, mlp_norm_, pass), pass, output.loss);
    return output;
  }
  std::vector<Parameter*> parameters() {
    std::vector<Parameter*> all = {&input_norm_, &mlp_norm_};
    for (auto part : {attention_->parameters(), mlp_->parameters()})
      all.insert(all.end(), part.begin(), part.end());
    return all;
  }
  std::vector<Buffer*> buffers() { return mlp_->buffers(); }
  const std::string& prefix() const { return prefix_; }

 private:
  at::Tensor normed(const at::Tensor& x_tD, Parameter& weight, const PassContext& pass) const {
    return remade(pass.remake, rms_norm(x_tD, weight, eps_),
                  [x_tD = x_tD.detach(), &weight, eps = eps_] { return rms_norm(x_tD, weight, eps); });
  }

  std::string prefix_;
  double eps_;
  Parameter input_norm_;
  std::unique_ptr<Attention> attention_;
  Parameter mlp_norm_;
  std::unique_ptr<Mlp> mlp_;
};

class LayerBlock : public Block {
 public:
  LayerBlock(const ModelSpec& spec, const MoeOptions& moe, int64_t layer_idx, int64_t moe_idx)
      : layer_(spec, moe, layer_idx, moe_idx) {}
  BlockOutput forward(const at::Tensor& hidden_tD, PassContext& pass) override {
    return layer_.forward(hidden_tD, pass);
  }
  std::vector<Parameter*> parameters() override { return layer_.parameters(); }
  std::vector<Buffer*> buffers() override { return layer_.buffers(); }
  const std::string& name() const override { return layer_.prefix(); }

 private:
  DecoderLayer layer_;
};

// Projects to the vocabulary and takes the loss of prediction depth `depth` (0: the main head).
at::Tensor take_loss(const at::Tensor& x_tD, Parameter& weight, const at::Tensor& labels_T, int64_t depth,
                     PassContext& pass, parallel::Communicator& tensor) {
  const at::Tensor token_loss_T =
      at::empty({labels_T.size(0)}, x_tD.options().requires_grad(false).dtype(at::kFloat));
  const at::Tensor loss =
      vocabulary_parallel_loss(x_tD, weight, labels_T, pass.loss_scale.at(depth), token_loss_T, tensor);
  if (pass.keeps_statistics) {
    pass.loss_sum.at(depth) = total(token_loss_T);
    if (depth == 0) pass.token_loss_T = token_loss_T;
  }
  return loss;
}

class HeadBlock : public Block {
 public:
  // `tied`: the embedding table serves as the projection.
  HeadBlock(const ModelSpec& spec, const Axes& axes, Parameter* tied)
      : tensor_(*axes.tensor),
        eps_(spec.rms_norm_eps),
        norm_(norm_parameter("model.norm.weight", spec.hidden_size)),
        tied_(tied) {
    if (!tied)
      weight_ = Parameter::cut("lm_head.weight", {spec.vocab_size, spec.hidden_size}, 0, axes.tensor_share());
    weight_.keeps_precision = true;
  }

  BlockOutput forward(const at::Tensor& hidden_tD, PassContext& pass) override {
    BlockOutput output{rms_norm(hidden_tD, norm_, eps_), {}};
    if (pass.takes_loss)
      output.loss = take_loss(output.hidden_tD, *matrix(), pass.batch.labels_T, 0, pass, tensor_);
    return output;
  }
  std::vector<Parameter*> parameters() override {
    if (tied_) return {&norm_};
    return {&norm_, &weight_};
  }
  std::vector<Parameter*> borrowed() override {
    if (tied_) return {tied_};
    return {};
  }
  const std::string& name() const override { return name_; }
  bool is_head() const override { return true; }
  Parameter* matrix() { return tied_ ? tied_ : &weight_; }

 private:
  std::string name_ = "head";
  parallel::Communicator& tensor_;
  double eps_;
  Parameter norm_, weight_;
  Parameter* tied_;
};

// A copy of `values` shifted so that position t holds what was at t + by in the same document, `fill` at its
// end.
at::Tensor shifted(const at::Tensor& values_T, const std::vector<int64_t>& document_offsets, int64_t by,
                   int64_t fill) {
  at::Tensor result = at::full_like(values_T, fill);
  for (size_t d = 0; d + 1 < document_offsets.size(); ++d) {
    const int64_t begin = document_offsets[d], count = document_offsets[d + 1] - begin - by;
    if (count > 0) result.narrow(0, begin, count).copy_(values_T.narrow(0, begin + by, count));
  }
  return result;
}

// Multi-token prediction, DeepSeek-V3 (arXiv 2412.19437) section 2.2: from the hidden state of depth k-1 and
// the embedding of the token k further on, the hidden state of depth k.
class PredictionLayerBlock : public Block {
 public:
  PredictionLayerBlock(const ModelSpec& spec, const MoeOptions& moe, int64_t depth, int64_t moe_idx,
                       Parameter* table)
      : tensor_(*moe.axes.tensor),
        depth_(depth),
        eps_(spec.rms_norm_eps),
        table_(table),
        layer_(spec, moe, spec.num_hidden_layers + depth - 1, moe_idx),
        token_norm_(norm_parameter(layer_.prefix() + ".enorm.weight", spec.hidden_size)),
        hidden_norm_(norm_parameter(layer_.prefix() + ".hnorm.weight", spec.hidden_size)),
        projection_(Parameter::whole(layer_.prefix() + ".eh_proj.weight",
                                     {spec.hidden_size, 2 * spec.hidden_size})) {}

  BlockOutput forward(const at::Tensor& hidden_tD, PassContext& pass) override {
    const at::Tensor ids_T = shifted(pass.batch.ids_T, pass.batch.document_offsets, depth_, 0);
    const at::Tensor token_tD =
        rms_norm(vocabulary_parallel_embedding(hidden_tD, ids_T, *table_, tensor_), token_norm_, eps_);
    const at::Tensor joined = at::concat({token_tD, rms_norm(hidden_tD, hidden_norm_, eps_)}, 1);
    return layer_.forward(linear(joined, projection_), pass);
  }
  std::vector<Parameter*> parameters() override {
    std::vector<Parameter*> all = {&token_norm_, &hidden_norm_, &projection_};
    const auto layer = layer_.parameters();
    all.insert(all.end(), layer.begin(), layer.end());
    return all;
  }
  std::vector<Parameter*> borrowed() override { return {table_}; }
  std::vector<Buffer*> buffers() override { return layer_.buffers(); }
  const std::string& name() const override { return layer_.prefix(); }

 private:
  parallel::Communicator& tensor_;
  int64_t depth_;
  double eps_;
  Parameter* table_;
  DecoderLayer layer_;
  Parameter token_norm_, hidden_norm_, projection_;
};

// The loss of one prediction depth, through the shared projection. Hands its input on to the next depth.
class PredictionHeadBlock : public Block {
 public:
  PredictionHeadBlock(const ModelSpec& spec, const Axes& axes, int64_t depth, Parameter* matrix)
      : name_(fmt::format("model.layers.{}.shared_head", spec.num_hidden_layers + depth - 1)),
        tensor_(*axes.tensor),
        depth_(depth),
        eps_(spec.rms_norm_eps),
        norm_(norm_parameter(name_ + ".norm.weight", spec.hidden_size)),
        matrix_(matrix) {}

  BlockOutput forward(const at::Tensor& hidden_tD, PassContext& pass) override {
    if (!pass.takes_loss) return {hidden_tD, {}};
    const at::Tensor labels_T =
        shifted(pass.batch.labels_T, pass.batch.document_offsets, depth_, kernels::kIgnoredLabel);
    return {hidden_tD,
            take_loss(rms_norm(hidden_tD, norm_, eps_), *matrix_, labels_T, depth_, pass, tensor_)};
  }
  std::vector<Parameter*> parameters() override { return {&norm_}; }
  std::vector<Parameter*> borrowed() override { return {matrix_}; }
  const std::string& name() const override { return name_; }
  bool is_head() const override { return true; }

 private:
  std::string name_;
  parallel::Communicator& tensor_;
  int64_t depth_;
  double eps_;
  Parameter norm_;
  Parameter* matrix_;
};

void check_degrees(const ModelSpec& spec, const Axes& axes) {
  if (const auto found = problems_of_cutting(spec, axes.tensor->size()); !found.empty())
    throw core::ConfigError("the model cannot be cut among the ranks of the tensor axis: {}",
                            fmt::join(found, "; "));
  const parallel::Communicator &expert = *axes.expert, &width = *axes.expert_width;
  if (spec.n_routed_experts > 0 && spec.moe_intermediate_size % width.size() != 0)
    throw core::ConfigError(
        "parallel.tensor {} does not divide the width {} of an expert (model.moe_intermediate_size); set "
        "parallel.expert_tensor to false or change one of them",
        width.size(), spec.moe_intermediate_size);
  if (spec.n_routed_experts % expert.size() != 0 || (spec.n_routed_experts == 0 && expert.size() > 1))
    throw core::ConfigError(
        "parallel.expert {} does not divide the {} routed experts of a layer (model.n_routed_experts); every "
        "rank of the expert axis holds equally many",
        axes.expert->size(), spec.n_routed_experts);
}

}  // namespace

Model build_model(const ModelSpec& spec, const ModelOptions& options) {
  if (const auto found = problems(spec); !found.empty())
    throw core::ConfigError("the model cannot be built: {}", fmt::join(found, "; "));
  Model model;
  model.spec = spec;
  model.balance = options.balance;
  model.alone = std::make_unique<parallel::SelfCommunicator>("alone");
  model.axes = {options.axes.tensor ? options.axes.tensor : model.alone.get(),
                options.axes.expert ? options.axes.expert : model.alone.get(),
                options.axes.expert_width ? options.axes.expert_width : model.alone.get()};
  check_degrees(spec, model.axes);
  const MoeOptions moe{options.balance, options.experts, model.axes};
  auto embedding_block = std::make_unique<EmbeddingBlock>(spec, model.axes);
  model.embedding_table = embedding_block->table();
  model.blocks.push_back(std::move(embedding_block));
  for (int64_t i = 0; i < spec.num_hidden_layers; ++i) {
    model.blocks.push_back(std::make_unique<LayerBlock>(spec, moe, i, model.num_moe_layers));
    model.num_moe_layers += spec.is_moe_layer(i);
  }
  auto head = std::make_unique<HeadBlock>(spec, model.axes,
                                          spec.tie_word_embeddings ? model.embedding_table : nullptr);
  model.vocabulary_matrix = head->matrix();
  model.blocks.push_back(std::move(head));
  model.num_decoding_blocks = model.blocks.size();
  model.num_cached_layers = spec.num_hidden_layers;
  for (int64_t depth = 1; depth <= spec.num_nextn_predict_layers; ++depth) {
    model.blocks.push_back(std::make_unique<PredictionLayerBlock>(spec, moe, depth, model.num_moe_layers,
                                                                  model.embedding_table));
    model.blocks.push_back(
        std::make_unique<PredictionHeadBlock>(spec, model.axes, depth, model.vocabulary_matrix));
    model.num_moe_layers += spec.is_moe_layer(spec.num_hidden_layers + depth - 1);
  }
  return model;
}

PassContext make_pass(const Model& model, const MicroBatch& batch) {
  const size_t depths = static_cast<size_t>(model.spec.num_nextn_predict_layers) + 1;
  return PassContext{
      .batch = batch,
      .loss_scale = std::vector<double>(depths, 1.0),
      .loss_sum = std::vector<double>(depths, 0.0),
      .token_loss_T = {},
      .expert_tokens = std::vector<std::vector<int64_t>>(static_cast<size_t>(model.num_moe_layers))};
}

int64_t num_labels(const MicroBatch& batch, int64_t depth) {
  const at::Tensor labels_T = shifted(batch.labels_T, batch.document_offsets, depth, kernels::kIgnoredLabel);
  return (labels_T != kernels::kIgnoredLabel).sum().item<int64_t>();
}

std::vector<Parameter*> all_parameters(Model& model) {
  std::vector<Parameter*> all;
  for (auto& block : model.blocks)
    for (Parameter* parameter : block->parameters()) all.push_back(parameter);
  return all;
}

std::vector<Buffer*> all_buffers(Model& model) {
  std::vector<Buffer*> all;
  for (auto& block : model.blocks)
    for (Buffer* buffer : block->buffers()) all.push_back(buffer);
  return all;
}

}  // namespace athanor::model
