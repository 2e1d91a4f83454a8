// `section.key=value` on the command line.
#include <gtest/gtest.h>

#include "tests/configs/config_text.h"

namespace athanor::configs {
namespace {

TEST(Overrides, ReplaceAddAndReachIntoLists) {
  const RunConfig config =
      read_valid(kSmallestConfig,
                 {"training.max_steps=1_000", "optimizer.betas=[0.8, 0.9]", "data.train.0.path=shards/*.h5",
                  "data.train.1.path=b.h5", "data.train.1.weight=0.5", "data.validation=[{path: \"v*.h5\"}]",
                  "run.name=no", "run.dir=", "model.q_lora_rank=null", "parallel.data=auto",
                  "model.rope_scaling.type=none"});
  EXPECT_EQ(config.training.max_steps, 1000);
  EXPECT_EQ(config.optimizer.betas, (std::vector<double>{0.8, 0.9}));
  EXPECT_EQ(config.data.train[0].path, "shards/*.h5");
  EXPECT_EQ(config.data.train[1], (DataSourceConfig{"b.h5", 0.5}));
  EXPECT_EQ(config.data.validation[0].path, "v*.h5");
  EXPECT_EQ(config.run.name, "no");
  EXPECT_EQ(config.run.dir, "");
}

TEST(Overrides, TheLastOneWins) {
  EXPECT_EQ(read_valid(kSmallestConfig, {"run.seed=1", "run.seed=2"}).run.seed, 2);
}

TEST(Overrides, ChooseTheArchitectureWhoseDefaultsApply) {
  const RunConfig config = read_valid(kSmallestConfig, {"model.architecture=qwen2"});
  EXPECT_TRUE(config.model.attention_bias);
  EXPECT_EQ(config.model.n_routed_experts, 0);
}

TEST(Overrides, ErrorsQuoteTheOverride) {
  const std::pair<const char*, const char*> cases[] = {
      {"optimizer.lerning_rate=1",
       "command line: optimizer.lerning_rate=1: error: unknown key `lerning_rate` in `optimizer`; did you "
       "mean "
       "`learning_rate`?"},
      {"training.max_steps=ten",
       "command line: training.max_steps=ten: error: training.max_steps: expected an integer, found `ten`"},
      {"training.max_steps=",
       "command line: training.max_steps=: error: training.max_steps: expected an integer, found an empty "
       "text"},
      {"training.global_batch_size=6",
       "command line: training.global_batch_size=6: error: training.global_batch_size: 6 is not a multiple "
       "of "
       "training.micro_batch_size 4 x 1 data-parallel rank = 4; change one of them"},
      {"max_steps", "command line: max_steps: error: expected section.key=value"},
      {"=3", "command line: =3: error: expected section.key before `=`"},
      {"run..name=3", "command line: run..name=3: error: expected section.key before `=`"},
      {"data.train.7.path=x",
       "command line: data.train.7.path=x: error: `7` is not an element of the list (they count from 0)"},
      {"data.train.x=x",
       "command line: data.train.x=x: error: `x` is not an element of the list (they count from 0)"},
      {"optimizer.betas=[0.9",
       "command line: optimizer.betas=[0.9: error: not valid YAML: end of sequence flow not found"},
  };
  for (const auto& [assignment, expected] : cases) {
    const std::string report = to_string(check_yaml(kSmallestConfig, {assignment}));
    EXPECT_EQ(report.substr(0, report.find('\n')), expected);
  }
}

TEST(Overrides, DeepAndBinaryOnesAreRefused) {
  std::string deep = "a";
  for (int i = 0; i < 100'000; ++i) deep += ".a";
  EXPECT_FALSE(check_yaml(kSmallestConfig, {deep + "=1"}).empty());
  EXPECT_FALSE(check_yaml(kSmallestConfig, {"run.dir=\xff\xfe"}).empty());
  EXPECT_FALSE(check_yaml(kSmallestConfig, {"run.dir=a\x1b"}).empty());
}

}  // namespace
}  // namespace athanor::configs
