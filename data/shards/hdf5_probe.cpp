#include "data/shards/hdf5_probe.h"

#include <algorithm>

#include "core/error.h"
#include "data/shards/hdf5_handle.h"

namespace athanor::data {
namespace {

using core::DataError;

// The library walks its chunk index from the start for every chunk, so the time grows with the square.
constexpr hsize_t kMaxChunks = 32768;
constexpr size_t kMaxStringBytes = 4096;

Hdf5Handle open_file(const std::string& path) {
  Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
#if H5_VERSION_GE(1, 10, 7)
  H5Pset_file_locking(access.id(), false, true);  // many ranks read; some network file systems have no locks
#endif
  Hdf5Handle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.id()), H5Fclose);
  if (!file.is_open())
    throw DataError("{}: not a readable HDF5 file ({}); it is damaged or incomplete, write it again", path,
                    hdf5_reason());
  Hdf5Handle creation(H5Fget_create_plist(file.id()), H5Pclose);
  hsize_t user_block_bytes = 0;
  H5Pget_userblock(creation.id(), &user_block_bytes);
  if (user_block_bytes != 0) throw DataError("{}: a user block before the HDF5 data is not accepted", path);
  return file;
}

uint64_t end_of_data(hid_t file, const std::string& path) {
  haddr_t end = HADDR_UNDEF;
  if (H5Fget_eoa(file, &end) < 0 || end == HADDR_UNDEF)
    throw DataError("{}: no end of the HDF5 data ({})", path, hdf5_reason());
  return end;
}

void check_integer(hid_t type, const std::string& what) {
  const size_t bytes = H5Tget_size(type);
  const bool is_plain = H5Tget_sign(type) == H5T_SGN_NONE && H5Tget_precision(type) == 8 * bytes &&
                        (bytes == 1 || H5Tget_order(type) == H5T_ORDER_LE) && bytes <= 8;
  if (!is_plain)
    throw DataError("{}: expected little-endian unsigned integers, found another integer type", what);
}

ElementKind element_kind(hid_t type, const std::string& what) {
  switch (H5Tget_class(type)) {
    case H5T_INTEGER:
      check_integer(type, what);
      return ElementKind::kUnsigned;
    case H5T_FLOAT:
      if (H5Tequal(type, H5T_IEEE_F32LE) <= 0)
        throw DataError("{}: expected 32-bit little-endian floats", what);
      return ElementKind::kFloat;
    case H5T_STRING:
      if (H5Tis_variable_str(type) != 0 || H5Tget_size(type) > kMaxStringBytes)
        throw DataError("{}: expected strings of a fixed length up to {} bytes", what, kMaxStringBytes);
      return ElementKind::kString;
    default:
      throw DataError("{}: expected integers, floats or fixed-length strings, found another type", what);
  }
}

hsize_t length_of(hid_t dataset, const std::string& what) {
  Hdf5Handle space(H5Dget_space(dataset), H5Sclose);
  hsize_t length = 0;
  if (H5Sget_simple_extent_type(space.id()) != H5S_SIMPLE || H5Sget_simple_extent_ndims(space.id()) != 1)
    throw DataError("{}: expected one dimension", what);
  if (H5Sget_simple_extent_dims(space.id(), &length, nullptr) != 1)
    throw DataError("{}: unreadable shape ({})", what, hdf5_reason());
  return length;
}

void add_chunk(hid_t dataset, hid_t space, hsize_t index, hsize_t chunk_elements, DatasetLayout& layout,
               const std::string& what) {
  hsize_t first_element = 0, stored_bytes = 0;
  haddr_t address = HADDR_UNDEF;
  unsigned filter_mask = 0;
  if (H5Dget_chunk_info(dataset, space, index, &first_element, &filter_mask, &address, &stored_bytes) < 0)
    throw DataError("{}: unreadable chunk {} ({})", what, index, hdf5_reason());
  if (address == HADDR_UNDEF || stored_bytes != chunk_elements * layout.element_bytes ||
      first_element >= layout.num_elements)
    throw DataError("{}: chunk {} is not stored as expected; the file is damaged", what, index);
  layout.extents.push_back(
      {first_element, std::min<hsize_t>(chunk_elements, layout.num_elements - first_element), address});
}

void add_chunks(hid_t dataset, hid_t creation, DatasetLayout& layout, const std::string& what) {
  Hdf5Handle space(H5Dget_space(dataset), H5Sclose);
  hsize_t chunk_elements = 0, num_chunks = 0;
  if (H5Pget_chunk(creation, 1, &chunk_elements) != 1 || chunk_elements == 0)
    throw DataError("{}: unreadable chunk size", what);
  if (H5Dget_num_chunks(dataset, space.id(), &num_chunks) < 0)
    throw DataError("{}: unreadable chunk index ({})", what, hdf5_reason());
  if (num_chunks > kMaxChunks)
    throw DataError(
        "{}: {} chunks of {} elements, at most {} are accepted; repack with larger chunks (h5repack -l)",
        what, num_chunks, chunk_elements, kMaxChunks);
  for (hsize_t index = 0; index < num_chunks; ++index)
    add_chunk(dataset, space.id(), index, chunk_elements, layout, what);
}

