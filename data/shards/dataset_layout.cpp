#include "data/shards/dataset_layout.h"

#include <algorithm>

#include "core/error.h"

namespace athanor::data {
namespace {

void check_extent(const DatasetLayout& layout, const Extent& extent, uint64_t expected_first,
                  uint64_t file_bytes, const std::string& what) {
  if (extent.first_element != expected_first)
    throw core::DataError("{}: element {} is stored nowhere; the file is damaged", what, expected_first);
  if (extent.num_elements > layout.num_elements - expected_first)
    throw core::DataError("{}: more than its {} elements are stored; the file is damaged", what,
                          layout.num_elements);
  if (extent.file_offset > file_bytes ||
      extent.num_elements > (file_bytes - extent.file_offset) / layout.element_bytes)
    throw core::DataError(
        "{}: elements {} and on are said to lie at byte {}, beyond the end of the file ({} bytes)", what,
        expected_first, extent.file_offset, file_bytes);
}

bool touches(const DatasetLayout& layout, const Extent& before, const Extent& after) {
  return before.file_offset + before.num_elements * layout.element_bytes == after.file_offset;
}

}  // namespace

void settle_extents(DatasetLayout& layout, uint64_t file_bytes, const std::string& what) {
  if (layout.element_bytes == 0 || layout.num_elements > file_bytes / layout.element_bytes)
    throw core::DataError("{}: {} elements of {} bytes are claimed, the file has {} bytes", what,
                          layout.num_elements, layout.element_bytes, file_bytes);
  std::sort(layout.extents.begin(), layout.extents.end(),
            [](const Extent& a, const Extent& b) { return a.first_element < b.first_element; });
  std::vector<Extent> joined;
  uint64_t next_element = 0;
  for (const Extent& extent : layout.extents) {
    check_extent(layout, extent, next_element, file_bytes, what);
    next_element += extent.num_elements;
    if (!joined.empty() && touches(layout, joined.back(), extent))
      joined.back().num_elements += extent.num_elements;
    else
      joined.push_back(extent);
  }
  if (next_element != layout.num_elements)
    throw core::DataError("{}: {} elements are claimed, {} are stored; the file is damaged", what,
                          layout.num_elements, next_element);
  layout.extents = std::move(joined);
}

void DatasetLayout::read(const core::ReadableFile& file, uint64_t first_element,
                         std::span<std::byte> out) const {
  uint64_t count = out.size() / element_bytes;
  ATHANOR_CHECK(count * element_bytes == out.size() && first_element <= num_elements &&
                    count <= num_elements - first_element,
                "elements [{}, +{}) of {} were asked for", first_element, count, num_elements);
  auto extent = std::upper_bound(extents.begin(), extents.end(), first_element,
                                 [](uint64_t element, const Extent& e) { return element < e.first_element; });
  for (; count > 0; ++extent) {
    const Extent& here = *(extent - 1);
    const uint64_t skipped = first_element - here.first_element;
    const uint64_t taken = std::min(count, here.num_elements - skipped);
    file.read(here.file_offset + skipped * element_bytes, out.first(taken * element_bytes));
    out = out.subspan(taken * element_bytes);
    first_element += taken;
    count -= taken;
  }
}

}  // namespace athanor::data
