#include "checkpoints/publish.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "checkpoints/bounded_json.h"
#include "checkpoints/checkpoint_directory.h"
#include "core/error.h"

namespace athanor::checkpoints {
namespace {

using core::DataError;
using Clock = std::chrono::steady_clock;

constexpr auto kFirstPause = std::chrono::milliseconds(2);
constexpr auto kLongestPause = std::chrono::milliseconds(100);
constexpr uint64_t kMaxPartBytes = uint64_t{512} << 20;
constexpr uint64_t kMaxFailureBytes = 64 << 10;

// ---- waiting for the parts ----

std::vector<int> missing_ranks(const std::set<std::string>& names, int num_ranks) {
  std::vector<int> missing;
  for (int rank = 0; rank < num_ranks; ++rank)
    if (!names.contains(part_name(rank))) missing.push_back(rank);
  return missing;
}

void throw_if_a_rank_gave_up(core::FileSystem& fs, const std::string& directory,
                             const std::set<std::string>& names, const std::vector<int>& missing) {
  for (const int rank : missing)
    if (names.contains(failure_name(rank)))
      throw core::IoError("rank {} could not write its part: {}", rank,
                          core::read_text_file(fs, directory + "/" + failure_name(rank), kMaxFailureBytes));
}

void wait_for_parts(core::FileSystem& fs, const std::string& directory, const PublishRequest& request,
                    const std::atomic<bool>& cancelled) {
  const auto deadline = Clock::now() + std::chrono::duration<double>(request.deadline_s);
  for (auto pause = kFirstPause;; pause = std::min(pause * 2, kLongestPause)) {
    const auto listed = fs.list(directory);
    const std::set<std::string> names(listed.begin(), listed.end());
    const auto missing = missing_ranks(names, request.identity.num_ranks);
    if (missing.empty()) return;
    throw_if_a_rank_gave_up(fs, directory, names, missing);
    if (Clock::now() >= deadline)
      throw core::CommError(
          "step {}: {} of {} ranks have not written their part of the checkpoint after {} s, first "
          "of them rank {}; is the directory {} shared by all hosts?",
          request.identity.step, missing.size(), request.identity.num_ranks, request.deadline_s,
          missing.front(), request.directory);
    if (cancelled.load()) throw SaveCancelled{};
    std::this_thread::sleep_for(pause);
  }
}

// ---- joining them ----

void check_identity(const Part& part, const SaveIdentity& identity, int rank, const std::string& path) {
  if (part.run_id != identity.run_id || part.start_id != identity.start_id || part.step != identity.step ||
      part.rank != static_cast<uint64_t>(rank) || part.num_ranks != static_cast<uint64_t>(identity.num_ranks))
    throw DataError(
        "{}: a part of another save: expected run {} ({}), step {}, rank {} of {}; found run {} ({}), step "
        "{}, "
        "rank {} of {}",
        path, identity.run_id, identity.start_id, identity.step, rank, identity.num_ranks,
        printable(part.run_id), printable(part.start_id), part.step, part.rank, part.num_ranks);
}

using TensorsByName = std::map<std::pair<std::string, std::string>, SavedTensor>;

void add_tensor(TensorsByName& tensors, SavedTensor tensor, uint64_t first_file, const std::string& path) {
  for (SavedSlice& slice : tensor.slices) slice.file_idx += first_file;
  const auto [at, is_new] = tensors.try_emplace({tensor.name, tensor.kind}, tensor);
  if (is_new) return;
  SavedTensor& known = at->second;
  if (known.dtype != tensor.dtype || known.shape != tensor.shape)
    throw DataError("{}: tensor {} ({}): {} of shape {} here, {} of shape {} on another rank", path,
                    printable(tensor.name), tensor.kind, dtype_name(tensor.dtype), to_string(tensor.shape),
                    dtype_name(known.dtype), to_string(known.shape));
  known.slices.insert(known.slices.end(), tensor.slices.begin(), tensor.slices.end());
}

void add_part(Manifest& manifest, TensorsByName& tensors, Part part, const std::string& path) {
  const uint64_t first_file = manifest.files.size();
  manifest.files.insert(manifest.files.end(), part.files.begin(), part.files.end());
  for (SavedTensor& tensor : part.tensors) add_tensor(tensors, std::move(tensor), first_file, path);
}

void check_files(core::FileSystem& fs, const std::string& directory, const std::vector<SavedFile>& files) {
  std::set<std::string> names;
  for (const SavedFile& file : files) {
    if (!names.insert(file.name).second)
      throw DataError("{}: two ranks name the file {}", directory, file.name);
    const uint64_t found = fs.file_size(directory + "/" + file.name);
    if (found != file.num_bytes)
      throw DataError("{}/{}: {} bytes, expected {}", directory, file.name, found, file.num_bytes);
  }
}

Manifest join_parts(core::FileSystem& fs, const std::string& directory, const PublishRequest& request) {
  Manifest manifest{request.identity.run_id,
                    request.progress,
                    static_cast<uint64_t>(request.identity.num_ranks),
                    request.training_state,
                    request.config,
                    {},
                    {}};
  TensorsByName tensors;
  for (int rank = 0; rank < request.identity.num_ranks; ++rank) {
    const std::string path = directory + "/" + part_name(rank);
    Part part = parse_part(core::read_text_file(fs, path, kMaxPartBytes), path);
    check_identity(part, request.identity, rank, path);
    add_part(manifest, tensors, std::move(part), path);
  }
  check_files(fs, directory, manifest.files);
  for (auto& [name, tensor] : tensors) {
    check_tiling(tensor, directory);
    manifest.tensors.push_back(std::move(tensor));
  }
  return manifest;
}

// ---- making it visible ----

void write_manifest(core::FileSystem& fs, const std::string& directory, const Manifest& manifest) {
  const auto file = fs.create(directory + "/" + std::string(kManifestName));
  file->append(std::string_view(to_text(manifest)));
  file->sync();
  file->close();
}

void move_into_place(core::FileSystem& fs, const PublishRequest& request, const std::string& from,
                     const std::string& to) {
  const std::string replaced = fmt::format("{}.replaced-{}", to, request.identity.start_id);
  const bool replaces = fs.exists(to);
  if (replaces) fs.rename(to, replaced);
  try {
    fs.rename(from, to);
  } catch (const core::Error&) {
    if (replaces) fs.rename(replaced, to);
    throw;
  }
  fs.sync_directory(request.directory);
  if (replaces) fs.remove_all(replaced);
}

}  // namespace

std::string temporary_checkpoint_name(const SaveIdentity& identity) {
  return fmt::format("{}.tmp-{}", checkpoint_name(identity.step), identity.start_id);
}

std::string publish(core::FileSystem& fs, const PublishRequest& request, const std::atomic<bool>& cancelled) {
  const std::string temporary = request.directory + "/" + temporary_checkpoint_name(request.identity);
  const std::string path = request.directory + "/" + checkpoint_name(request.identity.step);
  wait_for_parts(fs, temporary, request, cancelled);
  const Manifest manifest = join_parts(fs, temporary, request);
  write_manifest(fs, temporary, manifest);
  for (int rank = 0; rank < request.identity.num_ranks; ++rank)
    fs.remove_all(temporary + "/" + part_name(rank));
  fs.sync_directory(temporary);
  move_into_place(fs, request, temporary, path);
  return path;
}

}  // namespace athanor::checkpoints
