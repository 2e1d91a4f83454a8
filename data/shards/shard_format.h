// Token shards: what the HDF5 file holds. `docs/data_formats.md` is the page for people.
//
//   /tokens            uint16 (vocabulary <= 65,536) or uint32, [num_tokens]; documents one after the other
//   /document_offsets  uint64, [num_documents + 1]; first 0, never falling, last num_tokens
//   /source            uint16, [num_documents], optional; row of /source_names
//   /language          uint16, [num_documents], optional; row of /language_names
//   /score             float32, [num_documents], optional; NaN: none given
//   /source_names, /language_names   fixed-length strings, [number of names]
//
// Root attributes: format_version, vocabulary_size (uint64), tokenizer_digest, content_digest (fixed-length
// strings).
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

namespace athanor::data {

constexpr uint64_t kShardFormatVersion = 1;

constexpr std::string_view kTokens = "tokens";
constexpr std::string_view kDocumentOffsets = "document_offsets";
constexpr std::string_view kSource = "source";
constexpr std::string_view kSourceNames = "source_names";
constexpr std::string_view kLanguage = "language";
constexpr std::string_view kLanguageNames = "language_names";
constexpr std::string_view kScore = "score";

/// The datasets in the order in which the content digest takes them in.
inline constexpr std::array kShardDatasets = {kTokens,   kDocumentOffsets, kSource, kSourceNames,
                                              kLanguage, kLanguageNames,   kScore};

constexpr std::string_view kFormatVersionAttribute = "format_version";
constexpr std::string_view kVocabularySizeAttribute = "vocabulary_size";
constexpr std::string_view kTokenizerDigestAttribute = "tokenizer_digest";
constexpr std::string_view kContentDigestAttribute = "content_digest";

/// A vocabulary of up to this many tokens is stored in two bytes per token.
constexpr uint64_t kMaxNarrowVocabulary = 65536;

/// Different sources, and different languages, that one shard may name.
constexpr uint64_t kMaxLabelNames = 65535;

/// Length of such a name.
constexpr size_t kMaxLabelBytes = 256;

/// What may be known of a document besides its tokens.
struct DocumentLabels {
  std::string source = {};                                ///< a category, not an address; empty: unknown
  std::string language = {};                              ///< such as zh, en, code; empty: unknown
  float score = std::numeric_limits<float>::quiet_NaN();  ///< quality; NaN: none given
};

}  // namespace athanor::data
