// Every kernel of a training step on the shapes of workload W1, as often as the step calls it. What the step
// takes beyond the sum is not in the kernels: memory, autograd, reading data.
#include <cmath>
#include <cstdio>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>

#include "bench/kernels/tables.h"
#include "bench/kernels/timing.h"
#include "core/parallel_for.h"
#include "kernels/ops.h"

namespace athanor::bench {
namespace {

constexpr double kBudgetSeconds = 0.05;
constexpr int64_t kSequences = 4, kLength = 1024, kTokens = kSequences * kLength;
constexpr int64_t kLayers = 8, kMoeLayers = 7, kHidden = 512, kVocabulary = 8192;
constexpr int64_t kExperts = 16, kChosen = 4, kExpertWidth = 256, kDenseWidth = 1408;
constexpr int64_t kHeads = 8, kQkSize = 96, kRotarySize = 32, kVSize = 64, kLatent = 128;
constexpr int64_t kParameters = 64'400'000 / kernels::kFlatAlignment * kernels::kFlatAlignment;

at::Tensor normal(at::IntArrayRef sizes, at::ScalarType dtype = at::kBFloat16) {
  return at::randn(sizes, at::kFloat).to(dtype);
}

class StepTable {
 public:
  explicit StepTable(double peak) : peak_(peak) {}

  /// `flops` of one call; 0: no product, no figure.
  template <typename Body>
  void add(const std::string& operation, int64_t calls_per_step, double flops, Body body) {
    const double seconds = best_seconds(body, kBudgetSeconds);
    Entry& entry = entries_[operation];
    entry.seconds += seconds * static_cast<double>(calls_per_step);
    entry.flops += flops * static_cast<double>(calls_per_step);
  }

  void print() const {
    double total = 0;
    std::multimap<double, std::string, std::greater<>> by_time;
    for (const auto& [operation, entry] : entries_) {
      total += entry.seconds;
      by_time.emplace(entry.seconds, operation);
    }
    for (const auto& [seconds, operation] : by_time) {
      std::printf("  %-28s %8.1f ms %5.1f %%", operation.c_str(), seconds * 1e3, seconds / total * 100);
      if (const double flops = entries_.at(operation).flops; flops > 0)
        std::printf("  %7.1f GFLOP/s, %3.0f %% of peak", flops / seconds * 1e-9,
                    flops / seconds / peak_ * 100);
      std::printf("\n");
    }
    std::printf("  %-28s %8.1f ms, at most %.0f tokens/s\n", "all kernels of a step", total * 1e3,
                kTokens / total);
  }