void add_storage(hid_t dataset, DatasetLayout& layout, const std::string& what) {
  Hdf5Handle creation(H5Dget_create_plist(dataset), H5Pclose);
  if (H5Pget_nfilters(creation.id()) != 0)
    throw DataError("{}: compressed or filtered data is not accepted; repack with h5repack -f NONE", what);
  const H5D_layout_t storage = H5Pget_layout(creation.id());
  if (storage == H5D_CHUNKED) return add_chunks(dataset, creation.id(), layout, what);
  if (storage != H5D_CONTIGUOUS || H5Pget_external_count(creation.id()) != 0)
    throw DataError(
        "{}: expected contiguous or chunked storage inside the file, found external, virtual or compact "
        "storage",
        what);
  const haddr_t address = H5Dget_offset(dataset);
  if (address != HADDR_UNDEF) layout.extents.push_back({0, layout.num_elements, address});
}

bool is_present(hid_t file, const std::string& name, const std::string& what) {
  if (H5Lexists(file, name.c_str(), H5P_DEFAULT) <= 0) return false;
  H5L_info_t link{};
  if (H5Lget_info(file, name.c_str(), &link, H5P_DEFAULT) < 0 || link.type != H5L_TYPE_HARD)
    throw DataError("{}: soft and external links are not accepted", what);
  return true;
}

DatasetLayout layout_of(hid_t file, const std::string& name, uint64_t file_bytes, const std::string& what) {
  Hdf5Handle dataset(H5Dopen2(file, name.c_str(), H5P_DEFAULT), H5Dclose);
  if (!dataset.is_open()) throw DataError("{}: not a readable dataset ({})", what, hdf5_reason());
  Hdf5Handle type(H5Dget_type(dataset.id()), H5Tclose);
  DatasetLayout layout;
  layout.kind = element_kind(type.id(), what);
  layout.element_bytes = H5Tget_size(type.id());
  layout.num_elements = length_of(dataset.id(), what);
  add_storage(dataset.id(), layout, what);
  settle_extents(layout, file_bytes, what);
  return layout;
}

std::string read_text(hid_t attribute, hid_t type, const std::string& what) {
  std::string text(H5Tget_size(type), '\0');
  if (H5Aread(attribute, type, text.data()) < 0) throw DataError("{}: unreadable ({})", what, hdf5_reason());
  return text.substr(0, text.find('\0'));
}

/// Signed or unsigned, of any width: programs differ in what they write for a plain number.
uint64_t read_number(hid_t attribute, const std::string& what) {
  int64_t value = 0;
  if (H5Aread(attribute, H5T_NATIVE_INT64, &value) < 0)
    throw DataError("{}: unreadable ({})", what, hdf5_reason());
  if (value < 0) throw DataError("{}: is {}, expected 0 or more", what, value);
  return static_cast<uint64_t>(value);
}

std::variant<uint64_t, std::string> read_attribute(hid_t file, const std::string& name,
                                                   const std::string& what) {
  Hdf5Handle attribute(H5Aopen(file, name.c_str(), H5P_DEFAULT), H5Aclose);
  if (!attribute.is_open()) throw DataError("{}: unreadable ({})", what, hdf5_reason());
  Hdf5Handle type(H5Aget_type(attribute.id()), H5Tclose), space(H5Aget_space(attribute.id()), H5Sclose);
  if (H5Sget_simple_extent_npoints(space.id()) != 1) throw DataError("{}: expected one value", what);
  if (H5Tget_class(type.id()) == H5T_INTEGER) return read_number(attribute.id(), what);
  if (element_kind(type.id(), what) == ElementKind::kString)
    return read_text(attribute.id(), type.id(), what);
  throw DataError("{}: expected an integer or a text", what);
}

}  // namespace

Hdf5Contents probe_hdf5(const std::string& path, uint64_t file_bytes,
                        std::span<const std::string_view> datasets,
                        std::span<const std::string_view> attributes) {
  const Hdf5Handle file = open_file(path);
  Hdf5Contents contents{.path = path,
                        .file_bytes = file_bytes,
                        .hdf5_bytes = end_of_data(file.id(), path),
                        .datasets = {},
                        .attributes = {}};
  for (const std::string_view view : datasets) {
    const std::string name(view), what = fmt::format("{}: dataset /{}", path, name);
    if (is_present(file.id(), name, what))
      contents.datasets.emplace(name, layout_of(file.id(), name, file_bytes, what));
  }
  for (const std::string_view view : attributes) {
    const std::string name(view), what = fmt::format("{}: attribute {}", path, name);
    if (H5Aexists(file.id(), name.c_str()) > 0)
      contents.attributes.emplace(name, read_attribute(file.id(), name, what));
  }
  return contents;
}

}  // namespace athanor::data
