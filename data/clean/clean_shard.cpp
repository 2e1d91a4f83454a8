// Stage 1: reads the records of one shard, cleans them on all threads, and leaves what the merge needs.
#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>

#include "configs/load.h"
#include "core/error.h"
#include "core/log.h"
#include "core/parallel_for.h"
#include "data/clean/plan.h"
#include "data/clean/run_clean.h"
#include "data/text/utf8.h"

namespace athanor::clean {
namespace {

constexpr size_t kBlockBytes = size_t{1} << 22;
constexpr size_t kBlockRecords = 4096;

struct PendingRecord {
  DocumentKey key;
  text::RawRecord raw;
};

// One record after cleaning: what the funnel counts, and the line to keep.
struct CleanedRecord {
  CleanedDocument document;
  std::string line;     ///< JSON, when kept
  std::string detail;   ///< why it could not be read
  std::string example;  ///< its beginning: before the edits where these left little
};

std::string compose_line(const text::Document& document, const InputFile& input, Language language) {
  std::string line;
  line.reserve(document.text.size() + document.text.size() / 16 + document.fields.size() + 96);
  line += "{\"text\":";
  text::append_json_string(line, document.text);
  line += ",\"source\":";
  const std::string& own = document.source.empty() ? input.stem : document.source;
  text::append_json_string(line, input.source.empty() ? own : input.source);
  line += ",\"language\":";
  text::append_json_string(line, language_name(language));
  if (!document.fields.empty()) line.append(",").append(document.fields);
  return line += "}\n";
}

// One thread's tools for the records of one file.
struct Worker {
  Worker(const InputFile& input, const std::vector<std::string>& header) : parser(input.reader, header) {}
  text::RecordParser parser;
  DocumentCleaner::Scratch scratch;
  text::Document document;
};

class ShardCleaner {
 public:
  ShardCleaner(const configs::CleanConfig& config, core::FileSystem& fs, const Shard& shard)
      : config_(config),
        fs_(fs),
        shard_(shard),
        inputs_(list_inputs(config)),
        cleaner_(config),
        paths_(stage_paths(work_directory(config), shard)),
        texts_(fs, paths_.texts),
        signatures_(fs, paths_.signatures, signature_header(config, fs, inputs_, shard)),
        funnel_(static_cast<size_t>(config.examples_per_rule)) {
    for (const auto& input : inputs_) funnel_.files.push_back(input.path);
    funnel_.file_facts.resize(inputs_.size());
  }

  void run() {
    const auto start = std::chrono::steady_clock::now();
    for (file_idx_ = 0; file_idx_ < inputs_.size(); ++file_idx_)
      if (!is_divided_by_file() || file_idx_ % num_shards() == index()) read_file();
    texts_.commit();
    signatures_.commit();
    funnel_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    core::write_file_atomically(fs_, paths_.funnel, funnel_to_json(funnel_) + "\n");
  }

 private:
  size_t num_shards() const { return static_cast<size_t>(shard_.count); }
  size_t index() const { return static_cast<size_t>(shard_.index); }
  bool is_divided_by_file() const { return inputs_.size() >= 4 * num_shards(); }
  bool owns_block(size_t block) const {
    return is_divided_by_file() || (file_idx_ + block) % num_shards() == index();
  }
  const InputFile& input() const { return inputs_[file_idx_]; }

  void read_file() {
    try {
      text::DocumentReader reader(fs_, input().path, input().reader);
      workers_.clear();
      header_ = reader.header();
      read_records(reader);
    } catch (const core::DataError& error) {
      if (config_.damaged_files == "stop")
        throw core::DataError("{}, or set clean.damaged_files=keep_readable to use what comes before",
                              error.what());
      core::log::warning("{}", error.what());
      funnel_.damaged_files.emplace_back(error.what());
    }
    clean_pending();
  }

  // Cuts the file into blocks, which depend on its content alone, and keeps those of this shard.
  void read_records(text::DocumentReader& reader) {
    size_t block = 0, block_bytes = 0, block_records = 0;
    text::RawRecord raw;
    for (uint64_t record = 0; reader.next(raw); ++record) {
      block_bytes += raw.bytes.size();
      ++block_records;
      if (owns_block(block)) keep({static_cast<uint32_t>(file_idx_), record}, raw);
      if (block_bytes < kBlockBytes && block_records < kBlockRecords) continue;
      ++block;
      block_bytes = block_records = 0;
    }
  }

  void keep(const DocumentKey& key, text::RawRecord& raw) {
    pending_bytes_ += raw.bytes.size();
    pending_.push_back({key, std::move(raw)});
    if (pending_bytes_ >= kBlockBytes) clean_pending();
  }

