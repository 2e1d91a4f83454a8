// Writes the sample corpus to disk.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/file_system.h"

namespace athanor::synth {

enum class SynthFormat {
  kJsonLines,  ///< {"text", "source": "synth", "kind", "dirt"}
  kText,  ///< documents separated by a blank line, without blank lines inside (`documents: paragraph` reads
          ///< them)
};

struct SynthOptions {
  /// A file, by its suffix: .jsonl, .ndjson, .json, .txt, also with .gz or .zst. Without a suffix, with a
  /// slash at its end, or when it is there: a directory.
  std::string output;
  uint64_t num_documents = 0;  ///< 0: by bytes
  uint64_t num_bytes = 0;      ///< of text; the document that reaches it is the last
  uint64_t seed = 1;
  double dirt_share = 0.15;
  std::optional<SynthFormat> format;          ///< none: by the file's suffix; JSON lines in a directory
  uint64_t file_bytes = uint64_t{256} << 20;  ///< in a directory: size at which the next file starts
};

struct SynthSummary {
  uint64_t num_documents = 0, num_bytes = 0, num_dirty = 0;
  uint64_t chinese_bytes = 0, english_bytes = 0, code_bytes = 0,
           math_bytes = 0;  ///< mathematics also counts by language
  std::vector<std::string> files;
};

/// Generates on the compute threads; the files have the same bytes for any number of them. In a directory,
/// what is left of a longer corpus in the same format is removed. Errors: UsageError (neither or both sizes,
/// a share outside 0 to 1, a suffix that is unknown or contradicts the format), CannotWriteError, IoError.
SynthSummary write_corpus(const SynthOptions& options, core::FileSystem& fs);

}  // namespace athanor::synth
