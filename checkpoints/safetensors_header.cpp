#include "checkpoints/safetensors_header.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "checkpoints/bounded_json.h"
#include "core/error.h"
#include "core/json.h"

namespace athanor::checkpoints {
namespace {

using core::DataError;
using nlohmann::json;

constexpr size_t kMaxDims = 64;
constexpr int kMaxSkippedDepth = 16;
constexpr std::string_view kMetadataKey = "__metadata__";

// Follows the parser's events and fills entries directly: no document is built, so memory stays near the size
// of the header whatever is in it.
class HeaderReader : public nlohmann::json_sax<json> {
 public:
  explicit HeaderReader(const std::string& path) : path_(path) {}

  SafetensorsHeader take() { return std::move(header_); }

  bool start_object(size_t) override {
    switch (state_) {
      case State::kStart:
        state_ = State::kTop;
        break;
      case State::kTop:
        is_metadata_ ? begin_metadata() : begin_tensor();
        break;
      default:
        begin_skipped("an object");
    }
    return true;
  }

  bool end_object() override {
    switch (state_) {
      case State::kTensor:
        end_tensor();
        break;
      case State::kMetadata:
        state_ = State::kTop;
        break;
      case State::kSkipped:
        end_skipped();
        break;
      default:
        break;
    }
    return true;
  }

  bool start_array(size_t) override {
    if (state_ == State::kTensor && field_ == Field::kShape)
      state_ = State::kShape;
    else if (state_ == State::kTensor && field_ == Field::kOffsets)
      state_ = State::kOffsets;
    else
      begin_skipped("an array");
    return true;
  }

  bool end_array() override {
    if (state_ == State::kSkipped)
      end_skipped();
    else
      state_ = State::kTensor;
    return true;
  }

  bool key(std::string& name) override {
    if (state_ == State::kTop) {
      name_ = name;
      is_metadata_ = name == kMetadataKey;
    } else if (state_ == State::kMetadata) {
      metadata_key_ = name;
    } else if (state_ == State::kTensor) {
      choose_field(name);
    }
    return true;
  }

  bool string(std::string& value) override {
    if (state_ == State::kMetadata) return add_metadata(value);
    if (state_ == State::kTensor && field_ == Field::kDtype) return set_dtype(value);
    return other("a string");
  }

  bool number_unsigned(uint64_t value) override {
    if (state_ == State::kShape) return add_dim(value);
    if (state_ == State::kOffsets) return add_offset(value);
    return other(fmt::format("{}", value));
  }

  bool number_integer(int64_t value) override { return other(fmt::format("{}", value)); }
  bool number_float(double, const std::string& text) override { return other(text.substr(0, 40)); }
  bool null() override { return other("null"); }
  bool boolean(bool value) override { return other(value ? "true" : "false"); }
  bool binary(json::binary_t&) override { return false; }

  bool parse_error(size_t position, const std::string&, const json::exception& error) override {
    throw DataError("{}: the safetensors header is not valid JSON at byte {}: {}", path_,
                    position + kSafetensorsLengthBytes, error.what());
  }

 private:
  enum class State { kStart, kTop, kMetadata, kTensor, kShape, kOffsets, kSkipped };
  enum class Field { kDtype, kShape, kOffsets, kUnknown };

  void begin_metadata() {
    if (std::exchange(seen_metadata_, true))
      throw DataError("{}: {} appears twice in the header", path_, kMetadataKey);
    state_ = State::kMetadata;
  }

  bool add_metadata(const std::string& value) {
    if (!header_.metadata.emplace(metadata_key_, value).second)
      throw DataError("{}: {} holds the key {} twice", path_, kMetadataKey, printable(metadata_key_));
    return true;
  }

  void begin_tensor() {
    entry_ = {};
    entry_.info.name = name_;
    num_offsets_ = 0;
    seen_fields_ = 0;
    state_ = State::kTensor;
  }

