#include "checkpoints/checkpoint_reader.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <set>

#include <fmt/format.h>

#include "checkpoints/bounded_json.h"
#include "checkpoints/checkpoint_directory.h"
#include "checkpoints/file_names.h"
#include "core/digest.h"
#include "core/error.h"
#include "core/log.h"
#include "core/parallel_for.h"

namespace athanor::checkpoints {
namespace {

using core::DataError;

constexpr uint64_t kMaxManifestBytes = uint64_t{512} << 20;
constexpr uint64_t kDigestStretchBytes = uint64_t{4} << 20;
constexpr uint64_t kConvertElements = uint64_t{1} << 20;
constexpr uint64_t kWindowBytes = uint64_t{1} << 20;
constexpr size_t kMaxOpenFiles = 128;

std::string digest_of_file(core::FileSystem& fs, const std::string& path) {
  const auto file = fs.open(path);
  std::vector<std::byte> buffer(std::min<uint64_t>(kDigestStretchBytes, file->size()));
  core::Digest digest;
  for (uint64_t at = 0; at < file->size(); at += buffer.size()) {
    const std::span<std::byte> stretch(buffer.data(), std::min<uint64_t>(buffer.size(), file->size() - at));
    file->read(at, stretch);
    digest.update(stretch);
  }
  return digest.hex();
}

// Reads ascending stretches of one stored tensor: long ones straight, short ones (the rows of a column slice)
// through a window, so that they do not cost one system call each.
class StretchReader {
 public:
  StretchReader(const SafetensorsFile& file, const SafetensorsEntry& entry) : file_(file), entry_(entry) {}

  void read(uint64_t offset, std::span<std::byte> out) {
    if (out.size() >= kWindowBytes / 4) return file_.read(entry_, offset, out);
    if (offset < window_begin_ || offset + out.size() > window_begin_ + window_.size()) fill(offset);
    std::memcpy(out.data(), window_.data() + (offset - window_begin_), out.size());
  }

 private:
  void fill(uint64_t offset) {
    window_.resize(std::min(kWindowBytes, entry_.end - entry_.begin - offset));
    window_begin_ = offset;
    file_.read(entry_, offset, window_);
  }

