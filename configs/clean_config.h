// The section `clean:`: what `athanor clean` reads, which rules it applies, and what it writes.
//
// A limit of `null` (or an empty list) switches its rule off. Shares are between 0 and 1. A document is
// dropped when a quantity is beyond its limit; a quantity equal to the limit passes. Defaults are the
// published ones (Gopher, FineWeb, the Mandarin set of FineWeb-2, EvalWeb); data/clean/quality_rules.h says
// how each quantity is counted.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "configs/option.h"

namespace athanor::configs {

/// One group of input files that are read alike.
struct CleanInput {
  std::string path;
  std::string source;
  std::string format = "auto";
  std::string documents = "file";
  std::string encoding = "auto";
  std::vector<std::string> text_fields = {"text"};

  static void describe(auto& section, auto& visit) {
    visit("path", section.path,
          {.meaning = "file, or a pattern with * and ?; .gz and .zst are decompressed", .is_required = true});
    visit("source", section.source,
          {.meaning = "name put into the field `source`; empty: the document's own if it is a text, else the "
                      "file's name"});
    visit("format", section.format,
          {.meaning = "kind of file; auto goes by the name (.jsonl, .ndjson, .json, .csv, else text)",
           .choices = {"auto", "jsonl", "text", "csv"}});
    visit("documents", section.documents,
          {.meaning = "what one document of a text file is", .choices = {"file", "line", "paragraph"}});
    visit("encoding", section.encoding,
          {.meaning = "auto (UTF-8, UTF-16 with BOM, GB18030 or Windows-1252) or a name that ICU knows, such "
                      "as gb18030, latin1"});
    visit("text_fields", section.text_fields,
          {.meaning =
               "fields (JSON lines) or columns (CSV) whose texts, joined by newlines, are the document"});
  }

  bool operator==(const CleanInput&) const = default;
};

struct CleanNormalise {
  std::string form = "nfc";
  std::string full_width = "letters_and_digits";
  bool remove_control = true;
  bool repair_mojibake = true;
  int64_t max_blank_lines = 2;

  static void describe(auto& section, auto& visit) {
    visit("form", section.form,
          {.meaning = "Unicode normalisation; nfkc leaves full-width punctuation alone",
           .choices = {"none", "nfc", "nfkc"}});
    visit(
        "full_width", section.full_width,
        {.meaning = "which full-width forms become ASCII", .choices = {"keep", "letters_and_digits", "all"}});
    visit("remove_control", section.remove_control,
          {.meaning = "remove control, zero-width, bidirectional and byte-order-mark characters"});
    visit("repair_mojibake", section.repair_mojibake,
          {.meaning = "undo UTF-8 that was read as Windows-1252/Latin-1 or as GB18030"});
    visit("max_blank_lines", section.max_blank_lines,
          {.meaning = "blank lines in a row that are kept", .minimum = 0});
  }

  bool operator==(const CleanNormalise&) const = default;
};

/// First-level removal of what is not text. Each is an edit; `max_advertisement_share` drops the document.
struct CleanBoilerplate {
  bool html = true;
  bool gutenberg = true;
  bool advertisement_lines = true;
  std::optional<double> max_advertisement_share = 0.3;
  bool policy_lines = true;

  static void describe(auto& section, auto& visit) {
    visit("html", section.html, {.meaning = "remove HTML tags, scripts and comments and decode entities"});
    visit("gutenberg", section.gutenberg, {.meaning = "remove Project Gutenberg's header and licence"});
    visit("advertisement_lines", section.advertisement_lines,
          {.meaning = "remove lines that advertise (contact pattern and sales words)"});
    visit("max_advertisement_share", section.max_advertisement_share,
          {.meaning = "share of bytes in advertising lines beyond which the document goes",
           .minimum = 0,
           .maximum = 1});
    visit("policy_lines", section.policy_lines,
          {.meaning = "remove short lines about cookies, terms of use, privacy policy or JavaScript"});
  }

  bool operator==(const CleanBoilerplate&) const = default;
};

struct CleanLanguage {
  std::vector<std::string> keep;
  double min_share = 0.5;
  std::string code = "detect";

