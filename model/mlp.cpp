#include "model/mlp.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include "core/error.h"
#include "model/collectives.h"
#include "model/functions.h"
#include "model/shared_rows.h"

namespace athanor::model {
namespace {

at::Tensor activated(const at::Tensor& gate_up, const PassContext& pass) {
  return remade(pass.remake, swiglu(gate_up), [gate_up = gate_up.detach()] { return swiglu(gate_up); });
}

// Tensor parallelism cuts the width: a rank holds the same rows of gate and up, and those columns of down.
class DenseMlp : public Mlp {
 public:
  DenseMlp(const Axes& axes, const std::string& base, int64_t width, int64_t hidden) : tensor_(*axes.tensor) {
    const auto rows_of = [&](const char* name) {
      return share_of({base + name, 0, {width, hidden}}, 0, axes.tensor_share());
    };
    gate_up_ = Parameter::stacked(base + "gate_up_proj.weight",
                                  {rows_of("gate_proj.weight"), rows_of("up_proj.weight")});
    down_ = Parameter::cut(base + "down_proj.weight", {hidden, width}, 1, axes.tensor_share());
  }

  at::Tensor forward(const at::Tensor& x_tD, PassContext& pass, at::Tensor&) override {
    return apply(x_tD, pass);
  }
  at::Tensor apply(const at::Tensor& x_tD, const PassContext& pass) {
    const at::Tensor gate_up_T = column_parallel_linear(x_tD, gate_up_, nullptr, tensor_);
    return row_parallel_linear(activated(gate_up_T, pass), down_, nullptr, tensor_);
  }
  std::vector<Parameter*> parameters() override { return {&gate_up_, &down_}; }

