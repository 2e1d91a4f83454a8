#include "data/shards/dataset_writer.h"

#include <algorithm>

#include "core/error.h"

namespace athanor::data {

DatasetWriter::DatasetWriter(hid_t file, std::string file_path, std::string name, hid_t type,
                             uint64_t chunk_bytes)
    : file_(file),
      file_path_(std::move(file_path)),
      name_(std::move(name)),
      type_(type),
      element_bytes_(H5Tget_size(type)),
      buffer_bytes_(std::max<uint64_t>(1, chunk_bytes / element_bytes_) * element_bytes_) {}

void DatasetWriter::append(std::span<const std::byte> elements) {
  ATHANOR_CHECK(elements.size() % element_bytes_ == 0, "{} bytes are not whole elements", elements.size());
  digest_.update(elements);
  while (!elements.empty()) {
    const size_t taken = std::min(elements.size(), buffer_bytes_ - buffer_.size());
    buffer_.insert(buffer_.end(), elements.begin(), elements.begin() + static_cast<ptrdiff_t>(taken));
    elements = elements.subspan(taken);
    if (buffer_.size() == buffer_bytes_) flush();
  }
}

void DatasetWriter::finish() {
  // A small dataset gets one chunk of its own size: chunks are stored whole.
  if (!dataset_.is_open()) create(std::max<uint64_t>(1, buffer_.size() / element_bytes_));
  if (!buffer_.empty()) flush();
  if (!dataset_.close()) fail();
}

void DatasetWriter::create(uint64_t chunk_elements) {
  const hsize_t length = 0, max_length = H5S_UNLIMITED, chunk = chunk_elements;
  Hdf5Handle space(H5Screate_simple(1, &length, &max_length), H5Sclose);
  Hdf5Handle creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_chunk(creation.id(), 1, &chunk);
  H5Pset_fill_time(creation.id(), H5D_FILL_TIME_ALLOC);
  H5Pset_obj_track_times(creation.id(), false);  // equal content, equal file
  dataset_ = Hdf5Handle(
      H5Dcreate2(file_, name_.c_str(), type_, space.id(), H5P_DEFAULT, creation.id(), H5P_DEFAULT), H5Dclose);
  if (!dataset_.is_open()) fail();
}

void DatasetWriter::flush() {
  if (!dataset_.is_open()) create(buffer_bytes_ / element_bytes_);
  const hsize_t count = buffer_.size() / element_bytes_, first = num_written_, length = num_written_ + count;
  if (H5Dset_extent(dataset_.id(), &length) < 0) fail();
  Hdf5Handle in_file(H5Dget_space(dataset_.id()), H5Sclose),
      in_memory(H5Screate_simple(1, &count, nullptr), H5Sclose);
  if (H5Sselect_hyperslab(in_file.id(), H5S_SELECT_SET, &first, nullptr, &count, nullptr) < 0 ||
      H5Dwrite(dataset_.id(), type_, in_memory.id(), in_file.id(), H5P_DEFAULT, buffer_.data()) < 0)
    fail();
  num_written_ = length;
  buffer_.clear();
}

void DatasetWriter::fail() const {
  throw core::IoError("cannot write dataset /{} of {}: {}", name_, file_path_, hdf5_reason());
}

}  // namespace athanor::data