  static void describe(auto& section, auto& visit) {
    visit("keep", section.keep,
          {.meaning = "languages to keep; empty: all",
           .choices = {"zh", "en", "ja", "ko", "cyrillic", "arabic", "latin", "code", "other"}});
    visit(
        "min_share", section.min_share,
        {.meaning =
             "share of letters that must be of the document's main script; below it the language is `other`",
         .minimum = 0,
         .maximum = 1});
    visit("code", section.code,
          {.meaning = "recognise source code and judge it by the section `code_rules`",
           .choices = {"detect", "never"}});
  }

  bool operator==(const CleanLanguage&) const = default;
};

/// Rules for prose. All quantities are defined in data/clean/quality_rules.h.
struct CleanRules {
  std::optional<int64_t> min_words = 50;
  std::optional<int64_t> max_words = 100000;
  std::optional<int64_t> min_chars;
  std::optional<double> min_mean_word_length = 3;
  std::optional<double> max_mean_word_length = 10;
  std::optional<double> max_symbol_word_ratio = 0.1;
  std::optional<double> max_bullet_lines = 0.9;
  std::optional<double> max_ellipsis_lines = 0.3;
  std::optional<double> min_alpha_words = 0.8;
  std::optional<int64_t> min_stop_words = 2;
  std::vector<std::string> stop_words = {"the", "be", "to", "of", "and", "that", "have", "with"};
  std::optional<double> max_duplicate_lines = 0.3;
  std::optional<double> max_duplicate_paragraphs = 0.3;
  std::optional<double> max_duplicate_line_chars = 0.2;
  std::optional<double> max_duplicate_paragraph_chars = 0.2;
  std::vector<double> max_top_ngrams = {0.20, 0.18, 0.16};
  std::vector<double> max_duplicate_ngrams = {0.15, 0.14, 0.13, 0.12, 0.11, 0.10};
  std::optional<double> min_line_end_punctuation = 0.12;
  std::optional<double> max_short_lines = 0.67;
  int64_t short_line_chars = 30;
  std::optional<double> max_repeated_line_chars = 0.01;
  std::optional<double> max_newline_word_ratio = 0.3;
  std::optional<double> min_mean_line_chars;
  std::optional<double> min_han_share;
  std::optional<double> max_repeated_13grams;
  bool drop_traditional = false;
  std::optional<int64_t> min_sentences;
  bool drop_curly_bracket = false;
  bool drop_lorem_ipsum = true;

