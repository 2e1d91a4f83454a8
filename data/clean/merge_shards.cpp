// Stage 2: finds the duplicates among all shards' documents and copies the others to the output, in input
// order.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <unordered_map>

#include "core/error.h"
#include "core/log.h"
#include "data/clean/plan.h"
#include "data/clean/run_clean.h"
#include "data/clean/unreadable_files.h"
#include "data/text/line_reader.h"
#include "data/text/text_writer.h"
#include "data/text/utf8.h"

namespace athanor::clean {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Writes lines to one file, or to as many as output_file_bytes asks for.
class OutputFiles {
 public:
  OutputFiles(const configs::CleanConfig& config, core::FileSystem& fs) : config_(config), fs_(fs) { open(); }

  void append(std::string_view line) {
    const bool is_full =
        config_.output_file_bytes > 0 && writer_->num_bytes() > 0 &&
        writer_->num_bytes() + line.size() > static_cast<uint64_t>(config_.output_file_bytes);
    if (is_full) {
      writer_->commit();
      open();
    }
    writer_->append(line);
  }

  std::vector<std::string> commit() {
    writer_->commit();
    remove_files_of_an_earlier_run();
    return paths_;
  }

 private:
  void open() {
    paths_.push_back(output_path(config_, paths_.size()));
    writer_ = std::make_unique<text::TextWriter>(fs_, paths_.back());
  }

  // A longer earlier run left higher numbers, which a pattern would read along with ours.
  void remove_files_of_an_earlier_run() {
    if (config_.output_file_bytes == 0) return;
    for (size_t i = paths_.size(); fs_.exists(output_path(config_, i)); ++i)
      fs_.remove_all(output_path(config_, i));
  }

  const configs::CleanConfig& config_;
  core::FileSystem& fs_;
  std::vector<std::string> paths_;
  std::unique_ptr<text::TextWriter> writer_;
};

class Merger {
 public:
  Merger(const configs::CleanConfig& config, core::FileSystem& fs, int num_shards)
      : config_(config), fs_(fs), num_shards_(num_shards), inputs_(list_inputs(config)) {}

  CleanReport run() {
    const auto start = Clock::now();
    read_stage_files();
    check_files();
    find();
    copy_what_stays();
    report_.seconds = report_.funnel.seconds + seconds_since(start);
    return std::move(report_);
  }

  void remove_stage_files() const {
    const std::string directory = work_directory(config_);
    const int num_shards =
        config_.work_dir.empty() ? 0 : num_shards_;  // others may use a directory of theirs
    for (const auto& name : fs_.list(directory))
      if (is_stage_file(name, num_shards)) fs_.remove_all(directory + "/" + name);
    if (fs_.list(directory).empty()) fs_.remove_all(directory);
  }

 private:
  // A line of a shard and where it belongs; shards deliver theirs in order.
  struct Source {
    std::unique_ptr<text::LineReader> lines;
    std::string path;
  };

  void read_stage_files() {
    for (int i = 0; i < num_shards_; ++i) {
      const Shard shard{i, num_shards_};
      const StagePaths paths = stage_paths(work_directory(config_), shard);
      const size_t num_before = columns_.keys.size();
      read_signatures(fs_, paths.signatures, signature_header(config_, fs_, inputs_, shard), columns_);
      for (size_t k = num_before; k < columns_.keys.size(); ++k) shard_of_.emplace_back(columns_.keys[k], i);
      report_.funnel.add(
          funnel_from_json(core::read_text_file(fs_, paths.funnel, uint64_t{1} << 30), paths.funnel));
      sources_.push_back(
          {std::make_unique<text::LineReader>(text::open_byte_source(fs_, paths.texts), UINT64_MAX / 4),
           paths.texts});
    }
    std::sort(shard_of_.begin(), shard_of_.end());
    columns_ = sorted_by_key(std::move(columns_));
  }

  void check_files() {
    const auto messages = find_unreadable_files(report_.funnel, inputs_);
    if (!messages.empty() && config_.damaged_files == "stop")
      throw core::DataError(
          "{}; or set clean.damaged_files=keep_readable to go on with what can be read{}", messages[0],
          messages.size() == 1 ? std::string()
                               : fmt::format(" ({} more files are like it)", messages.size() - 1));
    Funnel damaged;
    for (const auto& message : messages) core::log::warning("{}", message);
    damaged.damaged_files = messages;
    report_.funnel.add(damaged);
  }

