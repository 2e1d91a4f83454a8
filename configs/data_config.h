// The `data` section: token shards, and how they become batches.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "configs/option.h"

namespace athanor::configs {

/// One source of token shards.
struct DataSourceConfig {
  std::string path;
  double weight = 1.0;

  static void describe(auto& section, auto& visit) {
    visit(
        "path", section.path,
        {.meaning = "token shards: a file, or a pattern with * and ? in the file name", .is_required = true});
    visit("weight", section.weight,
          {.meaning = "share of the samples drawn from this source, relative to the other sources",
           .minimum = 0,
           .maximum = 1e9,
           .above_minimum = true});
  }

  bool operator==(const DataSourceConfig&) const = default;
};

struct DataConfig {
  std::string tokenizer;
  int64_t sequence_length = 1024;
  std::vector<DataSourceConfig> train;
  std::vector<DataSourceConfig> validation;
  bool shuffle = true;
  int64_t prefetch = 2;

  static void describe(auto& section, auto& visit) {
    visit("tokenizer", section.tokenizer,
          {.meaning =
               "tokenizer.json that goes with the run; its digest must be that of the shards (empty: the "
               "shards' own word is taken)"});
    visit("sequence_length", section.sequence_length,
          {.meaning = "length of one packed training sequence",
           .unit = "tokens",
           .minimum = 2,
           .maximum = 1 << 24});
    visit("train", section.train, {.meaning = "sources to train on, mixed by weight"});
    visit("validation", section.validation, {.meaning = "sources to validate on"});
    visit("shuffle", section.shuffle,
          {.meaning = "draw sequences in an order that depends on run.seed alone, instead of file order"});
    visit("prefetch", section.prefetch,
          {.meaning = "micro batches that are read ahead in the background",
           .unit = "batches",
           .minimum = 1,
           .maximum = 1024});
  }

  bool operator==(const DataConfig&) const = default;
};

}  // namespace athanor::configs
