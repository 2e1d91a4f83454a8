#include "checkpoints/safetensors.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <numeric>
#include <set>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "checkpoints/bounded_json.h"
#include "checkpoints/file_names.h"
#include "core/error.h"

namespace athanor::checkpoints {

using core::DataError;
using core::IoError;

struct SafetensorsFile::Mapping {
  Mapping(const std::string& path, uint64_t expected_bytes) : num_bytes(expected_bytes) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) throw IoError("cannot open {}: {}", path, std::strerror(errno));
    struct stat info {};
    const bool is_same = ::fstat(fd, &info) == 0 && static_cast<uint64_t>(info.st_size) == expected_bytes;
    if (is_same) address = ::mmap(nullptr, num_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    const int error = errno;
    ::close(fd);
    if (!is_same) throw DataError("{}: its size changed while it was being read", path);
    if (address == MAP_FAILED) throw IoError("cannot map {}: {}", path, std::strerror(error));
  }
  ~Mapping() { ::munmap(address, num_bytes); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  void* address = nullptr;
  uint64_t num_bytes;
};

SafetensorsFile::SafetensorsFile(core::FileSystem& fs, const std::string& path)
    : path_(path), file_(fs.open(path)) {
  const uint64_t file_bytes = file_->size();
  if (file_bytes < kSafetensorsLengthBytes)
    throw DataError("{}: not a safetensors file: {} bytes, at least {} are needed", path_, file_bytes,
                    kSafetensorsLengthBytes);
  std::array<std::byte, kSafetensorsLengthBytes> field;
  file_->read(0, field);
  const uint64_t header_bytes = checked_header_length(field, file_bytes, path_);
  data_offset_ = kSafetensorsLengthBytes + header_bytes;
  std::string text(header_bytes, '\0');
  file_->read(kSafetensorsLengthBytes, std::as_writable_bytes(std::span(text.data(), text.size())));
  header_ = parse_safetensors_header(text, file_bytes - data_offset_, path_);
  by_name_.resize(header_.tensors.size());
  std::iota(by_name_.begin(), by_name_.end(), 0u);
  std::sort(by_name_.begin(), by_name_.end(), [&](uint32_t a, uint32_t b) {
    return header_.tensors[a].info.name < header_.tensors[b].info.name;
  });
}

SafetensorsFile::~SafetensorsFile() = default;

const SafetensorsEntry* SafetensorsFile::find(std::string_view name) const {
  const auto found = std::lower_bound(
      by_name_.begin(), by_name_.end(), name,
      [&](uint32_t index, std::string_view key) { return header_.tensors[index].info.name < key; });
  if (found == by_name_.end() || header_.tensors[*found].info.name != name) return nullptr;
  return &header_.tensors[*found];
}

const SafetensorsEntry& SafetensorsFile::at(std::string_view name) const {
  const SafetensorsEntry* const entry = find(name);
  if (!entry) throw DataError("{}: holds no tensor {}", path_, printable(name));
  return *entry;
}

void SafetensorsFile::read(const SafetensorsEntry& entry, uint64_t offset, std::span<std::byte> out) const {
  const uint64_t tensor_bytes = entry.end - entry.begin;
  ATHANOR_CHECK(offset <= tensor_bytes && out.size() <= tensor_bytes - offset,
                "bytes [{}, {}) of {} in {} are past its {} bytes", offset, offset + out.size(),
                entry.info.name, path_, tensor_bytes);
  file_->read(data_offset_ + entry.begin + offset, out);
}

const SafetensorsFile::Mapping& SafetensorsFile::mapping() const {
  std::call_once(mapped_once_, [&] { mapping_ = std::make_unique<Mapping>(path_, file_->size()); });
  return *mapping_;
}

std::span<const std::byte> SafetensorsFile::view(const SafetensorsEntry& entry) const {
  const auto* const base = static_cast<const std::byte*>(mapping().address);
  return {base + data_offset_ + entry.begin, entry.end - entry.begin};
}

SafetensorsWriter::SafetensorsWriter(core::FileSystem& fs, std::string path,
                                     std::span<const TensorInfo> tensors, const SafetensorsMetadata& metadata)
    : fs_(fs), path_(std::move(path)), unfinished_(core::begin_output(path_)) {
  std::set<std::string_view> names;
  for (const TensorInfo& info : tensors) {
    ATHANOR_CHECK(names.insert(info.name).second, "tensor {} is written twice to {}", info.name, path_);
    expected_bytes_ += info.num_bytes();
  }
  file_ = fs_.create(unfinished_.path());
  try {
    file_->append(std::string_view(make_safetensors_header(tensors, metadata)));
  } catch (const core::Error&) {
    discard();
    throw;
  }
}

SafetensorsWriter::~SafetensorsWriter() {
  if (file_) discard();
}

void SafetensorsWriter::discard() noexcept {
  file_.reset();
  try {
    fs_.remove_all(unfinished_.path());
  } catch (const core::Error&) {  // whoever gave up has an error to report; this one adds nothing
  }
}

void SafetensorsWriter::append(std::span<const std::byte> bytes) {
  appended_bytes_ += bytes.size();
  ATHANOR_CHECK(appended_bytes_ <= expected_bytes_, "{} bytes were written to {}, its tensors hold {}",
                appended_bytes_, path_, expected_bytes_);
  file_->append(bytes);
}

void SafetensorsWriter::finish() {
  ATHANOR_CHECK(appended_bytes_ == expected_bytes_, "{} bytes were written to {}, its tensors hold {}",
                appended_bytes_, path_, expected_bytes_);
  file_->sync();
  file_->close();
  fs_.rename(unfinished_.path(), path_);
  file_.reset();
  fs_.sync_directory(parent_directory(path_));
}

void write_safetensors(core::FileSystem& fs, const std::string& path, std::vector<HostTensor> tensors,
                       const SafetensorsMetadata& metadata) {
  std::sort(tensors.begin(), tensors.end(),
            [](const HostTensor& a, const HostTensor& b) { return precedes_in_file(a.info, b.info); });
  std::vector<TensorInfo> infos;
  for (const HostTensor& tensor : tensors) {
    ATHANOR_CHECK(tensor.bytes.size() == tensor.info.num_bytes(),
                  "tensor {} comes with {} bytes, its shape needs {}", tensor.info.name, tensor.bytes.size(),
                  tensor.info.num_bytes());
    infos.push_back(tensor.info);
  }
  SafetensorsWriter writer(fs, path, infos, metadata);
  for (const HostTensor& tensor : tensors) writer.append(tensor.bytes);
  writer.finish();
}

}  // namespace athanor::checkpoints