  void choose_field(std::string_view name) {
    field_ = name == "dtype"          ? Field::kDtype
             : name == "shape"        ? Field::kShape
             : name == "data_offsets" ? Field::kOffsets
                                      : Field::kUnknown;
    const int bit = field_ == Field::kUnknown ? 0 : 1 << static_cast<int>(field_);
    if (seen_fields_ & bit) fail(fmt::format("the field {} appears twice", name));
    seen_fields_ |= bit;
  }

  bool set_dtype(const std::string& value) {
    const auto dtype = dtype_from_name(value);
    if (!dtype) fail(fmt::format("unknown dtype {}; known are {}", printable(value), dtype_names()));
    entry_.info.dtype = *dtype;
    return true;
  }

  bool add_dim(uint64_t value) {
    if (entry_.info.shape.size() == kMaxDims) fail(fmt::format("more than {} dimensions", kMaxDims));
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
      fail(fmt::format("the dimension {} is larger than any memory", value));
    entry_.info.shape.push_back(static_cast<int64_t>(value));
    return true;
  }

  bool add_offset(uint64_t value) {
    if (num_offsets_ == 2) fail("data_offsets must hold two numbers, found more");
    (num_offsets_ == 0 ? entry_.begin : entry_.end) = value;
    ++num_offsets_;
    return true;
  }

  void end_tensor() {
    if (seen_fields_ != 0b111)
      fail("expected the fields dtype, shape and data_offsets, found only some of them");
    if (num_offsets_ != 2) fail(fmt::format("data_offsets must hold two numbers, found {}", num_offsets_));
    header_.tensors.push_back(std::move(entry_));
    state_ = State::kTop;
  }

  // Fields that the format does not know are passed over, as the reference does.
  void begin_skipped(std::string_view found) {
    if (state_ == State::kSkipped) {
      if (++skipped_depth_ > kMaxSkippedDepth) fail("nested too deep");
      return;
    }
    other(found);
    state_ = State::kSkipped;
    skipped_depth_ = 1;
  }

  void end_skipped() {
    if (--skipped_depth_ == 0) state_ = State::kTensor;
  }

  // A value where none of its kind is expected.
  bool other(std::string_view found) {
    if (state_ == State::kSkipped || (state_ == State::kTensor && field_ == Field::kUnknown)) return true;
    if (state_ == State::kMetadata)
      throw DataError("{}: {}: the value of {} must be a string, found {}", path_, kMetadataKey,
                      printable(metadata_key_), found);
    if (state_ == State::kTop)
      throw DataError("{}: {}: expected an object, found {}", path_, printable(name_), found);
    fail(fmt::format("{}: expected {}, found {}", field_name(), field_expectation(), found));
  }

  std::string_view field_name() const {
    return field_ == Field::kDtype ? "dtype" : field_ == Field::kShape ? "shape" : "data_offsets";
  }
  std::string_view field_expectation() const {
    return field_ == Field::kDtype ? "a string" : "an array of non-negative integers";
  }

  [[noreturn]] void fail(std::string_view complaint) const {
    throw DataError("{}: tensor {}: {}", path_, printable(name_), complaint);
  }