  const SafetensorsFile& file_;
  const SafetensorsEntry& entry_;
  std::vector<std::byte> window_;
  uint64_t window_begin_ = 0;
};

// A regular file where the name says, nothing that leads elsewhere.
void check_is_file(core::FileSystem& fs, const std::string& path) {
  if (is_symbolic_link(path))
    throw DataError("{}: a symbolic link; a checkpoint holds plain files only", path);
  if (!fs.exists(path)) throw DataError("{}: the file is missing", path);
  if (fs.is_directory(path)) throw DataError("{}: a file was expected, this is a directory", path);
}

}  // namespace

Manifest read_manifest(core::FileSystem& fs, const std::string& checkpoint_path) {
  const std::string path = checkpoint_path + "/" + std::string(kManifestName);
  if (!fs.is_directory(checkpoint_path))
    throw core::MissingInputError("{}: no such checkpoint directory; check the path", checkpoint_path);
  check_is_file(fs, path);
  return parse_manifest(core::read_text_file(fs, path, kMaxManifestBytes), path);
}

// ---- opening and checking ----

CheckpointReader::CheckpointReader(core::FileSystem& fs, const std::string& path, Verify verify)
    : fs_(fs), path_(path), manifest_(read_manifest(fs, path)), slices_of_file_(manifest_.files.size()) {
  for (uint32_t t = 0; t < manifest_.tensors.size(); ++t)
    for (uint32_t s = 0; s < manifest_.tensors[t].slices.size(); ++s)
      slices_of_file_[manifest_.tensors[t].slices[s].file_idx].emplace_back(t, s);
  check_directory();
  for (uint64_t i = 0; i < manifest_.files.size(); ++i) check_size(i);
  if (verify == Verify::kDigests)
    core::parallel_for(static_cast<int64_t>(manifest_.files.size()),
                       [&](int64_t i) { verify_file(static_cast<uint64_t>(i)); });
}

CheckpointReader::~CheckpointReader() = default;

std::string CheckpointReader::file_path(uint64_t file_idx) const {
  return path_ + "/" + manifest_.files[file_idx].name;
}

void CheckpointReader::check_directory() const {
  const std::string name = path_.substr(path_.find_last_of('/') + 1);
  if (const auto step = step_of_name(name); step && *step != manifest_.progress.step)
    throw DataError("{}: named for step {}, its manifest is of step {}", path_, *step,
                    manifest_.progress.step);
  std::set<std::string_view> known;
  for (const SavedFile& file : manifest_.files) known.insert(file.name);
  for (const std::string& found : fs_.list(path_))
    if (found.ends_with(".safetensors") && !known.contains(found))
      throw DataError("{}/{}: the manifest does not know this file; is it from another checkpoint?", path_,
                      found);
}

void CheckpointReader::check_size(uint64_t file_idx) const {
  const std::string path = file_path(file_idx);
  check_is_file(fs_, path);
  const uint64_t found = fs_.file_size(path), expected = manifest_.files[file_idx].num_bytes;
  if (found != expected)
    throw DataError("{}: {} bytes, expected {}{}: {}", path, found, expected, origin_hint(file_idx),
                    found < expected ? "the file was cut short" : "the file has grown");
}

void CheckpointReader::check_digest(uint64_t file_idx) const {
  const std::string found = digest_of_file(fs_, file_path(file_idx)),
                    &expected = manifest_.files[file_idx].digest;
  if (found != expected)
    throw DataError("{}: damaged: its digest is {}, expected {}{}", file_path(file_idx), found, expected,
                    origin_hint(file_idx));
}

// When a file is whole but not the one that was written, its own header often tells where it came from.
std::string CheckpointReader::origin_hint(uint64_t file_idx) const {
  try {
    check_origin(SafetensorsFile(fs_, file_path(file_idx)));
    return "";
  } catch (const core::Error& error) {
    return fmt::format(" ({})", error.what());
  }
}

void CheckpointReader::check_origin(const SafetensorsFile& file) const {
  const auto value = [&](const char* key) {
    const auto at = file.metadata().find(key);
    return at == file.metadata().end() ? std::string("nothing") : at->second;
  };
  if (value("run_id") != manifest_.run_id)
    throw DataError("{}: a file of another run: expected {}, found {}", file.path(),
                    printable(manifest_.run_id), printable(value("run_id")));
  if (value("step") != std::to_string(manifest_.progress.step))
    throw DataError("{}: a file of another step: expected {}, found {}", file.path(), manifest_.progress.step,
                    printable(value("step")));
}

void CheckpointReader::check_slices(uint64_t file_idx) const {
  const auto opened = file(file_idx);
  check_origin(*opened);
  for (const auto& [t, s] : slices_of_file_[file_idx]) {
    const SavedTensor& tensor = manifest_.tensors[t];
    const SavedSlice& slice = tensor.slices[s];
    const SafetensorsEntry& entry = opened->at(slice.key);
    if (entry.info.dtype != tensor.dtype || num_elements(entry.info.shape) != slice.piece.size())
      throw DataError("{}: {}: {} of shape {}, the manifest expects {} elements of {}", opened->path(),
                      printable(slice.key), dtype_name(entry.info.dtype), to_string(entry.info.shape),
                      slice.piece.size(), dtype_name(tensor.dtype));
  }
}

void CheckpointReader::verify_file(uint64_t file_idx) const {
  check_size(file_idx);
  check_digest(file_idx);
  check_slices(file_idx);
}

std::vector<std::string> CheckpointReader::find_problems() const {
  std::vector<std::string> problems(manifest_.files.size());
  core::parallel_for(static_cast<int64_t>(problems.size()), [&](int64_t i) {
    try {
      verify_file(static_cast<uint64_t>(i));
    } catch (const core::Error& error) {
      problems[static_cast<size_t>(i)] = error.what();
    }
  });
  std::erase(problems, "");
  return problems;
}

std::shared_ptr<const SafetensorsFile> CheckpointReader::file(uint64_t file_idx) const {
  std::lock_guard lock(mutex_);
  const auto known = std::find_if(open_files_.begin(), open_files_.end(),
                                  [&](const auto& entry) { return entry.first == file_idx; });
  if (known != open_files_.end()) {
    open_files_.splice(open_files_.begin(), open_files_, known);
    return open_files_.front().second;
  }
  if (open_files_.size() == kMaxOpenFiles) open_files_.pop_back();
  open_files_.emplace_front(file_idx, std::make_shared<const SafetensorsFile>(fs_, file_path(file_idx)));
  return open_files_.front().second;
}

// ---- finding and reading tensors ----

const SavedTensor* CheckpointReader::find(std::string_view name, std::string_view kind) const {
  const auto wanted = std::pair(name, kind);
  const auto key = [](const SavedTensor& tensor) {
    return std::pair<std::string_view, std::string_view>(tensor.name, tensor.kind);
  };
  const auto found =
      std::lower_bound(manifest_.tensors.begin(), manifest_.tensors.end(), wanted,
                       [&](const SavedTensor& tensor, const auto& want) { return key(tensor) < want; });
  return found != manifest_.tensors.end() && key(*found) == wanted ? &*found : nullptr;
}

const SavedTensor& CheckpointReader::at(std::string_view name, std::string_view kind) const {
  const SavedTensor* const tensor = find(name, kind);
  if (!tensor)
    throw DataError("{}: holds no {} of tensor {}; was it saved by another model or optimizer?", path_, kind,
                    printable(name));
  return *tensor;
}

void CheckpointReader::read_range(const SavedTensor& tensor, uint64_t begin, uint64_t end, Dtype dtype,
                                  std::span<std::byte> out) const {
  read_piece(tensor, {whole_box(tensor.shape), begin, end}, dtype, out);
}

void CheckpointReader::read_piece(const SavedTensor& tensor, const Piece& piece, Dtype dtype,
                                  std::span<std::byte> out) const {
  ATHANOR_CHECK(
      fits(piece.box, tensor.shape) && piece.begin <= piece.end && piece.end <= num_elements(piece.box.shape),
      "[{}, {}) of a box of shape {} is not inside {} of shape {}", piece.begin, piece.end,
      to_string(piece.box.shape), tensor.name, to_string(tensor.shape));
  ATHANOR_CHECK(out.size() == piece.size() * element_bytes(dtype), "{} bytes of room for {} elements of {}",
                out.size(), piece.size(), dtype_name(dtype));
  if (!can_convert(tensor.dtype, dtype))
    throw DataError("{}: tensor {} ({}) is stored as {} and cannot be read as {}", path_,
                    printable(tensor.name), tensor.kind, dtype_name(tensor.dtype), dtype_name(dtype));
  if (dtype == tensor.dtype) return read_stored(tensor, piece, out);
  std::vector<std::byte> stored(std::min(kConvertElements, piece.size()) * element_bytes(tensor.dtype));
  for (uint64_t at = piece.begin; at < piece.end; at += kConvertElements) {
    const Piece part{piece.box, at, std::min(piece.end, at + kConvertElements)};
    const std::span<std::byte> raw(stored.data(), part.size() * element_bytes(tensor.dtype));
    read_stored(tensor, part, raw);
    convert(raw, tensor.dtype,
            out.subspan((at - piece.begin) * element_bytes(dtype), part.size() * element_bytes(dtype)),
            dtype);
  }
}

void CheckpointReader::read_stored(const SavedTensor& tensor, const Piece& piece,
                                   std::span<std::byte> out) const {
  for (const SavedSlice& slice : tensor.slices) read_slice(tensor, slice, piece, out);
}

void CheckpointReader::read_slice(const SavedTensor& tensor, const SavedSlice& slice, const Piece& piece,
                                  std::span<std::byte> out) const {
  std::shared_ptr<const SafetensorsFile> opened;
  std::optional<StretchReader> reader;
  const uint64_t bytes = element_bytes(tensor.dtype);
  for_each_overlap(tensor.shape, slice.piece, piece, [&](uint64_t source, uint64_t target, uint64_t count) {
    if (!reader) {
      opened = file(slice.file_idx);
      const SafetensorsEntry& entry = opened->at(slice.key);
      if (entry.end - entry.begin != slice.piece.size() * bytes)
        throw DataError("{}: {} holds {} bytes, expected {}", opened->path(), printable(slice.key),
                        entry.end - entry.begin, slice.piece.size() * bytes);
      reader.emplace(*opened, entry);
    }
    reader->read(source * bytes, out.subspan(target * bytes, count * bytes));
  });
}

// ---- the newest ----

std::optional<FoundCheckpoint> find_newest_good(core::FileSystem& fs, const std::string& directory,
                                                Verify verify) {
  const auto entries = list_checkpoints(fs, directory);
  FoundCheckpoint found;
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
    try {
      CheckpointReader(fs, entry->path, verify);
    } catch (const core::IoError&) {
      throw;
    } catch (const core::Error& error) {
      found.passed_over.push_back(error.what());
      continue;
    }
    if (!found.passed_over.empty())
      core::log::warning("{} is the newest good checkpoint; passed over: {}", entry->path,
                         fmt::join(found.passed_over, "; "));
    found.path = entry->path;
    found.step = entry->step;
    return found;
  }
  if (entries.empty()) return std::nullopt;
  throw DataError("{}: none of the {} checkpoints here can be read; move them away to start from nothing: {}",
                  directory, entries.size(), fmt::join(found.passed_over, "; "));
}

}  // namespace athanor::checkpoints