 private:
  parallel::Communicator& tensor_;
  Parameter gate_up_, down_;
};

// Parameters of the routed experts of this rank: [G, 2F, D] gate over up, and [G, D, F] down, where G is its
// share of the experts and F its slice of their width.
std::pair<Parameter, Parameter> expert_parameters(const ModelSpec& spec, const std::string& base,
                                                  const parallel::Communicator& ranks,
                                                  const parallel::Communicator& slices) {
  const int64_t num_here = spec.n_routed_experts / ranks.size(), first = ranks.rank() * num_here;
  const int64_t all_width = spec.moe_intermediate_size, hidden = spec.hidden_size;
  const int64_t width = all_width / slices.size();
  Parameter gate_up, down;
  gate_up.name = base + "experts.gate_up_proj.weight";
  gate_up.shape = {num_here, 2 * width, hidden};
  down.name = base + "experts.down_proj.weight";
  down.shape = {num_here, hidden, width};
  gate_up.is_expert = down.is_expert = true;
  gate_up.is_cut = down.is_cut = slices.size() > 1;
  const int64_t matrix = width * hidden;
  for (int64_t g = 0; g < num_here; ++g) {
    const std::string expert = base + "experts." + std::to_string(first + g) + ".";
    const auto part = [&](const char* name, int64_t begin, std::vector<int64_t> shape, size_t dim) {
      HfPart box = share_of({expert + name, 0, std::move(shape)}, dim, {slices.rank(), slices.size()});
      box.begin = begin;
      return box;
    };
    gate_up.parts.push_back(part("gate_proj.weight", 2 * g * matrix, {all_width, hidden}, 0));
    gate_up.parts.push_back(part("up_proj.weight", (2 * g + 1) * matrix, {all_width, hidden}, 0));
    down.parts.push_back(part("down_proj.weight", g * matrix, {hidden, all_width}, 1));
  }
  return {std::move(gate_up), std::move(down)};
}

kernels::RouterOptions router_options(const ModelSpec& spec) {
  const bool sigmoid = spec.architecture == Architecture::kDeepseekV3;
  return {.score = sigmoid ? kernels::RouterScore::kSigmoid : kernels::RouterScore::kSoftmax,
          .num_experts_per_tok = spec.num_experts_per_tok,
          .n_group = spec.n_group,
          .topk_group = spec.topk_group,
          .norm_topk_prob = spec.norm_topk_prob,
          .routed_scaling_factor = spec.routed_scaling_factor};
}

std::vector<int64_t> count_choices(const at::Tensor& expert_ids_TA, int64_t num_experts) {
  std::vector<int64_t> counts(static_cast<size_t>(num_experts));
  const at::Tensor on_host = expert_ids_TA.cpu();
  const int32_t* ids = on_host.const_data_ptr<int32_t>();
  for (int64_t i = 0; i < expert_ids_TA.numel(); ++i) ++counts[static_cast<size_t>(ids[i])];
  return counts;
}

// sum over runs of `run_length` tokens of sum_e f_e P_e, where f_e = E / (A n) * (choices of e) and P_e is
// the mean of the scores, which sum to 1 per token. Gradients flow through P only. The runs are the sequences
// (DeepSeek-V3), or the whole micro batch (Switch Transformer).
at::Tensor balance_loss_of_runs(const Routing& routing, int64_t run_length, bool normalise) {
  const int64_t num_tokens = routing.scores_TE.size(0), num_experts = routing.scores_TE.size(1);
  const int64_t num_runs = num_tokens / run_length, num_choices = routing.expert_ids_TA.size(1);
  ATHANOR_CHECK(num_runs * run_length == num_tokens, "{} tokens are not whole runs of {}", num_tokens,
                run_length);
  // Counts are small whole numbers: exact in fp32, in whatever order a device adds them.
  const double unit = static_cast<double>(num_experts) / static_cast<double>(num_choices * run_length);
  const at::Tensor ids_SC = routing.expert_ids_TA.view({num_runs, run_length * num_choices}).to(at::kLong);
  const auto plain = routing.scores_TE.options().requires_grad(false);
  const at::Tensor frequency_SE = at::zeros({num_runs, num_experts}, plain)
                                      .scatter_add_(1, ids_SC, at::ones(ids_SC.sizes(), plain))
                                      .mul_(unit);
  at::Tensor probability_TE = routing.scores_TE;
  if (normalise) probability_TE = probability_TE / probability_TE.sum(1, /*keepdim=*/true);
  const at::Tensor mean_SE = probability_TE.view({num_runs, run_length, num_experts}).mean(1);
  return (frequency_SE * mean_SE).sum();
}

// The choices and scores of the whole micro batch.
Routing gather_routing(const Routing& own, parallel::Communicator& tensor) {
  return {.expert_ids_TA = gather_replicated(own.expert_ids_TA, tensor),
          .weights_TA = {},
          .scores_TE = gather_replicated(own.scores_TE, tensor)};
}

class MoeMlp : public Mlp {
 public:
  MoeMlp(const ModelSpec& spec, const MoeOptions& options, const std::string& base, int64_t moe_idx)
      : router_options_(router_options(spec)),
        options_(options),
        moe_idx_(moe_idx),
        num_experts_(spec.n_routed_experts),
        router_(Parameter::whole(base + "gate.weight", {spec.n_routed_experts, spec.hidden_size})) {
    router_.keeps_precision = true;
    std::tie(gate_up_, down_) =
        expert_parameters(spec, base, *options.axes.expert, *options.axes.expert_width);
    if (spec.n_shared_experts)
      shared_.emplace(options.axes, base + "shared_experts.",
                      spec.n_shared_experts * spec.moe_intermediate_size, spec.hidden_size);
    if (spec.architecture == Architecture::kDeepseekV3)
      bias_ = {base + "gate.e_score_correction_bias", at::zeros({spec.n_routed_experts}, at::kFloat)};
  }

  at::Tensor forward(const at::Tensor& x_TD, PassContext& pass, at::Tensor& balance_loss) override {
    const Routing routing = route(router_logits(x_TD, router_), bias_.value, router_options_);
    if (pass.keeps_statistics)
      pass.expert_tokens.at(moe_idx_) = count_choices(routing.expert_ids_TA, num_experts_);
    if (pass.is_training) balance_loss = weighted_balance_loss(routing, pass);
    const at::Tensor routed = pass_experts(x_TD, routing, pass);
    return shared_ ? routed + shared_->apply(x_TD, pass) : routed;
  }

