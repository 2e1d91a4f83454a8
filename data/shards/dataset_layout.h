// Where the elements of one dataset lie in its file, as plain numbers, so that they can be read without the
// HDF5 library: at any place, from any thread, with nothing but positioned reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/file_system.h"

namespace athanor::data {

/// A run of elements that lie side by side in the file.
struct Extent {
  uint64_t first_element = 0;
  uint64_t num_elements = 0;
  uint64_t file_offset = 0;  ///< bytes
};

enum class ElementKind { kUnsigned, kFloat, kString };

/// A 1-D dataset. The extents are ascending, touch each other, cover [0, num_elements) and lie inside the
/// file.
struct DatasetLayout {
  ElementKind kind = ElementKind::kUnsigned;
  uint64_t element_bytes = 0;
  uint64_t num_elements = 0;
  std::vector<Extent> extents;

  /// Fills `out` with whole elements from `first_element` on. Requires that the range lies in the dataset.
  /// Throws DataError when the file has become shorter, IoError when the read fails.
  void read(const core::ReadableFile& file, uint64_t first_element, std::span<std::byte> out) const;
};

/// Orders the extents, joins those that touch in the file, and checks all that DatasetLayout promises against
/// a file of `file_bytes`. Throws DataError whose text starts with `what` (file and dataset).
void settle_extents(DatasetLayout& layout, uint64_t file_bytes, const std::string& what);

}  // namespace athanor::data
