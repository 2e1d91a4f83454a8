// MB/s on one core of the quality rules, of MinHash, of all edits and rules together, and of the sample
// corpus generator.
//
//   bench_clean [FILE.jsonl [MEGABYTES]]      without a file: documents of `synth`
//
// Time is CPU time of this thread, so that other work on the machine disturbs the figures less.
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

#include "core/error.h"
#include "data/clean/document_cleaner.h"
#include "data/synth/generator.h"
#include "data/text/document_reader.h"

namespace {

using namespace athanor;

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

std::vector<std::string> read_texts(const char* path, size_t max_bytes) {
  const text::ReaderOptions options;
  text::DocumentReader reader(core::posix_file_system(), path, options);
  text::RecordParser parser(options, {});
  std::vector<std::string> texts;
  size_t num_bytes = 0, num_replaced = 0;
  text::Document document;
  for (text::RawRecord record; num_bytes < max_bytes && reader.next(record);) {
    if (!parser.parse(record.bytes, document, num_replaced).empty()) continue;
    num_bytes += document.text.size();
    texts.push_back(document.text);
  }
  return texts;
}

std::vector<std::string> generate_texts(size_t max_bytes) {
  const synth::Generator generator(1, 0);
  std::vector<std::string> texts;
  size_t num_bytes = 0;
  const double start = cpu_seconds();
  for (uint64_t i = 0; num_bytes < max_bytes; ++i) {
    texts.push_back(generator.document(i).text);
    num_bytes += texts.back().size();
  }
  std::printf("%-34s %8.1f MB/s\n", "synth", static_cast<double>(num_bytes) / 1e6 / (cpu_seconds() - start));
  return texts;
}

// Best of three passes.
void report(const char* name, const std::vector<std::string>& texts, auto&& body) {
  double num_bytes = 0, best = 1e30;
  for (const auto& text : texts) num_bytes += static_cast<double>(text.size());
  for (int pass = 0; pass < 3; ++pass) {
    const double start = cpu_seconds();
    for (const auto& text : texts) body(text);
    best = std::min(best, cpu_seconds() - start);
  }
  std::printf("%-34s %8.1f MB/s   (%.1f MB, %zu documents)\n", name, num_bytes / 1e6 / best, num_bytes / 1e6,
              texts.size());
}

// No limit is ever reached, so that every rule is counted for every document.
configs::CleanRules unreachable(configs::CleanRules rules) {
  rules.min_words = 0, rules.max_words.reset(), rules.min_mean_word_length = 0,
  rules.max_mean_word_length = 1e9;
  rules.max_symbol_word_ratio = 1e9, rules.max_bullet_lines = 2, rules.max_ellipsis_lines = 2,
  rules.min_alpha_words = 0;
  rules.min_stop_words = 0, rules.max_duplicate_lines = 2, rules.max_duplicate_paragraphs = 2;
  rules.max_duplicate_line_chars = 2, rules.max_duplicate_paragraph_chars = 2,
  rules.max_top_ngrams = {9, 9, 9};
  rules.max_duplicate_ngrams = {9, 9, 9, 9, 9, 9}, rules.min_line_end_punctuation = -1,
  rules.max_short_lines = 2;
  rules.max_repeated_line_chars = 2, rules.max_newline_word_ratio = 1e9, rules.min_sentences = 0;
  rules.min_mean_line_chars = 0, rules.min_han_share = 0, rules.max_repeated_13grams.reset();
  return rules;
}

void run(const std::vector<std::string>& texts) {
  const configs::CleanConfig config;
  const clean::ProseRules english(unreachable(config.english_rules), false),
      chinese(unreachable(config.chinese_rules), true);
  clean::Analysis analysis;
  size_t num_violations = 0;
  report("rules (Gopher both, C4, FineWeb)", texts, [&](const std::string& text) {
    analysis.analyse(text);
    const bool is_chinese = clean::detect_language(analysis.units, 0.5) == clean::Language::kChinese;
    num_violations += (is_chinese ? chinese : english).judge(analysis, false).has_value();
  });
  const clean::MinHasher hasher(config.duplicates);
  clean::MinHasher::Scratch scratch;
  clean::Signature signature;
  clean::Units units;
  report("MinHash 14 x 8, from text", texts, [&](const std::string& text) {
    clean::cut_into_units(text, units);
    hasher.sign(text, units, clean::detect_language(units, 0.5), scratch, signature);
  });
  const clean::DocumentCleaner cleaner(config);
  clean::DocumentCleaner::Scratch all;
  clean::CleanedDocument result;
  size_t num_kept = 0;
  report("all edits, rules and MinHash", texts, [&](const std::string& text) {
    text::Document document{text, "", ""};
    cleaner.clean(document, 0, all, result);
    num_kept += !result.violation.has_value();
  });
  std::printf("violations %zu, kept %zu of %zu\n", num_violations / 3, num_kept / 3, texts.size());
}

}  // namespace

int main(int argc, char** argv) {
  const size_t max_bytes = static_cast<size_t>(argc > 2 ? std::atof(argv[2]) * 1e6 : 20e6);
  try {
    run(argc > 1 ? read_texts(argv[1], max_bytes) : generate_texts(max_bytes));
  } catch (const core::Error& error) {
    std::fprintf(stderr, "bench_clean: %s\n", error.what());
    return static_cast<int>(error.exit_code());
  }
  return 0;
}
