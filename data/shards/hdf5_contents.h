// What an HDF5 file holds, found out without trusting it.
//
// The HDF5 library has a history of crashes and memory errors on damaged or hostile files, so it never parses
// a file inside this process: a child process does, with limits on time and memory, and hands back plain
// numbers, which are checked against the size of the file. From then on the file is read by those numbers
// alone.
//
// Accepted: datasets of the root group, reached by hard links, 1-D, of little-endian unsigned integers,
// 32-bit floats or fixed-length strings, contiguous or chunked, without filters or external storage. All else
// is a DataError that says what was found.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/file_system.h"
#include "data/shards/dataset_layout.h"

namespace athanor::data {

struct Hdf5Contents {
  std::string path;
  uint64_t file_bytes = 0;
  uint64_t hdf5_bytes = 0;  ///< where the HDF5 data ends, as its superblock says; at most file_bytes
  std::map<std::string, DatasetLayout, std::less<>> datasets;  ///< those asked for that are there
  std::map<std::string, std::variant<uint64_t, std::string>, std::less<>>
      attributes;  ///< likewise, of the root
};

/// The contents of each file, in order; one child process looks at all of them. Throws on the first bad file:
/// MissingInputError (not there), DataError (not HDF5, damaged, not acceptable), IoError (no child process
/// possible).
std::vector<Hdf5Contents> read_hdf5_contents(core::FileSystem& fs, std::span<const std::string> paths,
                                             std::span<const std::string_view> datasets,
                                             std::span<const std::string_view> attributes);

}  // namespace athanor::data
