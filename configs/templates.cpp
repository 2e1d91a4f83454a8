#include "configs/templates.h"

#include <algorithm>
#include <map>

#include <fmt/core.h>
#include <fmt/format.h>

#include "configs/diagnostic.h"
#include "configs/reference.h"
#include "core/error.h"

namespace athanor::configs {

namespace {

constexpr std::string_view kQuickstart = R"(run:
  name: quickstart
  dir: runs/quickstart
  seed: 1234
  device: cpu

task: pretrain

model:
  architecture: deepseek_v3
  hidden_size: 256
  intermediate_size: 704
  num_hidden_layers: 4
  num_attention_heads: 4
  n_routed_experts: 16
  num_experts_per_tok: 2
  n_shared_experts: 1
  moe_intermediate_size: 128
  first_k_dense_replace: 1
  kv_lora_rank: 64
  qk_nope_head_dim: 32
  qk_rope_head_dim: 32
  v_head_dim: 64

data:
  sequence_length: 512
  train:
    - path: shards/train-*.h5
      weight: 1.0
  validation:
    - path: shards/validation-*.h5

training:
  global_batch_size: 16
  micro_batch_size: 4
  max_steps: 200
  precision: bf16
  recompute: none
  validate_every: 50
  early_stop_patience: 5

optimizer:
  name: adamw
  learning_rate: 1.0e-3
  betas: [0.9, 0.95]
  weight_decay: 0.1
  grad_clip: 1.0

schedule:
  warmup_ratio: 0.1
  decay: cosine
  min_ratio: 0.1

parallel:
  zero: 3
  data: auto

checkpoint:
  dir: runs/quickstart/checkpoints
  every: 60s
  keep: 3

metrics:
  every: 1
  tensorboard: true
)";

constexpr std::string_view kMoeW1 = R"(run:
  name: pretrain-moe-w1
  seed: 1234
  device: cpu

task: pretrain

model:
  architecture: deepseek_v3
  vocab_size: 8192
  hidden_size: 512
  intermediate_size: 1408
  num_hidden_layers: 8
  num_attention_heads: 8
  n_routed_experts: 16
  num_experts_per_tok: 4
  n_shared_experts: 1
  moe_intermediate_size: 256
  n_group: 1
  topk_group: 1
  first_k_dense_replace: 1
  norm_topk_prob: true
  q_lora_rank: null
  kv_lora_rank: 128
  qk_nope_head_dim: 64
  qk_rope_head_dim: 32
  v_head_dim: 64
  tie_word_embeddings: false
  router_bias_update_rate: 1.0e-3

data:
  sequence_length: 1024
  train:
    - path: shards/train-*.h5
      weight: 1.0
  validation:
    - path: shards/validation-*.h5

training:
  global_batch_size: 8
  micro_batch_size: 4
  max_steps: 2000
  precision: bf16
  recompute: none
  validate_every: 200

optimizer:
  name: adamw
  learning_rate: 6.0e-4
  betas: [0.9, 0.95]
  weight_decay: 0.1
  grad_clip: 1.0

schedule:
  warmup_steps: 100
  decay: wsd
  min_ratio: 0.1
  decay_ratio: 0.2

parallel:
  zero: 1
  data: auto

checkpoint:
  every: 5m
  keep: 3

metrics:
  every: 10
)";

constexpr std::string_view kDenseW2 = R"(run:
  name: pretrain-dense-w2
  seed: 1234
  device: cpu

task: pretrain

model:
  architecture: llama
  vocab_size: 8192
  hidden_size: 512
  intermediate_size: 1408
  num_hidden_layers: 8
  num_attention_heads: 8
  num_key_value_heads: 8
  max_position_embeddings: 4096
  rope_theta: 10000.0
  tie_word_embeddings: false

data:
  sequence_length: 1024
  train:
    - path: shards/train-*.h5
      weight: 1.0
  validation:
    - path: shards/validation-*.h5

training:
  global_batch_size: 8
  micro_batch_size: 4
  max_steps: 2000
  precision: bf16
  recompute: none
  validate_every: 200

optimizer:
  name: adamw
  learning_rate: 6.0e-4
  betas: [0.9, 0.95]
  weight_decay: 0.1
  grad_clip: 1.0

schedule:
  warmup_ratio: 0.05
  decay: cosine
  min_ratio: 0.1

parallel:
  zero: 1
  data: auto

checkpoint:
  every: 5m
  keep: 3

metrics:
  every: 10
)";

constexpr std::string_view kMoe16b = R"(run:
  name: pretrain-moe-16b
  seed: 1234
  device: cuda

task: pretrain

model:
  architecture: deepseek_v3
  vocab_size: 102400
  hidden_size: 2048
  intermediate_size: 10944
  num_hidden_layers: 27
  num_attention_heads: 16
  n_routed_experts: 64
  num_experts_per_tok: 6
  n_shared_experts: 2
  moe_intermediate_size: 1408
  n_group: 8
  topk_group: 4
  first_k_dense_replace: 1
  norm_topk_prob: true
  routed_scaling_factor: 2.5
  q_lora_rank: null
  kv_lora_rank: 512
  qk_nope_head_dim: 128
  qk_rope_head_dim: 64
  v_head_dim: 128
  max_position_embeddings: 4096
  tie_word_embeddings: false
  router_bias_update_rate: 1.0e-3
  sequence_aux_loss_weight: 1.0e-4

data:
  sequence_length: 4096
  train:
    - path: shards/train-*.h5
      weight: 1.0
  validation:
    - path: shards/validation-*.h5

