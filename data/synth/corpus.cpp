#include "data/synth/corpus.h"

#include <algorithm>
#include <filesystem>
#include <memory>

#include "core/error.h"
#include "core/parallel_for.h"
#include "data/synth/generator.h"
#include "data/text/json_record.h"
#include "data/text/text_writer.h"

namespace athanor::synth {
namespace {

constexpr uint64_t kBatch = 2048, kPiece = 32;

// What is written where.
struct Target {
  std::string path;
  bool is_directory = false;
  SynthFormat format = SynthFormat::kJsonLines;

  std::string file(size_t index) const {
    if (!is_directory) return path;
    return fmt::format("{}/synth-{:05}.{}", path, index, format == SynthFormat::kText ? "txt" : "jsonl");
  }
};

bool is_directory_name(const std::string& path, core::FileSystem& fs) {
  return path.ends_with('/') || fs.is_directory(path) || !std::filesystem::path(path).has_extension();
}

std::optional<SynthFormat> format_of_suffix(std::filesystem::path path) {
  if (path.extension() == ".gz" || path.extension() == ".zst") path.replace_extension();
  if (path.extension() == ".txt") return SynthFormat::kText;
  for (const char* suffix : {".jsonl", ".ndjson", ".json"})
    if (path.extension() == suffix) return SynthFormat::kJsonLines;
  return std::nullopt;
}

Target target_of(const SynthOptions& options, core::FileSystem& fs) {
  const std::string& path = options.output;
  if (path == "-")
    throw core::UsageError("synth: --output -: expected a file or a directory, not the standard output");
  if (path.empty()) throw core::UsageError("synth: --output names a file or a directory");
  if (is_directory_name(path, fs))
    return {.path = path, .is_directory = true, .format = options.format.value_or(SynthFormat::kJsonLines)};
  const auto format = format_of_suffix(path);
  if (!format)
    throw core::UsageError(
        "synth: --output {}: expected a file named .jsonl or .txt (also with .gz or .zst), or a directory "
        "with / at its end",
        path);
  if (options.format.value_or(*format) != *format)
    throw core::UsageError("synth: --output {}: the name says another format than --format {}", path,
                           *format == SynthFormat::kText ? "jsonl" : "txt");
  return {.path = path, .format = *format};
}

std::string without_blank_lines(std::string_view text) {
  std::string out;
  for (char c : text)
    if (c != '\n' || (!out.empty() && out.back() != '\n')) out.push_back(c);
  while (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

std::string to_line(const SynthDocument& document, SynthFormat format) {
  if (format == SynthFormat::kText) return without_blank_lines(document.text) + "\n\n";
  std::string line = "{\"text\":";
  text::append_json_string(line, document.text);
  line.append(",\"source\":\"synth\",\"kind\":\"").append(document.kind);
  return line.append("\",\"dirt\":\"").append(dirt_name(document.dirt)).append("\"}\n");
}

struct Written {
  SynthDocument document;
  std::string line;
};

class CorpusWriter {
 public:
  CorpusWriter(const SynthOptions& options, core::FileSystem& fs)
      : options_(options),
        fs_(fs),
        target_(target_of(options, fs)),
        generator_(options.seed, options.dirt_share) {}

  SynthSummary run() {
    open();
    for (uint64_t begin = 0; !is_done(); begin += kBatch) write_batch(begin);
    writer_->commit();
    if (target_.is_directory) remove_surplus();
    return std::move(summary_);
  }

 private:
  bool is_done() const {
    return options_.num_documents > 0 ? summary_.num_documents >= options_.num_documents
                                      : summary_.num_bytes >= options_.num_bytes;
  }

  void write_batch(uint64_t begin) {
    const uint64_t left =
        options_.num_documents > 0 ? options_.num_documents - summary_.num_documents : kBatch;
    std::vector<Written> batch(std::min(kBatch, left));
    core::parallel_for(static_cast<int64_t>((batch.size() + kPiece - 1) / kPiece), [&](int64_t piece) {
      const auto first = static_cast<size_t>(piece) * kPiece,
                 last = std::min<size_t>(batch.size(), first + kPiece);
      for (size_t i = first; i < last; ++i) {
        batch[i].document = generator_.document(begin + i);
        batch[i].line = to_line(batch[i].document, target_.format);
      }
    });
    for (size_t i = 0; i < batch.size() && !is_done(); ++i) append(batch[i]);
  }

  void append(const Written& written) {
    const bool is_full = target_.is_directory && writer_->num_bytes() >= options_.file_bytes;
    if (is_full) {
      writer_->commit();
      open();
    }
    writer_->append(written.line);
    count(written.document);
  }

  void count(const SynthDocument& document) {
    const uint64_t size = document.text.size();
    ++summary_.num_documents;
    summary_.num_bytes += size;
    summary_.num_dirty += document.dirt != Dirt::kNone;
    const bool is_chinese = document.kind.starts_with("zh_"), is_english = document.kind.starts_with("en_");
    (is_chinese ? summary_.chinese_bytes : is_english ? summary_.english_bytes : summary_.code_bytes) += size;
    if (document.kind.ends_with("_math")) summary_.math_bytes += size;
  }

  void open() {
    const std::string name = target_.file(summary_.files.size());
    writer_ = std::make_unique<text::TextWriter>(fs_, name);
    summary_.files.push_back(name);
  }

  void remove_surplus() {
    for (size_t i = summary_.files.size(); fs_.exists(target_.file(i)); ++i) fs_.remove_all(target_.file(i));
  }

  const SynthOptions& options_;
  core::FileSystem& fs_;
  Target target_;
  Generator generator_;
  std::unique_ptr<text::TextWriter> writer_;
  SynthSummary summary_;
};

}  // namespace

SynthSummary write_corpus(const SynthOptions& options, core::FileSystem& fs) {
  if ((options.num_documents == 0) == (options.num_bytes == 0))
    throw core::UsageError("synth: give either --documents or --bytes, above zero");
  if (!(options.dirt_share >= 0 && options.dirt_share <= 1))
    throw core::UsageError("synth: --dirt is a share from 0 to 1, got {}", options.dirt_share);
  return CorpusWriter(options, fs).run();
}

}  // namespace athanor::synth
