#include "checkpoints/part.h"

#include <algorithm>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "checkpoints/safetensors_header.h"
#include "core/digest.h"
#include "core/error.h"

namespace athanor::checkpoints {
namespace {

// A stretch is short, so that the writer never holds a core or the disk's queue for long.
constexpr uint64_t kStretchBytes = uint64_t{1} << 20;
// What is handed to the disk at once; without it the system collects everything and then writes in one burst.
constexpr uint64_t kSyncBytes = uint64_t{64} << 20;

void check_space(core::FileSystem& fs, const std::string& directory, uint64_t needed_bytes) {
  const uint64_t free = fs.free_bytes(directory);
  if (free < needed_bytes)
    throw core::IoError(
        "{}: no space for a checkpoint: it needs {} bytes, {} are free; free some, or keep fewer", directory,
        needed_bytes, free);
}

std::vector<TensorInfo> infos_of(const HostSnapshot& snapshot, const StoredFile& file) {
  std::vector<TensorInfo> infos;
  for (uint64_t i = file.first_slice; i < file.last_slice; ++i)
    if (snapshot.slices()[i].num_bytes > 0) infos.push_back(snapshot.slices()[i].info_in_file());
  return infos;
}

SafetensorsMetadata metadata_of(const SaveIdentity& identity) {
  return {{"format", "athanor-checkpoint"},
          {"rank", std::to_string(identity.rank)},
          {"run_id", identity.run_id},
          {"step", std::to_string(identity.step)}};
}

// A file that is digested as it is written.
class DigestedFile {
 public:
  DigestedFile(core::FileSystem& fs, const std::string& path) : file_(fs.create(path)) {}

  void append(std::span<const std::byte> bytes) {
    digest_.update(bytes);
    file_->append(bytes);
    num_bytes_ += bytes.size();
    unsynced_bytes_ += bytes.size();
    if (unsynced_bytes_ >= kSyncBytes) sync();
  }
  SavedFile finish(std::string name) {
    sync();
    file_->close();
    return {std::move(name), num_bytes_, digest_.hex()};
  }

 private:
  void sync() {
    file_->sync();
    unsynced_bytes_ = 0;
  }

  std::unique_ptr<core::WritableFile> file_;
  core::Digest digest_;
  uint64_t num_bytes_ = 0;
  uint64_t unsynced_bytes_ = 0;
};

SavedFile write_file(core::FileSystem& fs, const std::string& directory, const HostSnapshot& snapshot,
                     const StoredFile& stored, const SaveIdentity& identity,
                     const std::atomic<bool>& cancelled) {
  DigestedFile file(fs, directory + "/" + stored.name);
  const std::string header = make_safetensors_header(infos_of(snapshot, stored), metadata_of(identity));
  file.append(std::as_bytes(std::span(header.data(), header.size())));
  const auto bytes = snapshot.bytes(stored);
  for (uint64_t at = 0; at < bytes.size(); at += kStretchBytes) {
    if (cancelled.load(std::memory_order_relaxed)) throw SaveCancelled{};
    file.append(bytes.subspan(at, std::min<uint64_t>(kStretchBytes, bytes.size() - at)));
  }
  return file.finish(stored.name);
}

uint64_t file_of_slice(const HostSnapshot& snapshot, uint64_t slice_idx) {
  const auto& files = snapshot.files();
  const auto after =
      std::upper_bound(files.begin(), files.end(), slice_idx,
                       [](uint64_t index, const StoredFile& file) { return index < file.last_slice; });
  return static_cast<uint64_t>(after - files.begin());
}

std::vector<SavedTensor> tensors_of(const HostSnapshot& snapshot) {
  std::map<std::pair<std::string, std::string>, SavedTensor> tensors;
  for (uint64_t i = 0; i < snapshot.slices().size(); ++i) {
    const StoredSlice& slice = snapshot.slices()[i];
    SavedTensor& tensor = tensors[{slice.name, slice.kind}];
    if (tensor.name.empty()) tensor = {slice.name, slice.kind, slice.dtype, slice.global_shape, {}};
    ATHANOR_CHECK(tensor.dtype == slice.dtype && tensor.shape == slice.global_shape,
                  "{} ({}) is saved with two types or shapes", slice.name, slice.kind);
    if (slice.num_bytes > 0) tensor.slices.push_back({file_of_slice(snapshot, i), slice.key, slice.piece});
  }
  std::vector<SavedTensor> result;
  for (auto& [name, tensor] : tensors) result.push_back(std::move(tensor));
  return result;
}

}  // namespace

std::string part_name(int rank) {
  return fmt::format("part-{:05d}.json", rank);
}
std::string failure_name(int rank) {
  return fmt::format("failed-{:05d}.txt", rank);
}

void write_part(core::FileSystem& fs, const std::string& directory, const HostSnapshot& snapshot,
                const SaveIdentity& identity, const std::atomic<bool>& cancelled) {
  check_space(fs, directory, snapshot.num_bytes());
  Part part{identity.run_id,
            identity.start_id,
            identity.step,
            static_cast<uint64_t>(identity.rank),
            static_cast<uint64_t>(identity.num_ranks),
            {},
            tensors_of(snapshot)};
  for (const StoredFile& file : snapshot.files())
    part.files.push_back(write_file(fs, directory, snapshot, file, identity, cancelled));
  core::write_file_atomically(fs, directory + "/" + part_name(identity.rank), to_text(part));
}

}  // namespace athanor::checkpoints