  static void describe(auto& section, auto& visit) {
    visit("min_words", section.min_words,
          {.meaning = "words, symbols not counted (Gopher)", .unit = "words", .minimum = 0});
    visit("max_words", section.max_words,
          {.meaning = "words, symbols not counted (Gopher)", .unit = "words", .minimum = 0});
    visit("min_chars", section.min_chars,
          {.meaning = "characters that are not white space (EvalWeb: 200)",
           .unit = "characters",
           .minimum = 0});
    visit("min_mean_word_length", section.min_mean_word_length,
          {.meaning = "mean length of a word (Gopher)", .unit = "characters", .minimum = 0});
    visit("max_mean_word_length", section.max_mean_word_length,
          {.meaning = "mean length of a word (Gopher)", .unit = "characters", .minimum = 0});
    visit("max_symbol_word_ratio", section.max_symbol_word_ratio,
          {.meaning = "hash signs, or ellipses, per word (Gopher)", .minimum = 0});
    visit("max_bullet_lines", section.max_bullet_lines,
          {.meaning = "share of lines that start with a bullet (Gopher)", .minimum = 0, .maximum = 1});
    visit("max_ellipsis_lines", section.max_ellipsis_lines,
          {.meaning = "share of lines that end in an ellipsis (Gopher)", .minimum = 0, .maximum = 1});
    visit("min_alpha_words", section.min_alpha_words,
          {.meaning = "share of words that hold a letter (Gopher)", .minimum = 0, .maximum = 1});
    visit("min_stop_words", section.min_stop_words,
          {.meaning = "occurrences of stop words (Gopher)", .minimum = 0});
    visit("stop_words", section.stop_words, {.meaning = "the stop words"});
    visit("max_duplicate_lines", section.max_duplicate_lines,
          {.meaning = "share of lines seen before in the document (Gopher)", .minimum = 0, .maximum = 1});
    visit("max_duplicate_paragraphs", section.max_duplicate_paragraphs,
          {.meaning = "share of paragraphs seen before (Gopher)", .minimum = 0, .maximum = 1});
    visit("max_duplicate_line_chars", section.max_duplicate_line_chars,
          {.meaning = "share of characters in lines seen before (Gopher)", .minimum = 0, .maximum = 1});
    visit("max_duplicate_paragraph_chars", section.max_duplicate_paragraph_chars,
          {.meaning = "share of characters in paragraphs seen before (Gopher)", .minimum = 0, .maximum = 1});
    visit("max_top_ngrams", section.max_top_ngrams,
          {.meaning = "share of characters in the most frequent 2-, 3-, 4-gram (Gopher); three numbers",
           .minimum = 0,
           .maximum = 1});
    visit("max_duplicate_ngrams", section.max_duplicate_ngrams,
          {.meaning = "share of characters in repeated 5- to 10-grams (Gopher); six numbers",
           .minimum = 0,
           .maximum = 1});
    visit("min_line_end_punctuation", section.min_line_end_punctuation,
          {.meaning = "share of lines that end in punctuation (FineWeb)", .minimum = 0, .maximum = 1});
    visit("max_short_lines", section.max_short_lines,
          {.meaning = "share of lines of at most `short_line_chars` (FineWeb)", .minimum = 0, .maximum = 1});
    visit("short_line_chars", section.short_line_chars,
          {.meaning = "length of a short line", .unit = "characters", .minimum = 1});
    visit("max_repeated_line_chars", section.max_repeated_line_chars,
          {.meaning =
               "share of characters in lines seen before, blank lines left out (FineWeb's stricter limit)",
           .minimum = 0,
           .maximum = 1});
    visit("max_newline_word_ratio", section.max_newline_word_ratio,
          {.meaning = "newlines per word: lists (FineWeb)", .minimum = 0});
    visit("min_mean_line_chars", section.min_mean_line_chars,
          {.meaning = "mean length of a line that is not blank (EvalWeb: 10)",
           .unit = "characters",
           .minimum = 0});
    visit("min_han_share", section.min_han_share,
          {.meaning = "share of Chinese characters among all that are not white space (EvalWeb: 0.3)",
           .minimum = 0,
           .maximum = 1});
    visit(
        "max_repeated_13grams", section.max_repeated_13grams,
        {.meaning = "share of 13-character windows seen before (EvalWeb: 0.5)", .minimum = 0, .maximum = 1});
    visit("drop_traditional", section.drop_traditional,
          {.meaning = "drop Chinese text written in traditional characters (EvalWeb)"});
    visit("min_sentences", section.min_sentences, {.meaning = "sentences (C4: 5)", .minimum = 0});
    visit("drop_curly_bracket", section.drop_curly_bracket,
          {.meaning = "drop documents that hold a curly bracket (C4)"});
    visit("drop_lorem_ipsum", section.drop_lorem_ipsum,
          {.meaning = "drop documents that hold the filler text lorem ipsum (C4)"});
  }

  bool operator==(const CleanRules&) const = default;
};

/// FineWeb-2's Mandarin set, with EvalWeb's limits that do not contradict it.
inline CleanRules mandarin_rules() {
  CleanRules rules;
  rules.min_mean_word_length = 1;
  rules.max_mean_word_length = 5;
  rules.min_alpha_words = 0.735;
  rules.stop_words = {"的", "年", "在", "月", "是", "和", "日", "了", "於", "·",  "為",
                      "有", "被", "人", "中", "为", "他", "與", "後", "也", "而", "由"};
  rules.max_duplicate_lines = 0.287;
  rules.max_duplicate_paragraphs.reset();
  rules.max_duplicate_paragraph_chars.reset();
  rules.max_duplicate_line_chars.reset();
  rules.max_top_ngrams = {0.256, 0.201, 0.171};
  rules.max_duplicate_ngrams = {0.198, 0.182, 0.167, 0.154, 0.140, 0.127};
  rules.min_line_end_punctuation = 0.106;
  rules.max_short_lines.reset();
  rules.max_repeated_line_chars = 0.1;
  rules.max_newline_word_ratio = 0.178;
  rules.min_mean_line_chars = 10;
  rules.min_han_share = 0.3;
  rules.max_repeated_13grams = 0.5;
  return rules;
}

/// For languages with no published set here: no stop words, no word lengths, the loosest published repetition
/// limits.
inline CleanRules other_language_rules() {
  CleanRules rules;
  rules.min_mean_word_length.reset();
  rules.max_mean_word_length.reset();
  rules.min_alpha_words = 0.7;
  rules.min_stop_words.reset();
  rules.stop_words.clear();
  rules.max_repeated_line_chars = 0.1;
  return rules;
}

struct CleanCodeRules {
  std::optional<int64_t> min_lines = 5;
  std::optional<int64_t> max_lines = 20000;
  std::optional<double> min_alpha_chars = 0.25;
  std::optional<double> max_mean_line_chars = 100;
  std::optional<double> max_duplicate_lines = 0.6;
  std::optional<double> max_comment_share = 0.85;
  bool drop_unbalanced = true;

