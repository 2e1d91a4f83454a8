#include "data/tokenizer/trainer.h"

#include <algorithm>
#include <atomic>
#include <set>

#include "core/error.h"
#include "core/log.h"
#include "core/parallel_for.h"
#include "data/tokenizer/merge_trainer.h"
#include "data/tokenizer/pre_tokenizer.h"
#include "data/tokenizer/presets.h"
#include "data/tokenizer/regex.h"
#include "data/tokenizer/text_blocks.h"
#include "data/tokenizer/utf8.h"

namespace athanor::data::tokenizer {
namespace {

using core::UsageError;

constexpr size_t kNumBytes = 256;
constexpr uint64_t kMaxRoundBytes = uint64_t{32} << 20;
constexpr uint64_t kMinMemoryLimitBytes = uint64_t{16} << 20;

void check(const TrainerOptions& options) {
  if (options.vocab_size < kNumBytes + options.added_tokens.size() || options.vocab_size > (size_t{1} << 24))
    throw UsageError("--vocab-size {}: expected from {} (256 bytes and {} special tokens) to {}",
                     options.vocab_size, kNumBytes + options.added_tokens.size(), options.added_tokens.size(),
                     size_t{1} << 24);
  if (options.memory_limit_bytes < kMinMemoryLimitBytes)
    throw UsageError("--memory-limit: expected at least {} MiB, found {} bytes", kMinMemoryLimitBytes >> 20,
                     options.memory_limit_bytes);
  if (options.max_token_bytes == 1)
    throw UsageError("--max-token-bytes 1: expected at least 2, or 0 for no limit");
  std::set<std::string> seen;
  for (const auto& token : options.added_tokens)
    if (token.content.empty() || !seen.insert(token.content).second)
      throw UsageError("--special-token \"{}\": expected tokens that are distinct and not empty",
                       excerpt(token.content));
  if (!options.bos_token.empty() && !seen.count(options.bos_token))
    throw UsageError(
        "--bos-token \"{}\" is not one of the special tokens; add it to them with --special-token",
        excerpt(options.bos_token));
}

// Counts the words of the files round by round. A round is a fixed amount of text, whatever the number of
// threads, and the table is only reduced between rounds: so the counts do not depend on who counted what.
class WordCounter {
 public:
  WordCounter(const TrainerOptions& options, const PreTokenizer& pre_tokenizer)
      : memory_limit_bytes_(options.memory_limit_bytes),
        round_bytes_(std::min(kMaxRoundBytes, options.memory_limit_bytes / 16)),
        pre_tokenizer_(pre_tokenizer) {}

  WordCounts run(TextBlockReader& reader, TrainingReport& report) {
    std::vector<TextBlock> round;
    while (read_round(reader, round)) {
      count_round(round, report);
      if (training_memory_bytes(counts_) > memory_limit_bytes_) reduce(report);
    }
    report.num_distinct_words = counts_.num_words();
    return std::move(counts_);
  }

 private:
  // What one thread has counted in a round.
  struct Lane {
    WordCounts counts;
    uint64_t num_text_bytes = 0, num_words = 0;
  };

  bool read_round(TextBlockReader& reader, std::vector<TextBlock>& round) const {
    round.clear();
    uint64_t num_bytes = 0;
    for (TextBlock block; num_bytes < round_bytes_ && reader.next(block);) {
      num_bytes += block.bytes.size();
      round.push_back(std::move(block));
    }
    return !round.empty();
  }

  void count_round(const std::vector<TextBlock>& round, TrainingReport& report) {
    std::vector<Lane> lanes(static_cast<size_t>(core::num_threads()));
    std::atomic<size_t> next_block{0};
    core::parallel_for(static_cast<int64_t>(lanes.size()), [&](int64_t lane) {
      for (size_t i; (i = next_block.fetch_add(1)) < round.size();)
        count_block(round[i], lanes[static_cast<size_t>(lane)]);
    });
    core::parallel_for(WordCounts::kNumShards, [&](int64_t shard) {
      for (const Lane& lane : lanes)
        counts_.add_shard(static_cast<size_t>(shard), lane.counts.shard(static_cast<size_t>(shard)));
    });
    for (const Lane& lane : lanes) {
      report.num_text_bytes += lane.num_text_bytes;
      report.num_words += lane.num_words;
    }
  }

  void count_block(const TextBlock& block, Lane& lane) const {
    Pieces pieces;
    for_each_text(block, [&](std::string_view text) {
      pre_tokenizer_.split(text, true, pieces);
      for (const auto word : pieces.list) lane.counts.add(word);
      lane.num_text_bytes += text.size();
      lane.num_words += pieces.list.size();
    });
  }

  // Down to half the limit, so that the next rounds need not reduce again at once.
  void reduce(TrainingReport& report) {
    const uint64_t before = training_memory_bytes(counts_);
    const Reduction part = reduce_word_counts(counts_, memory_limit_bytes_ / 2);
    report.reduction.num_cut_words += part.num_cut_words;
    report.reduction.num_dropped_words += part.num_dropped_words;
    report.reduction.dropped_count += part.dropped_count;
    core::log::warning(
        "tokenizer training would take {} MiB, over its limit of {}: {} rare words were cut into parts, {} "
        "dropped; "
        "raise the memory limit for exact counts",
        before >> 20, memory_limit_bytes_ >> 20, part.num_cut_words, part.num_dropped_words);
  }

