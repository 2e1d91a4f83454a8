// What `manifest.json` and the parts that precede it say (docs/checkpoint_format.md is the page for readers).
//
// Both are JSON with one file or tensor per line and end with the digest of everything before that digest, so
// a text that parses here is whole and undamaged. Parsing checks all that can be known without the data:
// versions, names that stay inside the directory, boxes inside their tensors, and that the slices of every
// tensor cover it exactly once.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoints/layout.h"
#include "checkpoints/tensor_info.h"

namespace athanor::checkpoints {

constexpr uint64_t kFormatVersion = 1;
constexpr std::string_view kManifestName = "manifest.json";

/// Where one piece of a tensor is kept: under `key` in the file of that index.
struct SavedSlice {
  uint64_t file_idx = 0;
  std::string key;
  Piece piece;
};

struct SavedTensor {
  std::string name;
  std::string kind;  ///< "weight", "exp_avg", "exp_avg_sq", "buffer", ...
  Dtype dtype = Dtype::kF32;
  Shape shape;  ///< of the whole tensor
  std::vector<SavedSlice> slices;
};

struct SavedFile {
  std::string name;
  uint64_t num_bytes = 0;
  std::string digest;  ///< XXH3-128, 32 hexadecimal digits

  bool operator==(const SavedFile&) const = default;
};

/// How far the run had come.
struct Progress {
  uint64_t step = 0;
  uint64_t consumed_samples = 0;
  uint64_t consumed_tokens = 0;

  bool operator==(const Progress&) const = default;
};

struct Manifest {
  std::string run_id;
  Progress progress;
  uint64_t num_ranks = 1;             ///< that wrote it
  std::string training_state = "{}";  ///< a JSON object of the trainer's making
  std::string config;                 ///< the resolved configuration, as YAML text
  std::vector<SavedFile> files;
  std::vector<SavedTensor> tensors;  ///< sorted by name, then kind

  uint64_t num_bytes() const;
};

/// One rank's contribution, written when its files are on disk.
struct Part {
  std::string run_id;
  std::string start_id;  ///< of the start of the program that wrote it, and which attempt
  uint64_t step = 0;
  uint64_t rank = 0;
  uint64_t num_ranks = 1;
  std::vector<SavedFile> files;
  std::vector<SavedTensor> tensors;
};

std::string to_text(const Manifest& manifest);
std::string to_text(const Part& part);

/// Throws DataError that names `origin` and the place.
Manifest parse_manifest(std::string_view text, const std::string& origin);
Part parse_part(std::string_view text, const std::string& origin);

/// Throws DataError unless the slices cover the tensor exactly once.
void check_tiling(const SavedTensor& tensor, const std::string& origin);

/// Sorted by name, then kind.
bool precedes_in_manifest(const SavedTensor& a, const SavedTensor& b);

}  // namespace athanor::checkpoints