  void find() {
    duplicates_ = find_duplicates(columns_.table, config_.duplicates);
    std::unordered_map<uint32_t, uint64_t> sizes;
    for (uint32_t i = 0; i < duplicates_.near_of.size(); ++i)
      if (duplicates_.near_of[i] != i) ++sizes[duplicates_.near_of[i]];
    report_.funnel.num_clusters = sizes.size();
    for (const auto& [first, num_others] : sizes)
      report_.funnel.largest_cluster = std::max(report_.funnel.largest_cluster, num_others + 1);
  }

  void copy_what_stays() {
    OutputFiles output(config_, fs_);
    text::Line line;
    for (uint32_t i = 0; i < columns_.keys.size(); ++i) {
      Source& source = sources_[static_cast<size_t>(shard_of_[i].second)];
      if (!source.lines->next(line))
        throw core::DataError("{}: fewer documents than signatures; run the shards of clean again",
                              source.path);
      if (duplicates_.exact_of[i] != i)
        drop(Rule::kExactDuplicate, i, duplicates_.exact_of[i], line.bytes);
      else if (duplicates_.near_of[i] != i)
        drop(Rule::kNearDuplicate, i, duplicates_.near_of[i], line.bytes);
      else
        keep(i, line.bytes, output);
    }
    report_.outputs = output.commit();
    if (report_.funnel.left().documents == 0)
      core::log::warning("{}: no document was kept; the report says which rules removed them",
                         config_.output);
  }

  void keep(uint32_t document, std::string_view line, OutputFiles& output) {
    report_.funnel.kept[columns_.languages[document]].add(text_bytes(line));
    output.append(line);
    output.append("\n");
  }

  void drop(Rule rule, uint32_t document, uint32_t first, std::string_view line) {
    const DocumentKey& key = columns_.keys[document];
    parse(line);
    report_.funnel.count_removal(rule, parsed_.text.size());
    if (!report_.funnel.wants_example(rule, key)) return;
    const DocumentKey& kept = columns_.keys[first];
    const std::string detail =
        fmt::format("of record {} of {}", kept.record + 1, report_.funnel.files[kept.file]);
    const auto shown = text::prefix(parsed_.text, static_cast<size_t>(config_.example_chars));
    report_.funnel.add_example(rule, {key, key.record + 1, detail, std::string(shown)});
  }

  uint64_t text_bytes(std::string_view line) {
    parse(line);
    return parsed_.text.size();
  }

  void parse(std::string_view line) {
    const std::string reason = parser_.parse(line, {"text"}, false, parsed_);
    if (!reason.empty()) throw core::DataError("stage file: {}; run the shards of clean again", reason);
  }

  const configs::CleanConfig& config_;
  core::FileSystem& fs_;
  int num_shards_;
  std::vector<InputFile> inputs_;
  std::vector<Source> sources_;
  std::vector<std::pair<DocumentKey, int>> shard_of_;
  SignatureColumns columns_;
  Duplicates duplicates_;
  text::JsonRecordParser parser_;
  text::Document parsed_;
  CleanReport report_;
};

}  // namespace

CleanReport merge_shards(const configs::CleanConfig& config, core::FileSystem& fs, int num_shards) {
  check_clean_config(config);
  if (num_shards < 1) throw core::ConfigError("{} shards to merge: at least one was expected", num_shards);
  prepare_outputs(config, fs);
  Merger merger(config, fs, num_shards);
  CleanReport report = merger.run();
  core::write_file_atomically(fs, report_path(config), report_json(report));
  if (!config.report_html.empty()) core::write_file_atomically(fs, config.report_html, report_html(report));
  merger.remove_stage_files();
  return report;
}

CleanReport run_clean(const configs::CleanConfig& config, core::FileSystem& fs) {
  clean_shard(config, fs, {0, 1});
  return merge_shards(config, fs, 1);
}

}  // namespace athanor::clean
