// Hand-written splitters for the rules of well-known models: they give the pieces that their regular
// expressions give under behaviour "Isolated", about fifty times faster than a regular expression engine.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

namespace athanor::data::tokenizer {

enum class ScannerKind {
  kGpt2,       ///< the rule built into ByteLevel (use_regex)
  kGpt4,       ///< cl100k and Llama 3: digits in groups of up to three
  kQwen2,      ///< as kGpt4, digits one by one
  kDeepseek3,  ///< the three rules of DeepSeek-V3, one after the other
};

/// The scanner that equals a sequence of Split rules (Isolated, not inverted) given as Oniguruma patterns.
std::optional<ScannerKind> scanner_for(const std::vector<std::string_view>& patterns);

/// The patterns a scanner stands for: what `scanner_for` recognises and a tokenizer.json holds.
std::vector<std::string_view> patterns_of(ScannerKind kind);

/// Appends the pieces of `text` (valid UTF-8) to `pieces`, in order and without gaps; none for an empty text.
void scan_pieces(ScannerKind kind, std::string_view text, std::vector<std::string_view>& pieces);

}  // namespace athanor::data::tokenizer
