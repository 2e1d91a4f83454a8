// The part of hdf5_contents.h that runs in the child process: opens one file with the HDF5 library and notes
// what it finds. For data/shards/*.cpp only.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "data/shards/hdf5_contents.h"

namespace athanor::data {

/// Contents of the file at `path`, `file_bytes` long; throws DataError. May crash or hang on a hostile file.
Hdf5Contents probe_hdf5(const std::string& path, uint64_t file_bytes,
                        std::span<const std::string_view> datasets,
                        std::span<const std::string_view> attributes);

}  // namespace athanor::data