  static void describe(auto& section, auto& visit) {
    visit("min_lines", section.min_lines,
          {.meaning = "lines that are not blank", .unit = "lines", .minimum = 0});
    visit("max_lines", section.max_lines,
          {.meaning = "lines that are not blank", .unit = "lines", .minimum = 0});
    visit("min_alpha_chars", section.min_alpha_chars,
          {.meaning = "share of letters among the characters that are not white space",
           .minimum = 0,
           .maximum = 1});
    visit("max_mean_line_chars", section.max_mean_line_chars,
          {.meaning = "mean length of a line: minified code", .unit = "characters", .minimum = 1});
    visit("max_duplicate_lines", section.max_duplicate_lines,
          {.meaning = "share of lines of at least ten characters seen before", .minimum = 0, .maximum = 1});
    visit("max_comment_share", section.max_comment_share,
          {.meaning = "share of lines that are comments", .minimum = 0, .maximum = 1});
    visit("drop_unbalanced", section.drop_unbalanced,
          {.meaning = "drop code whose brackets, quotes or comments do not close"});
  }

  bool operator==(const CleanCodeRules&) const = default;
};

/// Personal data is replaced by a tag such as <EMAIL>; the surrounding text stays.
struct CleanPrivacy {
  bool email = true;
  bool ip_address = true;
  bool mobile_number = true;
  bool id_card = true;
  bool bank_card = true;
  bool mask_in_code = true;

  static void describe(auto& section, auto& visit) {
    visit("email", section.email, {.meaning = "mask e-mail addresses"});
    visit("ip_address", section.ip_address, {.meaning = "mask public IPv4 addresses"});
    visit("mobile_number", section.mobile_number, {.meaning = "mask Chinese mobile numbers"});
    visit("id_card", section.id_card,
          {.meaning = "mask Chinese resident identity numbers (birth date and check digit must hold)"});
    visit("bank_card", section.bank_card,
          {.meaning = "mask bank card numbers of 16 to 19 digits whose Luhn check digit holds"});
    visit("mask_in_code", section.mask_in_code, {.meaning = "mask inside source code too"});
  }

  bool operator==(const CleanPrivacy&) const = default;
};

struct CleanDuplicates {
  bool exact = true;
  bool near = true;
  int64_t bands = 14;
  int64_t rows = 8;
  int64_t ngram = 5;
  std::string chinese_unit = "character";
  double min_similarity = 0.7;
  bool mask_digits = false;
  int64_t seed = 1;

  static void describe(auto& section, auto& visit) {
    visit("exact", section.exact, {.meaning = "drop documents whose cleaned text occurred before"});
    visit("near", section.near,
          {.meaning = "drop near duplicates found by MinHash and locality-sensitive hashing"});
    visit("bands", section.bands,
          {.meaning = "bands of the MinHash signature", .minimum = 1, .maximum = 256});
    visit("rows", section.rows,
          {.meaning = "hashes per band; candidates appear around similarity (1/bands)^(1/rows)",
           .minimum = 1,
           .maximum = 64});
    visit("ngram", section.ngram,
          {.meaning = "words (characters in Chinese) per shingle", .minimum = 1, .maximum = 64});
    visit("chinese_unit", section.chinese_unit,
          {.meaning = "shingles of Chinese and Japanese text: single characters, or runs between punctuation",
           .choices = {"character", "phrase"}});
    visit("min_similarity", section.min_similarity,
          {.meaning = "candidates count as duplicates when the estimated Jaccard similarity reaches this; 0: "
                      "every candidate does",
           .minimum = 0,
           .maximum = 1});
    visit("mask_digits", section.mask_digits,
          {.meaning = "let all digits count as equal (FineWeb does; unwise for arithmetic)"});
    visit("seed", section.seed, {.meaning = "seed of the hash functions", .minimum = 0});
  }

