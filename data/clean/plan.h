// What a run of `clean` is going to read, and under which names it leaves its results.
#pragma once

#include <string>
#include <vector>

#include "configs/clean_config.h"
#include "core/file_system.h"
#include "data/clean/stage_files.h"
#include "data/text/document_reader.h"

namespace athanor::clean {

struct InputFile {
  std::string path;
  std::string source;  ///< the configured name; empty: the document's own, else `stem`
  std::string stem;    ///< the file's name without directory and suffixes
  text::ReaderOptions reader;
};

/// The files of all inputs, patterns expanded and sorted. Throws MissingInputError for a pattern without a
/// file.
std::vector<InputFile> list_inputs(const configs::CleanConfig& config);

std::string work_directory(const configs::CleanConfig& config);
std::string report_path(const configs::CleanConfig& config);

/// Makes the directories of the outputs. Throws ConfigError when an output is an input or another output,
/// CannotWriteError when one cannot be replaced. Done first, so that it does not come after hours of
/// cleaning.
void prepare_outputs(const configs::CleanConfig& config, core::FileSystem& fs);

/// `output` itself, or with -00000 before its suffixes when output is split.
std::string output_path(const configs::CleanConfig& config, size_t file_idx);

/// The header that the signature file of `shard` must have: it holds the digest of everything that decides
/// the result.
SignatureHeader signature_header(const configs::CleanConfig& config, core::FileSystem& fs,
                                 const std::vector<InputFile>& inputs, const Shard& shard);

}  // namespace athanor::clean
