// What is wrong is reported where it stands, in words that say what to do.
#include <gtest/gtest.h>

#include "configs/diagnostic.h"
#include "tests/configs/config_text.h"

namespace athanor::configs {
namespace {

struct Case {
  const char* yaml;      // put before a valid rest
  const char* expected;  // one whole line of the report
};

// Every case is the first line (or lines) of a file that is otherwise fine.
const Case kCases[] = {
    {"optimizer: {learnin_rate: 1}",
     "run.yaml:1:13: error: unknown key `learnin_rate` in `optimizer`; did you mean `learning_rate`?"},
    {"optimizer: {lr: 1}",
     "run.yaml:1:13: error: unknown key `lr` in `optimizer`; it is called `learning_rate` here"},
    {"schedule: {lr: 1}",
     "run.yaml:1:12: error: unknown key `lr` in `schedule`; `learning_rate` belongs into `optimizer`"},
    {"schedule: {weight_decay: 1}",
     "run.yaml:1:12: error: unknown key `weight_decay` in `schedule`; `weight_decay` belongs into "
     "`optimizer`"},
    {"metric: {every: 1}",
     "run.yaml:1:1: error: unknown key `metric` at the top level; did you mean `metrics`?"},
    {"metrics: {qqqqqq: 1}",
     "run.yaml:1:11: error: unknown key `qqqqqq` in `metrics`; valid: every, tensorboard, prometheus_port"},
    {"metrics:\n  every: fast", "run.yaml:2:10: error: metrics.every: expected an integer, found `fast`"},
    {"metrics:\n  every: 1e3",
     "run.yaml:2:10: error: metrics.every: expected an integer, found `1e3`; write 1000"},
    {"metrics:\n  every: 2.0",
     "run.yaml:2:10: error: metrics.every: expected an integer, found `2.0`; write 2"},
    {"metrics:\n  every: 2.5", "run.yaml:2:10: error: metrics.every: expected an integer, found `2.5`"},
    {"metrics:\n  every: 0x10",
     "run.yaml:2:10: error: metrics.every: expected an integer, found `0x10`; write it in decimal"},
    {"metrics:\n  every: 010",
     "run.yaml:2:10: error: metrics.every: expected an integer, found `010`; leading zeros are octal to some "
     "readers; remove them"},
    {"metrics:\n  every: 18446744073709551616",
     "run.yaml:2:10: error: metrics.every: expected an integer between -9223372036854775808 and "
     "9223372036854775807, found `18446744073709551616`"},
    {"metrics:\n  every: \"4\"",
     "run.yaml:2:10: error: metrics.every: expected an integer, found the quoted text `4`; remove the "
     "quotes"},
    {"metrics:\n  every: [4]", "run.yaml:2:10: error: metrics.every: expected an integer, found a list"},
    {"metrics:\n  every: {a: 4}",
     "run.yaml:2:10: error: metrics.every: expected an integer, found a section"},
    {"metrics:\n  every:", "run.yaml:2:3: error: metrics.every: expected an integer, found nothing"},
    {"metrics:\n  every: 0",
     "run.yaml:2:10: error: metrics.every: must be at least 1 and at most 1000000000 steps, found 0 steps"},
    {"metrics:\n  tensorboard: no",
     "run.yaml:2:16: error: metrics.tensorboard: expected true or false, found `no`; write false"},
    {"metrics:\n  tensorboard: on",
     "run.yaml:2:16: error: metrics.tensorboard: expected true or false, found `on`; write true"},
    {"metrics: 3", "run.yaml:1:10: error: metrics: expected a section of `key: value` lines, found `3`"},
    {"metrics: [3]", "run.yaml:1:10: error: metrics: expected a section of `key: value` lines, found a list"},
    {"optimizer:\n  learning_rate: .nan",
     "run.yaml:2:18: error: optimizer.learning_rate: expected a finite number, found `.nan`"},
    {"optimizer:\n  learning_rate: .inf",
     "run.yaml:2:18: error: optimizer.learning_rate: expected a finite number, found `.inf`"},
    {"optimizer:\n  learning_rate: 1e999",
     "run.yaml:2:18: error: optimizer.learning_rate: expected a number that a double can hold, found "
     "`1e999`"},
    {"optimizer:\n  learning_rate: 0",
     "run.yaml:2:18: error: optimizer.learning_rate: must be above 0 and at most 10, found 0"},
    {"optimizer:\n  betas: 0.9",
     "run.yaml:2:10: error: optimizer.betas: expected a list such as [a, b], found `0.9`"},
    {"optimizer:\n  betas: [0.9, high]",
     "run.yaml:2:16: error: optimizer.betas[1]: expected a finite number, found `high`"},
    {"optimizer:\n  betas: [0.9, 1.5]",
     "run.yaml:2:16: error: optimizer.betas[1]: must be at least 0 and at most 0.9999999, found 1.5"},
    {"optimizer:\n  betas: [0.9]",
     "run.yaml:2:10: error: optimizer.betas: expected 2 numbers such as [0.9, 0.95], found 1"},
    {"optimizer: {name: adamv}",
     "run.yaml:1:19: error: optimizer.name: expected adamw, found `adamv`; did you mean `adamw`?"},
    {"run: {device: gpu}",
     "run.yaml:1:15: error: run.device: expected one of cpu, cuda, found `gpu`; did you mean `cpu`?"},
    {"run: {name: [a]}", "run.yaml:1:13: error: run.name: expected text, found a list"},
    {"run: {name: null}", "run.yaml:1:13: error: run.name: expected text, found nothing"},
    {"run: {name: a/b}",
     "run.yaml:1:13: error: run.name: expected a name without `/`, found `a/b`; run.dir says where the run "
     "goes"},
    {"run: {dir: \"a\\nb\"}", "run.yaml:1:12: error: run.dir: expected one line of text, found `a\\x0ab`"},
    {"run: {dir: \"a\\0b\"}", "run.yaml:1:12: error: run.dir: expected one line of text, found `a\\x00b`"},
    {"task: sft", "run.yaml:1:7: error: task: sft is not available in this version; available: pretrain"},
    {"task: pretain",
     "run.yaml:1:7: error: task: expected pretrain, found `pretain`; did you mean `pretrain`?"},
    {"parallel: {context: 2}",
     "run.yaml:1:21: error: parallel.context: 2 is not available in this version; available: 1 (ranks share "
     "the work "
     "through parallel.data, parallel.tensor and parallel.zero)"},
    {"parallel: {data: aut}",
     "run.yaml:1:18: error: parallel.data: expected an integer, found `aut` (or `auto`)"},
    {"checkpoint: {every: 60x}",
     "run.yaml:1:21: error: checkpoint.every: expected a time such as 60s, 5m or 2h, or a number of steps "
     "such as "
     "`100 steps`, found `60x`"},
    {"metrics: {every: 1, every: 2}",
     "run.yaml:1:21: error: `every` is given twice in the same section, first in line 1; keep one of them"},
    {"metrics: {every: !!int 1}",
     "run.yaml:1:18: error: tags such as `tag:yaml.org,2002:int` are not allowed; remove it"},
    {"metrics: &m {every: 1}",
     "run.yaml:1:10: error: anchors (&name) are not allowed; write the value out where it is needed"},
    {"metrics: {<<: {every: 1}}",
     "run.yaml:1:11: error: merge keys (<<) are not allowed; write the values out"},
    {"metrics: {[a]: 1}", "run.yaml:1:11: error: expected a name before `:`"},
    {"model: {architecture: llama, kv_lora_rank: 3}",
     "run.yaml:1:44: error: model.kv_lora_rank: architecture llama does not use it; remove it"},
    {"model: {from: somewhere, hidden_size: 3}",
     "run.yaml:1:39: error: model.hidden_size: model.from `somewhere` decides it; remove one of the two"},
};

TEST(Diagnostics, NameThePlaceAndWhatToDo) {
  for (const Case& c : kCases) {
    const std::string report =
        to_string(check_yaml(std::string(c.yaml) + "\n" + std::string(kSmallestConfig)));
    EXPECT_EQ(report, c.expected) << c.yaml;
  }
}

TEST(Diagnostics, SyntaxErrorsHaveAPlace) {
  const Case cases[] = {
      {"run:\n\tname: x",
       "run.yaml:2:6: error: not valid YAML: illegal map value; the line is indented with a tab, use "
       "spaces"},
      {"run: \"x", "run.yaml:1:8: error: not valid YAML: illegal EOF in scalar"},
      {"data: {train: [{path: *.h5}]}",
       "run.yaml:1:23: error: aliases (*name) are not allowed; write the value out, or quote text that "
       "starts with "
       "`*`"},
      {"run: {name: x}\n---\nrun: {name: y}",
       "run.yaml:2:1: error: a second document starts here; a configuration is one document"},
      {"just text", "run.yaml:1:1: error: expected a section of `key: value` lines, found `just text`"},
      {"- a\n- b", "run.yaml:1:1: error: expected a section of `key: value` lines, found a list"},
  };
  for (const Case& c : cases) EXPECT_EQ(to_string(check_yaml(c.yaml)), c.expected) << c.yaml;
}

TEST(Diagnostics, AllErrorsComeAtOnceInTheOrderOfTheFile) {
  const Diagnostics diagnostics = check_yaml(
      "training: {max_steps: ten, global_batch_size: 0}\n"
      "task: dpo\n"
      "data: {trian: []}\n");
  EXPECT_EQ(to_string(diagnostics),
            "run.yaml:1:23: error: training.max_steps: expected an integer, found `ten`\n"
            "run.yaml:1:47: error: training.global_batch_size: must be at least 1 and at most 16777216 "
            "sequences, found "
            "0 sequences\n"
            "run.yaml:2:7: error: task: dpo is not available in this version; available: pretrain\n"
            "run.yaml:3:7: error: data.train: no training data; give a list such as [{path: "
            "\"shards/train-*.h5\"}]\n"
            "run.yaml:3:8: error: unknown key `trian` in `data`; did you mean `train`?");
}

TEST(Diagnostics, SaysOnceHowManyMoreThereAre) {
  std::string yaml = "run: {";
  for (int i = 0; i < 150; ++i) yaml += "k" + std::to_string(i) + ": 1, ";
  const std::string report = to_string(check_yaml(yaml + "}\n" + std::string(kSmallestConfig)));
  EXPECT_NE(report.find("\n... and 50 more errors"), std::string::npos) << report;
}

TEST(Diagnostics, ElementsOfAListAreNumbered) {
  EXPECT_EQ(to_string(check_yaml("data:\n"
                                 "  train:\n"
                                 "    - path: a.h5\n"
                                 "    - weight: 2.0\n"
                                 "    - path: b.h5\n"
                                 "      weight: 0\n"
                                 "    - path: ''\n"
                                 "training: {max_steps: 1}\n")),
            "run.yaml:4:7: error: data.train[1].path: must be given\n"
            "run.yaml:6:15: error: data.train[2].weight: must be above 0 and at most 1000000000, found 0\n"
            "run.yaml:7:13: error: data.train[3].path: must not be empty");
}

TEST(NearestName, IgnoresCaseAndDashesAndRefusesFarNames) {
  EXPECT_EQ(nearest_name("Learning-Rate", {"eps", "learning_rate"}), "learning_rate");
  EXPECT_EQ(nearest_name("ehvery", {"keep", "every"}), "every");
  EXPECT_EQ(nearest_name("evrey", {"keep", "every"}), "every");
  EXPECT_EQ(nearest_name("banana", {"keep", "every"}), "");
  EXPECT_EQ(nearest_name(std::string(100000, 'x'), {"keep"}), "");
}

TEST(Quoted, ShortensAtCharacterBoundariesAndHidesControlCharacters) {
  EXPECT_EQ(in_backquotes("a\x1b[31m"), "`a\\x1b[31m`");
  std::string chinese;
  for (int i = 0; i < 40; ++i) chinese += "\xe4\xb8\xad";
  EXPECT_EQ(in_backquotes("x" + chinese), "`x" + chinese.substr(0, 57) + "...`");
}

}  // namespace
}  // namespace athanor::configs
