#include "checkpoints/host_snapshot.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <sys/mman.h>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "checkpoints/bounded_json.h"
#include "core/error.h"
#include "core/json.h"
#include "core/parallel_for.h"

namespace athanor::checkpoints {
namespace {

// Copies are handed to threads in pieces of this size.
constexpr uint64_t kCopyPieceBytes = uint64_t{4} << 20;
constexpr uint64_t kPageBytes = 4096;
constexpr uint64_t kHugePageBytes = uint64_t{2} << 20;

Box box_of(const SliceToSave& slice) {
  return slice.box.shape.empty() ? whole_box(slice.global_shape) : slice.box;
}

void check_slice(const SliceToSave& slice) {
  ATHANOR_CHECK(!slice.name.empty() && !slice.kind.empty(), "a slice to save has no name or no kind");
  ATHANOR_CHECK(checked_num_bytes(slice.global_shape, slice.dtype).has_value(), "{}: impossible shape {}",
                slice.name, to_string(slice.global_shape));
  const Box box = box_of(slice);
  ATHANOR_CHECK(fits(box, slice.global_shape), "{}: the box at {} of shape {} is not inside {}", slice.name,
                to_string(box.offset), to_string(box.shape), to_string(slice.global_shape));
  ATHANOR_CHECK(slice.begin <= slice.end && slice.end <= num_elements(box.shape),
                "{}: [{}, {}) is not inside the box {}", slice.name, slice.begin, slice.end,
                to_string(box.shape));
  const uint64_t expected_bytes = (slice.end - slice.begin) * element_bytes(slice.dtype);
  ATHANOR_CHECK(slice.bytes.size() == expected_bytes, "{}: {} bytes were handed in, [{}, {}) of {} needs {}",
                slice.name, slice.bytes.size(), slice.begin, slice.end, dtype_name(slice.dtype),
                expected_bytes);
}

void check_utf8(const std::string& text, std::string_view what) {
  try {
    (void)nlohmann::json(text).dump();
  } catch (const nlohmann::json::exception&) {
    throw core::ConfigError("the {} is not UTF-8 text and cannot be kept in a checkpoint: {}", what,
                            printable(text));
  }
}

// Unique inside a file, and readable: the tensor's own name when the file holds all of it.
std::string key_of(const SliceToSave& slice, const Piece& piece) {
  std::string key = slice.kind == "weight" ? slice.name : fmt::format("{}:{}", slice.name, slice.kind);
  if (piece.box != whole_box(slice.global_shape)) key += fmt::format("@{}", fmt::join(piece.box.offset, ","));
  if (piece.size() != num_elements(piece.box.shape)) key += fmt::format("+{}", piece.begin);
  return key;
}

// Larger elements first, so that every tensor in the file is aligned; then a fixed order.
std::vector<uint32_t> file_order(const std::vector<SliceToSave>& slices) {
  std::vector<uint32_t> order(slices.size());
  std::iota(order.begin(), order.end(), 0u);
  const auto less = [&](uint32_t i, uint32_t j) {
    const SliceToSave &a = slices[i], &b = slices[j];
    const uint64_t a_bytes = element_bytes(a.dtype), b_bytes = element_bytes(b.dtype);
    return std::tie(b_bytes, a.name, a.kind, a.box.offset, a.begin) <
           std::tie(a_bytes, b.name, b.kind, b.box.offset, b.begin);
  };
  std::stable_sort(order.begin(), order.end(), less);
  return order;
}

std::vector<StoredFile> cut_into_files(const std::vector<StoredSlice>& slices, int rank,
                                       uint64_t max_file_bytes) {
  std::vector<StoredFile> files;
  uint64_t file_bytes = 0;
  for (uint64_t i = 0; i < slices.size(); ++i) {
    if (slices[i].num_bytes == 0) continue;
    if (files.empty() || file_bytes + slices[i].num_bytes > max_file_bytes) {
      files.push_back({fmt::format("rank-{:05d}-{:05d}.safetensors", rank, files.size()), i, i});
      file_bytes = 0;
    }
    files.back().last_slice = i + 1;
    file_bytes += slices[i].num_bytes;
  }
  return files;
}

struct Copy {
  std::byte* to;
  const std::byte* from;
  uint64_t num_bytes;
};

// Groups of copies of about one piece each, so that a thousand small norms do not cost a thousand hand-overs.
void run_copies(const std::vector<Copy>& copies) {
  std::vector<uint64_t> starts{0};
  uint64_t group_bytes = 0;
  for (uint64_t i = 0; i < copies.size(); ++i) {
    if (group_bytes >= kCopyPieceBytes) starts.push_back(i), group_bytes = 0;
    group_bytes += copies[i].num_bytes;
  }
  starts.push_back(copies.size());
  core::parallel_for(static_cast<int64_t>(starts.size()) - 1, [&](int64_t group) {
    for (uint64_t i = starts[static_cast<size_t>(group)]; i < starts[static_cast<size_t>(group) + 1]; ++i)
      std::memcpy(copies[i].to, copies[i].from, copies[i].num_bytes);
  });
}

void add_copies(std::vector<Copy>& copies, std::byte* to, std::span<const std::byte> from) {
  for (uint64_t at = 0; at < from.size(); at += kCopyPieceBytes)
    copies.push_back({to + at, from.data() + at, std::min(kCopyPieceBytes, from.size() - at)});
}

}  // namespace

void check_snapshot(const Snapshot& snapshot) {
  for (const SliceToSave& slice : snapshot.slices) check_slice(slice);
  check_utf8(snapshot.config, "configuration");
  check_utf8(snapshot.training_state, "training state");
  try {
    (void)parse_json_object(snapshot.training_state, "training state");
  } catch (const core::DataError& error) {
    throw core::InternalError("{}", error.what());
  }
}

HostArena::~HostArena() {
  release();
}

void HostArena::release() {
  if (data_) ::munmap(data_, capacity_);
  data_ = nullptr;
  capacity_ = 0;
}

void HostArena::reserve(uint64_t num_bytes) {
  if (num_bytes <= capacity_) return;
  release();
  const uint64_t wanted = (num_bytes + kHugePageBytes - 1) / kHugePageBytes * kHugePageBytes;
  void* const memory = ::mmap(nullptr, wanted, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    throw core::IoError("no memory for the {} bytes of a checkpoint's host copy", wanted);
  ::madvise(memory, wanted, MADV_HUGEPAGE);
  data_ = static_cast<std::byte*>(memory);
  capacity_ = wanted;
  for (uint64_t at = 0; at < wanted; at += kPageBytes) data_[at] = std::byte{0};
}

TensorInfo StoredSlice::info_in_file() const {
  const bool is_whole_box = piece.size() == num_elements(piece.box.shape);
  return {key, dtype, is_whole_box ? piece.box.shape : Shape{static_cast<int64_t>(piece.size())}};
}

void HostSnapshot::copy_from(const Snapshot& snapshot, int rank, uint64_t max_file_bytes) {
  slices_.clear();
  num_bytes_ = 0;
  std::vector<Copy> copies;
  for (const SliceToSave& slice : snapshot.slices) num_bytes_ += slice.bytes.size();
  arena_.reserve(num_bytes_);
  uint64_t offset = 0;
  for (const uint32_t i : file_order(snapshot.slices)) {
    const SliceToSave& slice = snapshot.slices[i];
    const Piece piece{box_of(slice), slice.begin, slice.end};
    slices_.push_back({slice.name, slice.kind, key_of(slice, piece), slice.dtype, slice.global_shape, piece,
                       offset, slice.bytes.size()});
    add_copies(copies, arena_.data() + offset, slice.bytes);
    offset += slice.bytes.size();
  }
  files_ = cut_into_files(slices_, rank, max_file_bytes);
  run_copies(copies);
}

std::span<const std::byte> HostSnapshot::bytes(const StoredFile& file) const {
  const uint64_t begin = slices_[file.first_slice].arena_offset;
  const StoredSlice& last = slices_[file.last_slice - 1];
  return {arena_.data() + begin, last.arena_offset + last.num_bytes - begin};
}

}  // namespace athanor::checkpoints