  const std::string& path_;
  SafetensorsHeader header_;
  State state_ = State::kStart;
  Field field_ = Field::kUnknown;
  std::string name_, metadata_key_;
  bool is_metadata_ = false, seen_metadata_ = false;
  SafetensorsEntry entry_;
  int num_offsets_ = 0;
  int seen_fields_ = 0;
  int skipped_depth_ = 0;
};

void check_unique_names(const std::vector<SafetensorsEntry>& tensors, const std::string& path) {
  std::vector<std::string_view> names;
  names.reserve(tensors.size());
  for (const auto& entry : tensors) names.push_back(entry.info.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end())
    throw DataError("{}: tensor {}: appears twice in the header", path, printable(*twice));
}

void check_size(const SafetensorsEntry& entry, const std::string& path) {
  const auto bytes = checked_num_bytes(entry.info.shape, entry.info.dtype);
  if (!bytes)
    throw DataError("{}: tensor {}: the number of elements of shape {} overflows", path,
                    printable(entry.info.name), to_string(entry.info.shape));
  if (entry.end < entry.begin)
    throw DataError("{}: tensor {}: data_offsets [{}, {}] end before they begin", path,
                    printable(entry.info.name), entry.begin, entry.end);
  if (entry.end - entry.begin != *bytes)
    throw DataError("{}: tensor {}: {} of shape {} is {} bytes, but data_offsets [{}, {}] hold {}", path,
                    printable(entry.info.name), dtype_name(entry.info.dtype), to_string(entry.info.shape),
                    *bytes, entry.begin, entry.end, entry.end - entry.begin);
}

// The tensors, sorted by offset, must follow one another from 0 to the end of the data.
void check_contiguous(const std::vector<SafetensorsEntry>& tensors, uint64_t data_bytes,
                      const std::string& path) {
  uint64_t expected_begin = 0;
  for (const auto& entry : tensors) {
    if (entry.begin != expected_begin)
      throw DataError(
          "{}: tensor {}: its bytes must start at {}, found {} ({})", path, printable(entry.info.name),
          expected_begin, entry.begin,
          entry.begin < expected_begin ? "it overlaps another tensor" : "bytes before it belong to none");
    expected_begin = entry.end;
  }
  if (expected_begin != data_bytes)
    throw DataError("{}: the tensors hold {} bytes, the file has {} after its header ({})", path,
                    expected_begin, data_bytes,
                    data_bytes < expected_begin ? "it was cut short" : "extra bytes at the end");
}

}  // namespace

uint64_t checked_header_length(std::span<const std::byte, kSafetensorsLengthBytes> field, uint64_t file_bytes,
                               const std::string& path) {
  static_assert(std::endian::native == std::endian::little);
  uint64_t length = 0;
  std::memcpy(&length, field.data(), sizeof(length));
  if (length > kMaxSafetensorsHeaderBytes)
    throw DataError("{}: not a safetensors file: its header would be {} bytes, at most {} are allowed", path,
                    length, kMaxSafetensorsHeaderBytes);
  if (length > file_bytes - kSafetensorsLengthBytes)
    throw DataError("{}: the header should be {} bytes, the file ends after {} of them", path, length,
                    file_bytes - kSafetensorsLengthBytes);
  return length;
}

SafetensorsHeader parse_safetensors_header(std::string_view text, uint64_t data_bytes,
                                           const std::string& path) {
  check_json_text(text, path + ": safetensors header", kMaxSafetensorsHeaderBytes);
  HeaderReader reader(path);
  json::sax_parse(text.begin(), text.end(), &reader);
  SafetensorsHeader header = reader.take();
  std::stable_sort(header.tensors.begin(), header.tensors.end(), [](const auto& a, const auto& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  check_unique_names(header.tensors, path);
  for (const auto& entry : header.tensors) check_size(entry, path);
  check_contiguous(header.tensors, data_bytes, path);
  return header;
}

std::string make_safetensors_header(std::span<const TensorInfo> tensors,
                                    const SafetensorsMetadata& metadata) {
  std::string text = "{";
  const auto add = [&](const std::string& name, const std::string& value) {
    text += fmt::format("{}{}:{}", text.size() > 1 ? "," : "", json(name).dump(), value);
  };
  if (!metadata.empty()) add(std::string(kMetadataKey), json(metadata).dump());
  uint64_t begin = 0;
  for (const TensorInfo& info : tensors) {
    const uint64_t end = begin + info.num_bytes();
    add(info.name, fmt::format(R"({{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})",
                               dtype_name(info.dtype), fmt::join(info.shape, ","), begin, end));
    begin = end;
  }
  text += "}";
  text.append((8 - text.size() % 8) % 8, ' ');
  const uint64_t length = text.size();
  std::string field(kSafetensorsLengthBytes, '\0');
  std::memcpy(field.data(), &length, sizeof(length));
  return field + text;
}

bool precedes_in_file(const TensorInfo& a, const TensorInfo& b) {
  const uint64_t a_bytes = element_bytes(a.dtype), b_bytes = element_bytes(b.dtype);
  return a_bytes != b_bytes ? a_bytes > b_bytes : a.name < b.name;
}

}  // namespace athanor::checkpoints