  std::vector<Parameter*> parameters() override {
    std::vector<Parameter*> all = {&router_};
    if (shared_)
      for (Parameter* parameter : shared_->parameters()) all.push_back(parameter);
    all.insert(all.end(), {&gate_up_, &down_});
    return all;
  }
  std::vector<Buffer*> buffers() override {
    if (bias_.name.empty()) return {};
    return {&bias_};
  }

 private:
  at::Tensor pass_experts(const at::Tensor& x_TD, const Routing& routing, PassContext& pass) {
    const kernels::Permutation permutation =
        kernels::permutation_by_expert(kept_choices(routing, pass), num_experts_);
    const auto rows = std::make_shared<const Dispatch>(permutation.offsets, x_TD.device(),
                                                       *options_.axes.expert, options_.experts.payload);
    const auto shared =
        std::make_shared<const SharedRows>(rows->groups(), x_TD.device(), *options_.axes.expert_width);
    const RowGroups groups = options_.experts.joins_sources ? shared->groups().joined() : shared->groups();
    const at::Tensor x_RD = send_to_experts(permute(x_TD, permutation), rows);
    const at::Tensor x_AD = gather_rows(x_RD, shared);
    const at::Tensor h_AF = activated(grouped_linear(x_AD, gate_up_, groups), pass);
    const at::Tensor y_RD = sum_rows(grouped_linear(h_AF, down_, groups), shared);
    return combine(send_home(y_RD, rows), routing.weights_TA, permutation);
  }

  // The experts of every token, -1 where an expert has no place left for it.
  at::Tensor kept_choices(const Routing& routing, PassContext& pass) {
    if (!pass.is_training || options_.experts.capacity.factor == 0) return routing.expert_ids_TA;
    const CapacityResult kept = limit_to_capacity(routing.expert_ids_TA, routing.weights_TA.detach(),
                                                  num_experts_, options_.experts.capacity);
    if (pass.keeps_statistics) pass.num_dropped += kept.num_dropped;
    return kept.expert_ids_TA;
  }

  // Scaled so that the sum over all micro batches of a step is the weighted mean over its sequences, or micro
  // batches.
  at::Tensor weighted_balance_loss(const Routing& own_routing, PassContext& pass) {
    if (options_.balance.sequence_loss_weight <= 0 && options_.balance.batch_loss_weight <= 0) return {};
    const bool sigmoid = router_options_.score == kernels::RouterScore::kSigmoid;
    const Routing routing = gather_routing(own_routing, *options_.axes.tensor);
    const int64_t num_tokens = routing.scores_TE.size(0);
    at::Tensor loss;
    if (options_.balance.sequence_loss_weight > 0) {
      const int64_t run = pass.batch.sequence_length;
      const double weight = options_.balance.sequence_loss_weight * pass.micro_batch_share /
                            static_cast<double>(num_tokens / run);
      loss = balance_loss_of_runs(routing, run, sigmoid) * weight;
    }
    if (options_.balance.batch_loss_weight > 0) {
      const at::Tensor batch_loss = balance_loss_of_runs(routing, num_tokens, sigmoid) *
                                    (options_.balance.batch_loss_weight * pass.micro_batch_share);
      loss = loss.defined() ? loss + batch_loss : batch_loss;
    }
    if (loss.defined() && pass.keeps_statistics) pass.balance_loss += loss.item<double>();
    return loss;
  }

  kernels::RouterOptions router_options_;
  MoeOptions options_;
  int64_t moe_idx_, num_experts_;
  Parameter router_, gate_up_, down_;
  std::optional<DenseMlp> shared_;
  Buffer bias_;
};

}  // namespace

std::unique_ptr<Mlp> make_dense_mlp(const ModelSpec& spec, const Axes& axes, const std::string& prefix,
                                    int64_t width) {
  return std::make_unique<DenseMlp>(axes, prefix + ".mlp.", width, spec.hidden_size);
}

std::unique_ptr<Mlp> make_moe_mlp(const ModelSpec& spec, const MoeOptions& options, const std::string& prefix,
                                  int64_t moe_idx) {
  return std::make_unique<MoeMlp>(spec, options, prefix + ".mlp.", moe_idx);
}

}  // namespace athanor::model
