#include "observe/tensorboard_writer.h"

#include <array>
#include <bit>
#include <cstring>
#include <unistd.h>

#include <fmt/format.h>

namespace athanor::observe {
namespace {

static_assert(std::endian::native == std::endian::little, "records are written as they lie in memory");

template <typename T>
void append_fixed(std::string& out, T value) {
  std::array<char, sizeof(T)> bytes;
  std::memcpy(bytes.data(), &value, sizeof(T));
  out.append(bytes.data(), bytes.size());
}

void append_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

enum class WireType : uint64_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

void append_tag(std::string& out, uint64_t field, WireType type) {
  append_varint(out, field << 3 | static_cast<uint64_t>(type));
}

void append_bytes(std::string& out, uint64_t field, std::string_view bytes) {
  append_tag(out, field, WireType::kBytes);
  append_varint(out, bytes.size());
  out += bytes;
}

std::string event_header(double time, uint64_t step) {
  std::string event;
  append_tag(event, 1, WireType::kFixed64);
  append_fixed(event, time);
  append_tag(event, 2, WireType::kVarint);
  append_varint(event, step);
  return event;
}

std::string scalar(std::string_view tag, double value) {
  std::string message;
  append_bytes(message, 1, tag);
  append_tag(message, 2, WireType::kFixed32);
  append_fixed(message, static_cast<float>(value));
  return message;
}

constexpr std::array<uint32_t, 256> make_crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0x82F63B78u : 0u);
    table[byte] = crc;
  }
  return table;
}

/// TensorFlow's way of keeping checksums of checksums apart.
uint32_t masked_crc(std::string_view bytes) {
  const uint32_t crc = crc32c(bytes);
  return ((crc >> 15) | (crc << 17)) + 0xA282EAD8u;
}

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "localhost";
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  static constexpr auto kTable = make_crc_table();
  uint32_t crc = ~0u;
  for (const char c : bytes) crc = (crc >> 8) ^ kTable[(crc ^ static_cast<uint8_t>(c)) & 0xFF];
  return ~crc;
}

std::string event_record(std::string_view event) {
  std::string record;
  append_fixed(record, static_cast<uint64_t>(event.size()));
  append_fixed(record, masked_crc(record));
  record += event;
  append_fixed(record, masked_crc(event));
  return record;
}

TensorboardWriter::TensorboardWriter(core::FileSystem& fs, const std::string& directory, double start_time)
    : path_(fmt::format("{}/events.out.tfevents.{:010}.{}.{}.0", directory, static_cast<uint64_t>(start_time),
                        host_name(), ::getpid())),
      last_time_(start_time) {
  fs.create_directories(directory);
  file_ = fs.create(path_);
  std::string event = event_header(start_time, 0);
  append_bytes(event, 3, "brain.Event:2");
  write_event(event);
}

void TensorboardWriter::write_event(const std::string& event) {
  file_->append(event_record(event));
}

void TensorboardWriter::write_scalars(double time, uint64_t step, std::string_view group,
                                      const std::vector<NamedValue>& values) {
  std::string summary;
  for (const auto& [name, value] : values)
    append_bytes(summary, 1, scalar(fmt::format("{}/{}", group, name), value));
  std::string event = event_header(time, step);
  append_bytes(event, 5, summary);
  write_event(event);
  last_time_ = time;
}

void TensorboardWriter::on_step(const StepRecord& record) {
  write_scalars(record.time, record.step, "train", named_values(record));
}

void TensorboardWriter::on_validation(const ValidationRecord& record) {
  write_scalars(record.time, record.step, "validation", named_values(record));
}

void TensorboardWriter::on_resume(uint64_t step) {
  std::string session_log, event = event_header(last_time_, step + 1);
  append_tag(session_log, 1, WireType::kVarint);
  append_varint(session_log, 1);  // SessionLog.START: events from this step on replace older ones
  append_bytes(event, 7, session_log);
  write_event(event);
}

}  // namespace athanor::observe