 private:
  struct Entry {
    double seconds = 0, flops = 0;
  };
  double peak_;
  std::map<std::string, Entry> entries_;
};

struct Linear {
  int64_t calls, num_outputs, num_inputs;
};

void add_linear(StepTable& table, const Linear& layer) {
  const at::Tensor x = normal({kTokens, layer.num_inputs}), w = normal({layer.num_outputs, layer.num_inputs}),
                   dy = normal({kTokens, layer.num_outputs});
  const at::Tensor y = at::empty_like(dy), dx = at::empty_like(x), dw = at::empty(w.sizes(), at::kFloat);
  const double flops = 2.0 * static_cast<double>(kTokens * w.numel());
  table.add("linear, forward (nt)", layer.calls, flops, [&] { kernels::matmul_nt(y, x, w); });
  table.add("linear, input (nn)", layer.calls, flops, [&] { kernels::matmul_nn(dx, dy, w); });
  table.add("linear, weight (tn)", layer.calls, flops, [&] { kernels::matmul_tn(dw, dy, x, false); });
}

void add_linears(StepTable& table) {
  for (const Linear& layer : {Linear{kLayers, kHeads * kQkSize, kHidden},
                              {kLayers, kLatent + kRotarySize, kHidden},
                              {kLayers, kHeads * (kQkSize - kRotarySize + kVSize), kLatent},
                              {kLayers, kHidden, kHeads * kVSize},
                              {kLayers - kMoeLayers, 2 * kDenseWidth, kHidden},
                              {kLayers - kMoeLayers, kHidden, kDenseWidth},
                              {kMoeLayers, 2 * kExpertWidth, kHidden},
                              {kMoeLayers, kHidden, kExpertWidth}})
    add_linear(table, layer);
  const at::Tensor x = normal({kTokens, kHidden}), w = normal({kExperts, kHidden});
  const at::Tensor logits = normal({kTokens, kExperts}, at::kFloat);
  const at::Tensor x32 = x.to(at::kFloat), w32 = w.to(at::kFloat), dw = at::empty_like(w32);
  table.add("router products", kMoeLayers, 0, [&] {
    kernels::matmul_nt(logits, x, w);
    kernels::matmul_nn(x32, logits, w32);
    kernels::matmul_tn(dw, logits, x32, false);
  });
}

void add_expert_linear(StepTable& table, const kernels::Permutation& permutation, int64_t num_outputs,
                       int64_t num_inputs) {
  const int64_t rows = kTokens * kChosen;
  const at::Tensor x = normal({rows, num_inputs}), w = normal({kExperts, num_outputs, num_inputs}),
                   dy = normal({rows, num_outputs});
  const at::Tensor y = at::empty_like(dy), dx = at::empty_like(x), dw = at::empty(w.sizes(), at::kFloat);
  const std::vector<int64_t>& offsets = permutation.offsets;
  const double flops = 2.0 * static_cast<double>(rows * num_outputs * num_inputs);
  table.add("experts, forward (nt)", kMoeLayers, flops,
            [&] { kernels::grouped_matmul_nt(y, x, w, offsets); });
  table.add("experts, input (nn)", kMoeLayers, flops,
            [&] { kernels::grouped_matmul_nn(dx, dy, w, offsets); });
  table.add("experts, weight (tn)", kMoeLayers, flops,
            [&] { kernels::grouped_matmul_tn(dw, dy, x, offsets); });
}

void add_experts(StepTable& table) {
  const at::Tensor logits = normal({kTokens, kExperts}, at::kFloat), bias = at::zeros({kExperts}, at::kFloat);
  const at::Tensor ids = at::empty({kTokens, kChosen}, at::kInt),
                   weights = at::empty({kTokens, kChosen}, at::kFloat);
  const at::Tensor scores = at::empty_like(logits), dweights = at::empty_like(weights);
  const kernels::RouterOptions options{.num_experts_per_tok = kChosen};
  kernels::Permutation permutation;
  table.add("routing", kMoeLayers, 0, [&] {
    kernels::route(ids, weights, scores, logits, bias, options);
    kernels::route_backward(logits, weights, {}, ids, scores, options);
    permutation = kernels::permutation_by_expert(ids, kExperts);
  });
  add_expert_linear(table, permutation, 2 * kExpertWidth, kHidden);
  add_expert_linear(table, permutation, kHidden, kExpertWidth);
  const at::Tensor x = normal({kTokens, kHidden}), y = at::empty_like(x);
  const at::Tensor rows = normal({kTokens * kChosen, kHidden}), drows = at::empty_like(rows);
  table.add("permute, combine", kMoeLayers, 0, [&] {
    kernels::permute(drows, x, permutation);
    kernels::combine(y, rows, weights, permutation);
    kernels::combine_backward(drows, dweights, x, rows, weights, permutation);
    kernels::permute_backward(y, rows, permutation);
  });
}

void add_attention(StepTable& table) {
  const at::Tensor q = normal({kTokens, kHeads, kQkSize}), k = normal({kTokens, kHeads, kQkSize});
  const at::Tensor v = normal({kTokens, kHeads, kVSize}), d_o = normal({kTokens, kHeads, kVSize});
  const at::Tensor o = at::empty_like(v), lse = at::empty({kTokens, kHeads}, at::kFloat);
  const at::Tensor dq = at::empty_like(q), dk = at::empty_like(k), dv = at::empty_like(v);
  std::vector<int64_t> offsets;
  for (int64_t i = 0; i <= kSequences; ++i) offsets.push_back(i * kLength);
  const kernels::AttentionOptions options{1.0 / std::sqrt(static_cast<double>(kQkSize)), 0};
  const double pairs = static_cast<double>(kSequences * kHeads * kLength * (kLength + 1)) / 2;
  table.add("attention, forward", kLayers, pairs * 2 * (kQkSize + kVSize),
            [&] { kernels::attention(o, lse, q, k, v, offsets, options); });
  table.add("attention, backward", kLayers, pairs * 2 * (3 * kQkSize + 2 * kVSize),
            [&] { kernels::attention_backward(dq, dk, dv, d_o, o, lse, q, k, v, offsets, options); });
  const at::Tensor angles = at::zeros({kTokens, kRotarySize / 2}, at::kFloat);
  table.add("rotary", 2 * kLayers, 0, [&] {
    kernels::rotary(q, angles, angles, {.column = kQkSize - kRotarySize, .interleaved = true});
  });
}

void add_norm(StepTable& table, int64_t calls, int64_t num_columns) {
  const at::Tensor x = normal({kTokens, num_columns}), dy = normal({kTokens, num_columns}),
                   w = normal({num_columns});
  const at::Tensor y = at::empty_like(x), dw = at::empty({num_columns}, at::kFloat),
                   rstd = at::empty({kTokens}, at::kFloat);
  table.add("rms_norm, both ways", calls, 0, [&] {
    kernels::rms_norm(y, rstd, x, w, 1e-6);
    kernels::rms_norm_backward(y, dw, dy, x, w, rstd, false);
  });
}

void add_swiglu(StepTable& table, int64_t calls, int64_t rows, int64_t width) {
  const at::Tensor gate_up = normal({rows, 2 * width}), h = normal({rows, width}),
                   d = at::empty_like(gate_up);
  table.add("swiglu, both ways", calls, 0, [&] {
    kernels::swiglu(h, gate_up);
    kernels::swiglu_backward(d, h, gate_up);
  });
}

void add_ends(StepTable& table) {
  const at::Tensor x = normal({kTokens, kHidden}), w = normal({kVocabulary, kHidden}) * 0.05;
  const at::Tensor labels = at::randint(kVocabulary, {kTokens}, at::kLong);
  const at::Tensor weight = normal({kTokens}, at::kFloat), loss = at::empty({kTokens}, at::kFloat);
  const at::Tensor dx = at::empty_like(x), dw = at::zeros({kVocabulary, kHidden}, at::kFloat);
  table.add("loss with gradient", 1, 6.0 * kTokens * kHidden * kVocabulary,
            [&] { kernels::linear_cross_entropy_with_gradient(loss, dx, dw, x, w, labels, weight, false); });
  table.add("embedding, both ways", 1, 0, [&] {
    kernels::embedding(dx, labels, w);
    kernels::embedding_backward(dw, x, labels);
  });
}

void add_optimizer(StepTable& table) {
  const auto zeros = [](at::ScalarType dtype) { return at::zeros({kParameters}, dtype); };
  const at::Tensor master = zeros(at::kFloat), m = zeros(at::kFloat), v = zeros(at::kFloat),
                   gradient = zeros(at::kFloat), compute = zeros(at::kBFloat16);
  const at::Tensor sums = at::empty({kParameters / kernels::kFlatAlignment}, at::kDouble);
  table.add("adamw, gradient norm", 1, 0, [&] {
    kernels::chunk_square_sums(sums, gradient);
    kernels::adamw(master, m, v, gradient, compute, {{0, kParameters}}, {1e-4, 0.9, 0.95, 1e-8, 0.1, 3, 1.0});
  });
}

}  // namespace

void print_step_table() {
  const double peak = kernels::measure_peak_flops(at::kBFloat16);
  std::printf(
      "\nstep: kernels of one step of W1 (%ld tokens, bf16), %d threads, products by %s, attention by "
      "%s, peak %.1f GFLOP/s\n",
      kTokens, core::num_threads(), kernels::product_kernel_name(at::kBFloat16).c_str(),
      kernels::attention_kernel_name(at::kBFloat16).c_str(), peak * 1e-9);
  StepTable table(peak);
  add_linears(table);
  add_experts(table);
  add_attention(table);
  add_norm(table, 2 * kLayers + 1, kHidden);
  add_norm(table, kLayers, kLatent);
  add_swiglu(table, kLayers - kMoeLayers, kTokens, kDenseWidth);
  add_swiglu(table, kMoeLayers, kTokens, kExpertWidth);
  add_swiglu(table, kMoeLayers, kTokens * kChosen, kExpertWidth);
  add_ends(table);
  add_optimizer(table);
  table.print();
}

}  // namespace athanor::bench
