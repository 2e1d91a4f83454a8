#include "data/synth/corpus.h"

#include <algorithm>
#include <memory>

#include "core/error.h"
#include "core/parallel_for.h"
#include "data/synth/generator.h"
#include "data/text/json_record.h"
#include "data/text/text_writer.h"

namespace athanor::synth {
namespace {

constexpr uint64_t kBatch = 2048, kPiece = 32;

bool is_file_name(std::string_view path) {
  for (std::string_view suffix : {".jsonl", ".txt", ".gz", ".zst"})
    if (path.ends_with(suffix)) return true;
  return false;
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
      : options_(options), fs_(fs), generator_(options.seed, options.dirt_share) {}

  SynthSummary run() {
    open();
    for (uint64_t begin = 0; !is_done(); begin += kBatch) write_batch(begin);
    writer_->commit();
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
        batch[i].line = to_line(batch[i].document, options_.format);
      }
    });
    for (size_t i = 0; i < batch.size() && !is_done(); ++i) append(batch[i]);
  }

  void append(const Written& written) {
    const bool is_full = !is_file_name(options_.output) && writer_->num_bytes() >= options_.file_bytes;
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
    const bool is_jsonl = options_.format == SynthFormat::kJsonLines;
    const std::string name = is_file_name(options_.output)
                                 ? options_.output
                                 : fmt::format("{}/synth-{:05}.{}", options_.output, summary_.files.size(),
                                               is_jsonl ? "jsonl" : "txt");
    summary_.files.push_back(name);
    writer_ = std::make_unique<text::TextWriter>(fs_, name);
  }

  const SynthOptions& options_;
  core::FileSystem& fs_;
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
  if (options.output.empty()) throw core::UsageError("synth: --output names a file or a directory");
  return CorpusWriter(options, fs).run();
}

}  // namespace athanor::synth