  void clean_pending() {
    std::vector<CleanedRecord> results(pending_.size());
    const size_t num_pieces = std::min<size_t>(pending_.size(), 4 * static_cast<size_t>(core::num_threads()));
    while (workers_.size() < num_pieces) workers_.push_back(std::make_unique<Worker>(input(), header_));
    core::parallel_for(static_cast<int64_t>(num_pieces), [&](int64_t piece) {
      const auto p = static_cast<size_t>(piece);
      const size_t begin = pending_.size() * p / num_pieces, end = pending_.size() * (p + 1) / num_pieces;
      for (size_t i = begin; i < end; ++i) clean_record(pending_[i], *workers_[p], results[i]);
    });
    for (size_t i = 0; i < results.size(); ++i) count(pending_[i], results[i]);
    pending_.clear();
    pending_bytes_ = 0;
  }

  void clean_record(PendingRecord& record, Worker& worker, CleanedRecord& result) const {
    CleanedDocument& document = result.document;
    document.bytes_before = document.bytes_after = record.raw.bytes.size();
    if (record.raw.is_overlong) {
      document.violation = Violation{Rule::kOverlongRecord};
      result.detail = fmt::format("longer than max_line_bytes = {}", config_.max_line_bytes);
      return;
    }
    size_t num_replaced = 0;
    result.detail = worker.parser.parse(record.raw.bytes, worker.document, num_replaced);
    const auto example_of = [&](const std::string& text) {
      return std::string(text::prefix(text, static_cast<size_t>(config_.example_chars)));
    };
    if (!result.detail.empty()) {
      document.violation = Violation{Rule::kInvalidRecord};
      result.example = example_of(record.raw.bytes);
      return;
    }
    result.example = example_of(worker.document.text);
    cleaner_.clean(worker.document, num_replaced, worker.scratch, document);
    if (document.violation && document.violation->rule > Rule::kAdvertisement)
      result.example = example_of(worker.document.text);
    if (!document.violation) result.line = compose_line(worker.document, input(), document.language);
  }

  void count(const PendingRecord& record, CleanedRecord& result) {
    const CleanedDocument& document = result.document;
    funnel_.read.add(document.bytes_before);
    count_file(record, result);
    const bool is_edited = !document.violation || document.violation->rule >= Rule::kEmpty;
    const bool is_judged = !document.violation || document.violation->rule >= Rule::kLanguage;
    const auto language = static_cast<size_t>(document.language);
    if (is_edited)
      funnel_.bytes_edited_away += static_cast<int64_t>(document.bytes_before - document.bytes_after);
    if (is_judged) funnel_.judged[language].add(document.bytes_after);
    for (size_t i = 0; i < kNumEdits; ++i) funnel_.edited[i] += document.edits[i];
    if (document.violation) return count_removal(record, *document.violation, result);
    texts_.append(result.line);
    signatures_.append(record.key, document);
  }

  void count_file(const PendingRecord& record, const CleanedRecord& result) {
    FileFacts& facts = funnel_.file_facts[file_idx_];
    ++facts.records;
    const auto& violation = result.document.violation;
    if (violation && (violation->rule == Rule::kInvalidRecord || violation->rule == Rule::kOverlongRecord))
      facts.add_unreadable({record.key, record.raw.line_number, result.detail, result.example});
  }

  void count_removal(const PendingRecord& record, const Violation& violation, CleanedRecord& result) {
    const bool is_edited = violation.rule >= Rule::kEmpty;
    funnel_.count_removal(violation.rule,
                          is_edited ? result.document.bytes_after : result.document.bytes_before);
    if (!funnel_.wants_example(violation.rule, record.key)) return;
    const bool has_limit = violation.value != 0 || violation.limit != 0;
    if (result.detail.empty() && has_limit)
      result.detail = fmt::format("{:.4g}, limit {:.4g}", violation.value, violation.limit);
    funnel_.add_example(violation.rule, {record.key, record.raw.line_number, result.detail, result.example});
  }

  const configs::CleanConfig& config_;
  core::FileSystem& fs_;
  Shard shard_;
  std::vector<InputFile> inputs_;
  DocumentCleaner cleaner_;
  StagePaths paths_;
  text::TextWriter texts_;
  SignatureWriter signatures_;
  Funnel funnel_;

  size_t file_idx_ = 0;
  std::vector<std::string> header_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<PendingRecord> pending_;
  size_t pending_bytes_ = 0;
};

}  // namespace

void clean_shard(const configs::CleanConfig& config, core::FileSystem& fs, const Shard& shard) {
  check_clean_config(config);
  if (shard.count < 1 || shard.index < 0 || shard.index >= shard.count)
    throw core::ConfigError("shard {} of {}: an index from 0 and below the number of shards was expected",
                            shard.index, shard.count);
  prepare_outputs(config, fs);
  ShardCleaner(config, fs, shard).run();
}

void check_clean_config(const configs::CleanConfig& config) {
  configs::RunConfig whole;
  whole.clean = config;
  configs::validate(whole, {}, configs::Purpose::kCleaning);
}

}  // namespace athanor::clean
