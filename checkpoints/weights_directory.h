// A directory of weights in the Hugging Face layout: `model.safetensors`, or shards with
// `model.safetensors.index.json`. Pickled weights are never read.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoints/safetensors.h"
#include "checkpoints/tensor_info.h"
#include "core/file_system.h"

namespace athanor::checkpoints {

/// All tensors of a model, wherever they lie. Thread-safe once constructed.
///
/// Errors: MissingInputError (no directory), DataError: no weights, pickled weights, an index that names a
/// missing file, a file outside the directory, a tensor twice or a tensor that its shard does not hold, and
/// everything that is wrong inside a shard. A wrong `total_size` is only warned of: published models carry
/// such.
class WeightsDirectory {
 public:
  /// `path` is such a directory, or one `.safetensors` file.
  WeightsDirectory(core::FileSystem& fs, const std::string& path);

  const std::string& path() const { return path_; }
  /// Sorted by name.
  std::vector<TensorInfo> tensors() const;
  uint64_t num_bytes() const;
  bool contains(std::string_view name) const { return tensors_.contains(name); }
  /// DataError when there is none of that name.
  const TensorInfo& at(std::string_view name) const;

  /// Fills `out` from byte `offset` of the tensor on.
  void read(std::string_view name, uint64_t offset, std::span<std::byte> out) const;
  /// Without a copy; valid as long as this object.
  std::span<const std::byte> view(std::string_view name) const;

 private:
  struct Place {
    const SafetensorsFile* file;
    const SafetensorsEntry* entry;
  };

  void open_directory(core::FileSystem& fs);
  void open_single(core::FileSystem& fs, const std::string& file_path);
  void open_sharded(core::FileSystem& fs, const std::string& index_path);
  const SafetensorsFile& open_shard(core::FileSystem& fs, const std::string& name,
                                    const std::string& index_path);
  const Place& place(std::string_view name) const;

  std::string path_;
  std::map<std::string, std::unique_ptr<SafetensorsFile>> shards_;
  std::map<std::string, Place, std::less<>> tensors_;
};

/// Hands the bytes of one tensor to a file, in one or several stretches.
using AppendBytes = std::function<void(std::span<const std::byte>)>;
/// Asked once for each tensor, in the order of the files; must append exactly the tensor's bytes.
using TensorSource = std::function<void(const TensorInfo&, const AppendBytes&)>;

/// Writes weights into `directory` (created when missing): one `model.safetensors` when everything fits into
/// `max_shard_bytes`, else `model-00001-of-0000N.safetensors` and the index. Tensors keep the order given; a
/// tensor larger than the limit gets a shard of its own. All files are written under temporary names first;
/// then the earlier weights make way, so that a directory never mixes two models. Errors: CannotWriteError,
/// IoError.
void write_weights(core::FileSystem& fs, const std::string& directory, std::span<const TensorInfo> tensors,
                   const TensorSource& source, uint64_t max_shard_bytes);

}  // namespace athanor::checkpoints
