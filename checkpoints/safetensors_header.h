// The header of a safetensors file: an 8-byte little-endian length, then that many bytes of JSON which map
// each tensor's name to its element type, shape and byte range in the data that follow. Pure functions on
// bytes; no I/O.
//
// Accepted is what the reference implementation (huggingface/safetensors) accepts: at most 100,000,000 bytes,
// first byte
// `{`, white space allowed at the end, `__metadata__` a map from string to string, byte ranges that follow
// one another from 0 to the end of the file without hole or overlap and that match shape x element size.
// Stricter here: at most 64 dimensions, and no field or tensor twice.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoints/tensor_info.h"

namespace athanor::checkpoints {

constexpr uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;
constexpr uint64_t kSafetensorsLengthBytes = 8;

struct SafetensorsEntry {
  TensorInfo info;
  uint64_t begin = 0;  ///< bytes, from the start of the data
  uint64_t end = 0;
};

using SafetensorsMetadata = std::map<std::string, std::string>;

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> tensors;  ///< in the order of their bytes
  SafetensorsMetadata metadata;
};

/// `json` is the header without its length, `data_bytes` what follows it in the file. Throws DataError that
/// names `path`, the tensor, what was expected and what was found.
SafetensorsHeader parse_safetensors_header(std::string_view json, uint64_t data_bytes,
                                           const std::string& path);

/// Checks the length field against the size of the file; throws DataError.
uint64_t checked_header_length(std::span<const std::byte, kSafetensorsLengthBytes> field, uint64_t file_bytes,
                               const std::string& path);

/// Length and JSON, padded with spaces to a multiple of 8 bytes, for tensors laid out in the order given.
std::string make_safetensors_header(std::span<const TensorInfo> tensors, const SafetensorsMetadata& metadata);

/// The order in which every tensor starts at a multiple of its element size: larger elements first, then by
/// name.
bool precedes_in_file(const TensorInfo& a, const TensorInfo& b);

}  // namespace athanor::checkpoints
