// The resolved configuration reads back to the same value.
#include <gtest/gtest.h>

#include "configs/field.h"
#include "configs/flat_options.h"
#include "configs/templates.h"
#include "tests/configs/config_text.h"

namespace athanor::configs {
namespace {

void expect_round_trip(const RunConfig& config) {
  const std::string yaml = to_yaml(config);
  RunConfig again;
  EXPECT_EQ(to_string(check_text("again.yaml", yaml, {}, {}, again)), "") << yaml;
  EXPECT_EQ(again, config) << yaml;
  EXPECT_EQ(to_yaml(again), yaml);
}

TEST(ToYaml, TemplatesReadBack) {
  for (const ConfigTemplate& entry : config_templates()) {
    expect_round_trip(read_valid(render_template(std::string(entry.name))));
  }
}

TEST(ToYaml, AwkwardValuesReadBack) {
  RunConfig config = read_valid(kSmallestConfig);
  config.run.name = "no";
  config.run.dir = "runs/\xe4\xb8\xad\xe6\x96\x87 # \"x\" \\ 'y' *";
  config.run.seed = std::numeric_limits<int64_t>::max();
  config.optimizer.learning_rate = 1.0 / 3.0;
  config.optimizer.eps = 5e-324;
  config.optimizer.grad_clip = 1e300;
  config.optimizer.no_decay = {"*.bias", "", "a, b", "null"};
  config.data.train.push_back({"b-*.h5", 0.1});
  config.checkpoint.every = "100 steps";
  expect_round_trip(config);
}

TEST(ToYaml, WithFromLeavesOutWhatTheDirectoryDecides) {
  RunConfig config = read_valid(kSmallestConfig, {"model.from=somewhere", "model.mtp_loss_weight=0.1"});
  EXPECT_EQ(to_yaml(config).find("hidden_size"), std::string::npos);
  expect_round_trip(config);
}

TEST(RunConfig, TheExampleOfTheContractIsComplete) {
  const RunConfig config = read_valid(R"(
run:        {name: quickstart, dir: runs/quickstart, seed: 1234, device: cpu}      # cpu | cuda
task:       pretrain
model:                       # comment
  architecture: deepseek_v3
  hidden_size: 256
  num_hidden_layers: 4
  n_routed_experts: 16
  num_experts_per_tok: 2
data:
  sequence_length: 512
  train: [{path: "shards/train-*.h5", weight: 1.0}]
  validation: [{path: "shards/validation-*.h5"}]
training:
  global_batch_size: 16
  micro_batch_size: 4
  max_steps: 200
  precision: bf16
  recompute: none
  reproducible: fast
  stop_after_steps: 0
  validate_every: 50
  early_stop_patience: 5
optimizer:  {name: adamw, learning_rate: 3.0e-4, betas: [0.9, 0.95], weight_decay: 0.1, grad_clip: 1.0}
schedule:   {warmup_ratio: 0.1, decay: cosine, min_ratio: 0.1}
parallel:   {zero: 3, data: auto, tensor: 1, expert: 1, pipeline: 1, context: 1}
checkpoint: {dir: runs/quickstart/checkpoints, every: 60s, keep: 3}
metrics:    {every: 1, tensorboard: true, prometheus_port: 0}
)");
  EXPECT_EQ(config.run.dir, "runs/quickstart");
  EXPECT_EQ(config.parallel.data, 0);
  EXPECT_EQ(config.optimizer.learning_rate, 3e-4);
  EXPECT_EQ(config.data.validation[0].weight, 1.0);
  EXPECT_EQ(config.checkpoint.every, "60s");
}

TEST(RunConfig, DirectoriesFollowTheName) {
  RunConfig config;
  config.run.name = "a";
  EXPECT_EQ(config.run_dir(), "runs/a");
  EXPECT_EQ(config.checkpoint_dir(), "runs/a/checkpoints");
  config.run.dir = "b";
  EXPECT_EQ(config.checkpoint_dir(), "b/checkpoints");
  config.checkpoint.dir = "c";
  EXPECT_EQ(config.checkpoint_dir(), "c");
}

// Every kind of member that option.h promises.
struct AllKinds {
  struct Inner {
    int64_t count = 3;
    static void describe(auto& section, auto& visit) { visit("count", section.count, {.meaning = "count"}); }
  };
  std::optional<double> limit = 0.5;
  std::optional<std::string> label;
  std::vector<bool> flags = {true, false};
  std::vector<std::string> names;
  Inner inner;
  std::vector<Inner> list = std::vector<Inner>(2);

  static void describe(auto& section, auto& visit) {
    visit("limit", section.limit, {.meaning = "limit", .minimum = 0});
    visit("label", section.label, {.meaning = "label"});
    visit("flags", section.flags, {.meaning = "flags"});
    visit("names", section.names, {.meaning = "names"});
    visit("inner", section.inner, {.meaning = "inner"});
    visit("list", section.list, {.meaning = "list"});
  }
};

TEST(FlatOptions, NamesEveryOptionWithItsValue) {
  const RunConfig config = read_valid(kSmallestConfig);
  const auto table = flat_options(config);
  EXPECT_EQ(table.at("data.train.0.path"), "a.h5");
  EXPECT_EQ(table.at("training.max_steps"), "10");
  EXPECT_EQ(table.at("parallel.timeout"), "600.0");
  RunConfig other = config;
  other.training.max_steps = 11;
  auto changed = flat_options(other);
  EXPECT_EQ(changed.at("training.max_steps"), "11");
  changed["training.max_steps"] = "10";
  EXPECT_EQ(changed, table);
}

TEST(FieldsOf, SeesEveryKindOfMember) {
  AllKinds kinds;
  const Fields fields = fields_of(kinds);
  ASSERT_EQ(fields.size(), 6u);
  EXPECT_TRUE(std::holds_alternative<std::optional<double>*>(fields[0].value));
  EXPECT_TRUE(std::holds_alternative<std::vector<bool>*>(fields[2].value));
  *std::get<int64_t*>(fields[4].section()->at(0).value) = 7;
  EXPECT_EQ(kinds.inner.count, 7);
  fields[5].section_list()->resize(5);
  EXPECT_EQ(kinds.list.size(), 5u);
  EXPECT_EQ(**std::get_if<int64_t*>(&fields[5].section_list()->at(4)[0].value), 3);
}

}  // namespace
}  // namespace athanor::configs