  uint64_t memory_limit_bytes_, round_bytes_;
  const PreTokenizer& pre_tokenizer_;
  WordCounts counts_;
};

Json bos_template(const std::string& bos, uint32_t bos_id) {
  const auto special = [&](int type_id) {
    return Json{{"SpecialToken", {{"id", bos}, {"type_id", type_id}}}};
  };
  const auto text = [](const char* id, int type_id) {
    return Json{{"Sequence", {{"id", id}, {"type_id", type_id}}}};
  };
  return {{"type", "TemplateProcessing"},
          {"single", Json::array({special(0), text("A", 0)})},
          {"pair", Json::array({special(0), text("A", 0), special(1), text("B", 1)})},
          {"special_tokens",
           {{bos, {{"id", bos}, {"ids", Json::array({bos_id})}, {"tokens", Json::array({bos})}}}}}};
}

Json byte_level(bool add_prefix_space, bool trim_offsets) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", add_prefix_space},
          {"trim_offsets", trim_offsets},
          {"use_regex", true}};
}

TokenizerFile make_file(const TrainerOptions& options, const LearnedMerges& learned) {
  TokenizerFile file;
  file.name = "the trained tokenizer";
  Json& document = file.document = Json::object();
  document["version"] = "1.0";
  document["truncation"] = document["padding"] = nullptr;
  document["added_tokens"] = Json::array();
  Json processor = nullptr;
  for (size_t id = 0; id < options.added_tokens.size(); ++id) {
    AddedToken token = options.added_tokens[id];
    token.id = static_cast<uint32_t>(id);
    document["added_tokens"].push_back(to_json(token));
    if (token.content == options.bos_token)
      processor = {
          {"type", "Sequence"},
          {"processors", Json::array({byte_level(true, false), bos_template(token.content, token.id)})}};
  }
  document["normalizer"] = nullptr;
  document["pre_tokenizer"] = byte_level_pre_tokenizer(options.patterns);
  document["post_processor"] = processor;
  document["decoder"] = byte_level(true, true);
  document["model"] = {{"type", "BPE"},
                       {"dropout", nullptr},
                       {"unk_token", nullptr},
                       {"continuing_subword_prefix", nullptr},
                       {"end_of_word_suffix", nullptr},
                       {"fuse_unk", false},
                       {"byte_fallback", false},
                       {"ignore_merges", false}};
  for (const auto& token : learned.tokens)
    file.vocab.emplace_back(token, static_cast<uint32_t>(file.vocab.size()));
  file.merges = learned.merges;
  return file;
}

}  // namespace

std::vector<AddedToken> deepseek_added_tokens() {
  std::vector<AddedToken> tokens;
  const auto add = [&](const char* content, bool special) {
    tokens.push_back({.content = content, .special = special});
  };
  for (const char* content : {"<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"})
    add(content, true);
  for (const char* content : {"<｜User｜>", "<｜Assistant｜>", "<think>", "</think>"}) add(content, false);
  return tokens;
}

void check_regexes(const std::vector<std::string>& regexes) {
  for (const auto& regex : regexes) try {
      Pattern::regex(regex, "--regex");
    } catch (const core::DataError& error) {
      throw UsageError(error.what());
    }
}

TrainedTokenizer train_tokenizer(const std::vector<std::string>& paths, const TrainerOptions& options,
                                 core::FileSystem& fs) {
  check(options);
  text::check_standard_input_is_given_once(paths);
  const Json rules = byte_level_pre_tokenizer(options.patterns);
  const std::string name = "the splitting rules";
  const PreTokenizer pre_tokenizer(JsonCursor(rules, name));
  TrainingReport report;
  TextBlockReader reader(fs, paths, options.format);
  LearnedMerges learned;
  {
    const WordCounts counts = WordCounter(options, pre_tokenizer).run(reader, report);
    if (report.num_text_bytes == 0)
      throw core::DataError("{}: no text in {} input files, nothing to learn from",
                            paths.empty() ? "" : paths.front(), paths.size());
    MergeTrainerOptions merge_options{.vocab_size = options.vocab_size,
                                      .min_frequency = options.min_frequency,
                                      .max_token_bytes = options.max_token_bytes};
    for (const auto& token : options.added_tokens) merge_options.special_tokens.push_back(token.content);
    learned = learn_merges(counts, merge_options);
  }
  report.vocab_size = learned.tokens.size();
  if (report.vocab_size < options.vocab_size)
    core::log::warning(
        "the text gives only {} tokens of the {} asked for; give more text or a smaller vocabulary",
        report.vocab_size, options.vocab_size);
  return {Tokenizer::from_json(serialize(make_file(options, learned)), name), report};
}

}  // namespace athanor::data::tokenizer
