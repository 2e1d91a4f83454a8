#include "data/shards/shard_builder.h"

#include <charconv>
#include <filesystem>
#include <memory>

#include "core/digest.h"
#include "core/error.h"
#include "data/shards/jsonl_documents.h"
#include "data/shards/shard_writer.h"

namespace athanor::data {
namespace {

constexpr size_t kBatchDocuments = 4096;
constexpr size_t kBatchBytes = size_t{8} << 20;
constexpr std::string_view kDigits = "0123456789";
constexpr size_t kMinNumberDigits = 3, kMaxNumberDigits = 15;

struct NumberedName {
  std::string before;  ///< with the directory
  std::string digits;
  std::string after;
};

bool is_shard_number(std::string_view text) {
  return text.size() >= kMinNumberDigits && text.size() <= kMaxNumberDigits &&
         text.find_first_not_of(kDigits) == std::string_view::npos;
}

NumberedName split_number(const std::string& path) {
  const size_t name_start = path.find_last_of('/') == std::string::npos ? 0 : path.find_last_of('/') + 1;
  size_t stem_end = path.find_last_of('.');
  if (stem_end == std::string::npos || stem_end <= name_start) stem_end = path.size();
  size_t first = stem_end;
  while (first > name_start && kDigits.find(path[first - 1]) != std::string_view::npos) --first;
  if (!is_shard_number(std::string_view(path).substr(first, stem_end - first)))
    return {path.substr(0, stem_end) + "-", "00000", path.substr(stem_end)};
  return {path.substr(0, first), path.substr(first, stem_end - first), path.substr(stem_end)};
}

uint64_t value_of(std::string_view digits) {
  uint64_t value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

/// Files that are there already and belong to the row of shards that begins with `output`.
std::vector<std::string> existing_row(const std::string& output) {
  const NumberedName name = split_number(output);
  std::vector<std::string> found;
  for (const std::string& path : core::glob(name.before + "*" + name.after)) {
    const std::string_view number = std::string_view(path).substr(
        name.before.size(), path.size() - name.before.size() - name.after.size());
    if (is_shard_number(number) && value_of(number) >= value_of(name.digits)) found.push_back(path);
  }
  return found;
}

bool is_for_validation(const std::string& text, double fraction) {
  if (fraction <= 0) return false;
  const std::string digest = core::digest_hex(std::string_view(text));
  uint64_t top = 0;
  std::from_chars(digest.data(), digest.data() + 16, top, 16);
  return static_cast<double>(top) * 0x1p-64 < fraction;
}

void check_options(const ShardBuildOptions& options) {
  if (options.inputs.empty()) throw core::UsageError("no input files; name them with --input");
  text::check_standard_input_is_given_once(options.inputs);
  if (options.output.empty()) throw core::UsageError("no output file; name it with --output");
  if (!(options.validation_fraction >= 0 && options.validation_fraction < 1))
    throw core::UsageError("--validation-fraction {}: expected 0 or more and less than 1",
                           options.validation_fraction);
  if ((options.validation_fraction > 0) != !options.validation_output.empty())
    throw core::UsageError("--validation-fraction and --validation-output go together");
  const bool is_numbered = options.max_tokens_per_shard > 0 && !options.validation_output.empty();
  if (options.validation_output == options.output ||
      (is_numbered && numbered_path(options.validation_output, 0) == numbered_path(options.output, 0)))
    throw core::UsageError("--validation-output {} and --output {} are the same file, or shards of one row",
                           options.validation_output, options.output);
  for (const auto& id : {options.bos_id, options.eos_id})
    if (id && *id >= options.vocabulary_size)
      throw core::UsageError("special token {} is outside the vocabulary of {}", *id,
                             options.vocabulary_size);
}

void create_parent(core::FileSystem& fs, const std::string& path) {
  const auto parent = std::filesystem::path(path).parent_path();
  if (!parent.empty()) fs.create_directories(parent.string());
}

/// One output: a shard, or a row of shards that are started as the last one fills up. Published together.
class ShardSeries {
 public:
  ShardSeries(core::FileSystem& fs, std::string output, uint64_t max_tokens, const ShardBuildOptions& options)
      : fs_(fs),
        output_(std::move(output)),
        max_tokens_(max_tokens),
        writer_options_{.tokenizer_digest = options.tokenizer_digest,
                        .vocabulary_size = options.vocabulary_size} {
    create_parent(fs_, output_);
  }

  /// `where` the document comes from, for messages.
  void add(std::span<const uint32_t> tokens, const DocumentLabels& labels, const std::string& where) {
    if (is_full(tokens.size())) finish_current();
    if (!current_) start_next();
    if (const std::string excess = current_->find_label_excess(labels); !excess.empty())
      throw core::DataError("{}: {}", where, excess);
    current_->add_document(tokens, labels);
  }

  void finish() {
    if (current_) finish_current();
  }
  bool is_empty() const { return finished_.empty() && !current_; }

  void publish(bool is_validation, ShardBuildSummary& summary) {
    for (const auto& writer : finished_) {
      writer->publish();
      summary.files.push_back({writer->path(), writer->num_documents(), writer->num_tokens(), is_validation});
    }
  }

 private:
  bool is_full(size_t more) const {
    return current_ && max_tokens_ > 0 && current_->num_tokens() + more > max_tokens_;
  }
  void start_next() {
    const std::string path =
        max_tokens_ > 0 ? numbered_path(output_, shard_number(output_) + finished_.size()) : output_;
    current_ = std::make_unique<ShardWriter>(fs_, path, writer_options_);
  }
  void finish_current() {
    current_->finish();
    finished_.push_back(std::move(current_));
  }

  core::FileSystem& fs_;
  std::string output_;
  uint64_t max_tokens_;
  ShardWriterOptions writer_options_;
  std::unique_ptr<ShardWriter> current_;
  std::vector<std::unique_ptr<ShardWriter>> finished_;
};

/// Texts on their way through the tokenizer.
struct Batch {
  std::vector<std::string> texts;
  std::vector<DocumentLabels> labels;
  std::vector<std::string> places;  ///< where each comes from
  size_t num_bytes = 0;

  bool is_full() const { return texts.size() >= kBatchDocuments || num_bytes >= kBatchBytes; }
  void add(Document&& document) {
    num_bytes += document.text.size();
    texts.push_back(std::move(document.text));
    labels.push_back(std::move(document.labels));
    places.push_back(std::move(document.where));
  }
  void clear() {
    texts.clear();
    labels.clear();
    places.clear();
    num_bytes = 0;
  }
};

class Builder {
 public:
  Builder(core::FileSystem& fs, const ShardBuildOptions& options, const Tokenize& tokenize)
      : fs_(fs),
        options_(options),
        tokenize_(tokenize),
        train_(fs, options.output, options.max_tokens_per_shard, options) {
    if (options.validation_fraction > 0)
      validation_ = std::make_unique<ShardSeries>(fs, options.validation_output, 0, options);
  }

  ShardBuildSummary run() {
    const std::vector<std::string> earlier = earlier_shards();
    for (const std::string& input : options_.inputs) add_file(input);
    flush();
    if (summary_.num_documents == 0)
      throw core::DataError("{}: no documents with text in {} input files", options_.inputs.front(),
                            options_.inputs.size());
    publish();
    remove_surplus(earlier);
    return summary_;
  }

 private:
  std::vector<std::string> earlier_shards() const {
    if (options_.max_tokens_per_shard == 0) return {};
    std::vector<std::string> earlier = existing_row(options_.output);
    if (!earlier.empty() && !options_.overwrite)
      throw core::CannotWriteError(
          "{} and {} more shards of that name are there already and would mix with the new ones; "
          "remove them, or pass --overwrite",
          earlier.front(), earlier.size() - 1);
    return earlier;
  }

  void add_file(const std::string& path) {
    JsonlDocuments documents(fs_, path, options_.text_key);
    for (Document document; documents.next(document);) {
      if (document.text.empty()) {
        ++summary_.num_empty_documents;
        continue;
      }
      batch_.add(std::move(document));
      if (batch_.is_full()) flush();
    }
  }

  void flush() {
    if (batch_.texts.empty()) return;
    const auto tokens = tokenize_(batch_.texts);
    ATHANOR_CHECK(tokens.size() == batch_.texts.size(), "{} texts gave {} token lists", batch_.texts.size(),
                  tokens.size());
    for (size_t i = 0; i < tokens.size(); ++i) add_document(i, tokens[i]);
    batch_.clear();
  }

  void add_document(size_t index, const std::vector<uint32_t>& tokens) {
    const std::string& text = batch_.texts[index];
    marked_.clear();
    if (options_.bos_id) marked_.push_back(*options_.bos_id);
    marked_.insert(marked_.end(), tokens.begin(), tokens.end());
    if (options_.eos_id) marked_.push_back(*options_.eos_id);
    const bool is_validation = is_for_validation(text, options_.validation_fraction);
    (is_validation ? *validation_ : train_).add(marked_, batch_.labels[index], batch_.places[index]);
    ++summary_.num_documents;
    summary_.num_text_bytes += text.size();
    summary_.num_tokens += marked_.size();
  }

  void publish() {
    if (train_.is_empty())
      throw core::DataError(
          "--validation-fraction {} takes all {} documents, none is left for {}; give more documents or a "
          "smaller fraction",
          options_.validation_fraction, summary_.num_documents, options_.output);
    if (validation_ && validation_->is_empty())
      throw core::DataError(
          "--validation-fraction {} takes none of the {} documents, so there is nothing for {}; give more "
          "documents or a larger fraction",
          options_.validation_fraction, summary_.num_documents, options_.validation_output);
    train_.finish();
    if (validation_) validation_->finish();
    train_.publish(false, summary_);
    if (validation_) validation_->publish(true, summary_);
  }

  void remove_surplus(const std::vector<std::string>& earlier) {
    for (const std::string& path : earlier) {
      const bool is_new = std::any_of(summary_.files.begin(), summary_.files.end(),
                                      [&](const auto& file) { return file.path == path; });
      if (!is_new) fs_.remove_all(path);
    }
  }

  core::FileSystem& fs_;
  const ShardBuildOptions& options_;
  const Tokenize& tokenize_;
  ShardSeries train_;
  std::unique_ptr<ShardSeries> validation_;
  ShardBuildSummary summary_;
  Batch batch_;
  std::vector<uint32_t> marked_;
};

}  // namespace

std::string numbered_path(const std::string& path, uint64_t number) {
  const NumberedName name = split_number(path);
  return fmt::format("{}{:0{}}{}", name.before, number, name.digits.size(), name.after);
}

uint64_t shard_number(const std::string& path) {
  return value_of(split_number(path).digits);
}

ShardBuildSummary build_shards(core::FileSystem& fs, const ShardBuildOptions& options,
                               const Tokenize& tokenize) {
  check_options(options);
  return Builder(fs, options, tokenize).run();
}

}  // namespace athanor::data
