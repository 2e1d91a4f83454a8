// Reads a checkpoint into any layout: the pieces that were saved by any number of ranks are put together into
// whatever piece of a tensor a rank of now needs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checkpoints/manifest.h"
#include "checkpoints/safetensors.h"
#include "core/file_system.h"

namespace athanor::checkpoints {

enum class Verify {
  kSizes,    ///< the manifest is whole, every file is there with the right size, none is too many
  kDigests,  ///< and every byte is what was written (reads everything once, on all compute threads)
};

/// One checkpoint. Thread-safe. Errors: MissingInputError (no such directory), DataError (anything that is
/// not as the manifest says; the message names the file and why), IoError (a read failed).
class CheckpointReader {
 public:
  CheckpointReader(core::FileSystem& fs, const std::string& path, Verify verify = Verify::kDigests);
  ~CheckpointReader();
  CheckpointReader(const CheckpointReader&) = delete;
  CheckpointReader& operator=(const CheckpointReader&) = delete;

  const std::string& path() const { return path_; }
  const Manifest& manifest() const { return manifest_; }

  /// Sorted by name, then kind.
  std::span<const SavedTensor> tensors() const { return manifest_.tensors; }
  const SavedTensor* find(std::string_view name, std::string_view kind) const;
  const SavedTensor& at(std::string_view name, std::string_view kind) const;

  /// Fills `out` with elements [begin, end) of the row-major global tensor, as `dtype` (that of the tensor,
  /// or F32 and BF16 for one another). `out` holds exactly these elements.
  void read_range(const SavedTensor& tensor, uint64_t begin, uint64_t end, Dtype dtype,
                  std::span<std::byte> out) const;

  /// The same for a piece of a box of the global tensor (a tensor-parallel share, or the ZeRO slice of one).
  void read_piece(const SavedTensor& tensor, const Piece& piece, Dtype dtype, std::span<std::byte> out) const;

  /// Checks one file against the manifest, by index: size, digest, header, and that every slice is in it as
  /// promised. For callers that share the work among ranks after opening with kSizes.
  void verify_file(uint64_t file_idx) const;

  /// Every complaint there is, for a report; empty when all is well.
  std::vector<std::string> find_problems() const;

 private:
  std::shared_ptr<const SafetensorsFile> file(uint64_t file_idx) const;
  std::string file_path(uint64_t file_idx) const;
  void check_directory() const;
  void check_size(uint64_t file_idx) const;
  void check_digest(uint64_t file_idx) const;
  void check_origin(const SafetensorsFile& file) const;
  void check_slices(uint64_t file_idx) const;
  std::string origin_hint(uint64_t file_idx) const;
  void read_stored(const SavedTensor& tensor, const Piece& piece, std::span<std::byte> out) const;
  void read_slice(const SavedTensor& tensor, const SavedSlice& slice, const Piece& piece,
                  std::span<std::byte> out) const;

  core::FileSystem& fs_;
  std::string path_;
  Manifest manifest_;
  std::vector<std::vector<std::pair<uint32_t, uint32_t>>> slices_of_file_;  // (tensor, slice)

  // The files in use, the latest first: as many as fit well under the limit of open files.
  mutable std::mutex mutex_;
  mutable std::list<std::pair<uint64_t, std::shared_ptr<const SafetensorsFile>>> open_files_;
};

/// Reads and checks the manifest alone.
Manifest read_manifest(core::FileSystem& fs, const std::string& checkpoint_path);

struct FoundCheckpoint {
  std::string path;
  uint64_t step = 0;
  std::vector<std::string> passed_over;  ///< why each newer one is no good
};

/// The newest checkpoint in `directory` that holds what its manifest says. When newer ones are no good, one
/// warning says why. Nothing when there is no checkpoint at all; DataError when there are some and none is
/// good (a run that started from nothing would overwrite what can perhaps be saved). Damage alone leads to an
/// older one; IoError does not. What was found may then be opened with kSizes: its digests need no second
/// check.
std::optional<FoundCheckpoint> find_newest_good(core::FileSystem& fs, const std::string& directory,
                                                Verify verify = Verify::kDigests);

}  // namespace athanor::checkpoints