training:
  global_batch_size: 1024
  micro_batch_size: 2
  max_tokens: 500000000000
  precision: fp8
  recompute: selective
  validate_every: 1000
  validation_batches: 4

optimizer:
  name: adamw
  learning_rate: 4.2e-4
  betas: [0.9, 0.95]
  weight_decay: 0.1
  grad_clip: 1.0
  moments: bf16

schedule:
  warmup_steps: 2000
  decay: wsd
  min_ratio: 0.1
  decay_ratio: 0.2

parallel:
  zero: 3
  data: auto
  expert: 8

checkpoint:
  every: 5m
  keep: 3

metrics:
  every: 1
  tensorboard: true
)";

constexpr std::string_view kTinyText = R"(run:
  name: tiny-text
  seed: 1
  device: cpu

task: pretrain

model:
  architecture: llama
  hidden_size: 128
  intermediate_size: 352
  num_hidden_layers: 4
  num_attention_heads: 4
  num_key_value_heads: 2
  max_position_embeddings: 512
  tie_word_embeddings: true

data:
  sequence_length: 256
  train:
    - path: shards/train-*.h5
  validation:
    - path: shards/validation-*.h5

training:
  global_batch_size: 16
  micro_batch_size: 16
  max_epochs: 10
  precision: fp32
  validate_every: 100
  early_stop_patience: 3

optimizer:
  name: adamw
  learning_rate: 2.0e-3
  betas: [0.9, 0.98]
  weight_decay: 0.1

schedule:
  warmup_ratio: 0.05
  decay: cosine
  min_ratio: 0.05

checkpoint:
  every: 200 steps
  keep: 2

metrics:
  every: 10
)";

constexpr size_t kCommentColumn = 34;
constexpr size_t kMaxLineBytes = 110;

std::string comment_of(const Option& option) {
  std::string comment = option.meaning;
  if (!option.unit.empty()) comment += fmt::format(" [{}]", option.unit);
  if (!option.choices.empty()) comment += fmt::format(": {}", fmt::join(option.choices, " | "));
  return comment;
}

// `    - path: x` gives `path`, at the depth of its first letter.
struct Line {
  size_t depth = 0;
  std::string name;
};

Line parse_line(std::string_view line) {
  const size_t begin = line.find_first_not_of(" -");
  const size_t colon = line.find(':', begin);
  return {begin / 2, std::string(line.substr(begin, colon - begin))};
}

// Walks the template line by line, keeping the path of the sections around it, and puts each option's meaning
// beside.
class Commenter {
 public:
  Commenter() {
    for (const OptionFacts& facts : all_options()) comments_[facts.path] = comment_of(facts.option);
  }

  std::string annotate(std::string_view line) {
    if (line.empty()) return "\n";
    const Line parsed = parse_line(line);
    path_.resize(parsed.depth);
    path_.push_back(parsed.name);
    const std::string& comment = comments_.at(dotted_path());
    const bool fits_beside = std::max(line.size(), kCommentColumn) + comment.size() < kMaxLineBytes;
    if (fits_beside) return fmt::format("{:<{}} # {}\n", line, kCommentColumn, comment);
    return fmt::format("{:{}}# {}\n{}\n", "", 2 * parsed.depth, comment, line);
  }

 private:
  // An element of a list stands two levels below the list's name: one of them is the dash.
  std::string dotted_path() const {
    std::string path;
    for (const std::string& name : path_) path += name.empty() ? "[]" : (path.empty() ? "" : ".") + name;
    return path;
  }

  std::map<std::string, std::string> comments_;
  std::vector<std::string> path_;
};

}  // namespace

const std::vector<ConfigTemplate>& config_templates() {
  static const std::vector<ConfigTemplate> kTemplates = {
      {"quickstart", "a small DeepSeek-V3-style MoE on the sample text, minutes on two cores", kQuickstart},
      {"pretrain-moe-w1", "the MoE workload of the benchmarks: 64M parameters, 31M active", kMoeW1},
      {"pretrain-dense-w2", "the dense workload of the benchmarks: a Llama of 34M parameters", kDenseW2},
      {"pretrain-moe-16b",
       "a 16B MoE (2.7B active) for 8 to 64 GPUs of 80 GB, every node of 8 with all experts", kMoe16b, 8},
      {"tiny-text", "a Llama of under 2M parameters for a book-sized text such as tinyshakespeare",
       kTinyText},
  };
  return kTemplates;
}

std::string render_template(const std::string& name) {
  std::vector<std::string> names;
  for (const ConfigTemplate& candidate : config_templates()) {
    names.emplace_back(candidate.name);
    if (candidate.name != name) continue;
    std::string text = fmt::format(
        "# {}: {}\n# `athanor explain KEY` tells more of an option, `athanor check FILE` "
        "checks the file.\n\n",
        candidate.name, candidate.meaning);
    Commenter commenter;
    for (size_t begin = 0; begin < candidate.values.size();) {
      const size_t end = candidate.values.find('\n', begin);
      text += commenter.annotate(candidate.values.substr(begin, end - begin));
      begin = end + 1;
    }
    return text;
  }
  const std::string nearest = nearest_name(name, names);
  const std::string hint = nearest.empty() ? fmt::format("available: {}", fmt::join(names, ", "))
                                           : fmt::format("did you mean {}?", in_backquotes(nearest));
  throw core::UsageError("there is no template {}; {}", in_backquotes(name), hint);
}

}  // namespace athanor::configs