  bool operator==(const CleanDuplicates&) const = default;
};

struct CleanConfig {
  std::vector<CleanInput> inputs;
  std::string output = "cleaned.jsonl";
  int64_t output_file_bytes = 0;
  std::string report;
  std::string report_html;
  std::string work_dir;
  bool keep_fields = true;
  int64_t max_line_bytes = 100 << 20;
  std::string invalid_text = "replace";
  double max_replaced_share = 0.01;
  std::string damaged_files = "stop";
  int64_t examples_per_rule = 3;
  int64_t example_chars = 160;
  int64_t threads = 0;
  CleanNormalise normalise;
  CleanBoilerplate boilerplate;
  CleanLanguage language;
  CleanRules english_rules;
  CleanRules chinese_rules = mandarin_rules();
  CleanRules other_rules = other_language_rules();
  CleanCodeRules code_rules;
  bool judge_math = false;
  CleanPrivacy privacy;
  CleanDuplicates duplicates;

  static void describe(auto& section, auto& visit) {
    visit("inputs", section.inputs,
          {.meaning = "what to read, in order; of duplicates the first is kept", .is_required = true});
    visit("output", section.output, {.meaning = "JSON lines to write; .gz and .zst compress"});
    visit("output_file_bytes", section.output_file_bytes,
          {.meaning = "start another file (name-00001.jsonl) beyond this size of text; 0: one file",
           .unit = "bytes",
           .minimum = 0});
    visit("report", section.report,
          {.meaning = "funnel report as JSON; empty: beside the output, .report.json"});
    visit("report_html", section.report_html,
          {.meaning = "the same as one self-contained HTML page; empty: none"});
    visit("work_dir", section.work_dir,
          {.meaning = "directory for stage files; empty: the output's name with .stages"});
    visit("keep_fields", section.keep_fields,
          {.meaning = "copy the other fields of a document to the output"});
    visit("max_line_bytes", section.max_line_bytes,
          {.meaning = "longest line, CSV record or text document; longer ones are skipped and counted",
           .unit = "bytes",
           .minimum = 1024,
           .maximum = 1 << 30});
    visit("invalid_text", section.invalid_text,
          {.meaning = "bytes that are not valid text: replace them by U+FFFD, or drop the document",
           .choices = {"replace", "drop"}});
    visit("max_replaced_share", section.max_replaced_share,
          {.meaning = "share of U+FFFD beyond which the document is dropped", .minimum = 0, .maximum = 1});
    visit("damaged_files", section.damaged_files,
          {.meaning =
               "a truncated or corrupt compressed file, or one of which no record can be read: stop with an "
               "error, or keep what was read and go on",
           .choices = {"stop", "keep_readable"}});
    visit("examples_per_rule", section.examples_per_rule,
          {.meaning = "removed documents shown per rule", .minimum = 0, .maximum = 100});
    visit("example_chars", section.example_chars,
          {.meaning = "length of an example", .unit = "characters", .minimum = 1, .maximum = 10000});
    visit("threads", section.threads, {.meaning = "threads; 0: all cores", .minimum = 0, .maximum = 4096});
    visit("normalise", section.normalise, {.meaning = "Unicode and white space"});
    visit("boilerplate", section.boilerplate,
          {.meaning = "markup, advertisements and other text that is no content"});
    visit("language", section.language, {.meaning = "recognition of language and code"});
    visit("english_rules", section.english_rules, {.meaning = "rules for English (Gopher and FineWeb)"});
    visit("chinese_rules", section.chinese_rules,
          {.meaning = "rules for Chinese (Mandarin set of FineWeb-2, EvalWeb)"});
    visit("other_rules", section.other_rules, {.meaning = "rules for every other language"});
    visit("code_rules", section.code_rules, {.meaning = "rules for source code"});
    visit("judge_math", section.judge_math,
          {.meaning =
               "hold worked arithmetic to min_alpha_words too; by default numbers may fill such a text"});
    visit("privacy", section.privacy, {.meaning = "masking of personal data"});
    visit("duplicates", section.duplicates, {.meaning = "exact and near duplicates"});
  }

  bool operator==(const CleanConfig&) const = default;
};

}  // namespace athanor::configs
