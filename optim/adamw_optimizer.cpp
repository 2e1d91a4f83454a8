#include "optim/adamw_optimizer.h"

#include <cmath>
#include <set>

#include <ATen/ops/zeros.h>

#include "core/error.h"

namespace athanor::optim {
namespace {

void check_hyper(const AdamWHyper& hyper) {
  const auto is_beta = [](double beta) { return beta >= 0 && beta < 1; };
  if (!is_beta(hyper.beta1) || !is_beta(hyper.beta2))
    throw core::ConfigError("optimizer.betas are [{}, {}]: expected 0 to below 1", hyper.beta1, hyper.beta2);
  if (!(hyper.eps >= 0 && std::isfinite(hyper.eps)))
    throw core::ConfigError("optimizer.eps is {}: expected 0 or more", hyper.eps);
  if (!(hyper.weight_decay >= 0 && std::isfinite(hyper.weight_decay)))
    throw core::ConfigError("optimizer.weight_decay is {}: expected 0 or more", hyper.weight_decay);
  if (hyper.moment_dtype != at::kFloat && hyper.moment_dtype != at::kBFloat16)
    throw core::ConfigError("optimizer moments of {}: expected fp32 or bf16",
                            c10::toString(hyper.moment_dtype));
}

void check_slice(const OptimizerSlice& slice) {
  const at::Tensor& master = slice.master;
  ATHANOR_CHECK(
      master.defined() && master.dim() == 1 && master.is_contiguous() && master.scalar_type() == at::kFloat,
      "the master weights of slice {} must be flat fp32", slice.name);
  int64_t end = 0;
  for (const kernels::ElementRange& range : slice.decay) {
    ATHANOR_CHECK(range.begin >= end && range.end >= range.begin && range.end <= master.numel(),
                  "decay range [{}, {}) of slice {} ({} elements) follows one that ends at {}", range.begin,
                  range.end, slice.name, master.numel(), end);
    end = range.end;
  }
}

}  // namespace

AdamWOptimizer::AdamWOptimizer(const AdamWHyper& hyper, std::vector<OptimizerSlice> slices)
    : hyper_(hyper), slices_(std::move(slices)) {
  check_hyper(hyper_);
  std::set<std::string> names;
  for (const OptimizerSlice& slice : slices_) {
    check_slice(slice);
    ATHANOR_CHECK(names.insert(slice.name).second, "two optimizer slices are called {}", slice.name);
    const auto options = slice.master.options().dtype(hyper_.moment_dtype);
    moments_.push_back(
        {at::zeros({slice.master.numel()}, options), at::zeros({slice.master.numel()}, options)});
  }
}

void AdamWOptimizer::step(const std::vector<StepInput>& inputs, double learning_rate, double gradient_scale) {
  ATHANOR_CHECK(inputs.size() == slices_.size(), "{} gradients for {} optimizer slices", inputs.size(),
                slices_.size());
  ATHANOR_CHECK(std::isfinite(gradient_scale), "a gradient scale of {}", gradient_scale);
  ++num_steps_;
  const kernels::AdamWOptions options{learning_rate,       hyper_.beta1, hyper_.beta2,  hyper_.eps,
                                      hyper_.weight_decay, num_steps_,   gradient_scale};
  for (size_t i = 0; i < slices_.size(); ++i)
    kernels::adamw(slices_[i].master, moments_[i].exp_avg, moments_[i].exp_avg_sq, inputs[i].gradient,
                   inputs[i].compute, slices_[i].decay, options);
}

std::vector<StateTensor> AdamWOptimizer::state() const {
  std::vector<StateTensor> state;
  for (size_t i = 0; i < slices_.size(); ++i) {
    state.push_back({slices_[i].name, "master", slices_[i].master});
    state.push_back({slices_[i].name, "exp_avg", moments_[i].exp_avg});
    state.push_back({slices_[i].name, "exp_avg_sq", moments_[i].exp_avg_sq});
  }
  return state;
}

void AdamWOptimizer::set_num_steps(int64_t num_steps) {
  ATHANOR_CHECK(num_steps >= 0, "{} optimizer steps", num_steps);
  num_steps_ = num_steps;
}

}  // namespace athanor::optim
