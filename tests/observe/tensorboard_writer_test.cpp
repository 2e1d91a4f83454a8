// The file is read back with a small parser written from the format, not from the writer.
#include "observe/tensorboard_writer.h"

#include <cstring>
#include <map>
#include <optional>

#include "tests/observe/temporary_directory.h"

namespace athanor::observe {
namespace {

template <typename T>
T fixed(std::string_view bytes) {
  T value{};
  std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

uint32_t unmask(uint32_t masked) {
  const uint32_t rotated = masked - 0xa282ead8u;
  return rotated << 15 | rotated >> 17;
}

uint64_t take_varint(std::string_view& bytes) {
  uint64_t value = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = static_cast<uint8_t>(bytes.front());
    bytes.remove_prefix(1);
    value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return value;
  }
}

/// The fields of a message: number to raw content (a varint is given back as eight bytes).
std::multimap<uint64_t, std::string> fields(std::string_view bytes) {
  std::multimap<uint64_t, std::string> all;
  while (!bytes.empty()) {
    const uint64_t tag = take_varint(bytes);
    std::string content;
    size_t length = 0;
    switch (tag & 7) {
      case 0: {
        const uint64_t value = take_varint(bytes);
        content.assign(reinterpret_cast<const char*>(&value), sizeof(value));
        break;
      }
      case 1:
        length = 8;
        break;
      case 2:
        length = take_varint(bytes);
        break;
      case 5:
        length = 4;
        break;
      default:
        ADD_FAILURE() << "wire type " << (tag & 7);
        return all;
    }
    if (tag & 7) content = bytes.substr(0, length);
    bytes.remove_prefix(length);
    all.emplace(tag >> 3, content);
  }
  return all;
}

std::vector<std::multimap<uint64_t, std::string>> read_events(std::string_view file) {
  std::vector<std::multimap<uint64_t, std::string>> events;
  while (!file.empty()) {
    const auto length = fixed<uint64_t>(file);
    EXPECT_EQ(crc32c(file.substr(0, 8)), unmask(fixed<uint32_t>(file.substr(8))));
    const std::string_view event = file.substr(12, length);
    EXPECT_EQ(crc32c(event), unmask(fixed<uint32_t>(file.substr(12 + length))));
    events.push_back(fields(event));
    file.remove_prefix(16 + length);
  }
  return events;
}

using TensorboardWriterTest = InDirectory;

TEST(Crc32c, KnownAnswers) {
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);  // RFC 3720
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62A8AB43u);
}

TEST_F(TensorboardWriterTest, ScalarsReadBack) {
  TensorboardWriter writer(core::posix_file_system(), path("tensorboard"), 1795334400.0);
  writer.on_step({.step = 300, .loss = 2.5, .time = 1795334401.5, .extra = {{"kl", -0.25}}});
  writer.on_validation({.step = 300, .loss = 3.5, .time = 1795334402.0});
  writer.on_resume(200);
  EXPECT_EQ(
      std::filesystem::path(writer.path()).filename().string().rfind("events.out.tfevents.1795334400.", 0),
      0u);
  const auto events = read_events(read_file(writer.path()));
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[0].find(3)->second, "brain.Event:2");

  EXPECT_EQ(fixed<double>(events[1].find(1)->second), 1795334401.5);
  EXPECT_EQ(fixed<uint64_t>(events[1].find(2)->second), 300u);
  std::map<std::string, float> scalars;
  for (const auto& [number, value] : fields(events[1].find(5)->second)) {
    ASSERT_EQ(number, 1u);
    const auto parts = fields(value);
    scalars[parts.find(1)->second] = fixed<float>(parts.find(2)->second);
  }
  EXPECT_EQ(scalars.at("train/loss"), 2.5f);
  EXPECT_EQ(scalars.at("train/kl"), -0.25f);
  EXPECT_EQ(fields(fields(events[2].find(5)->second).find(1)->second).find(1)->second,
            "validation/validation_loss");

  EXPECT_EQ(fixed<uint64_t>(events[3].find(2)->second), 201u);
  EXPECT_EQ(fixed<uint64_t>(fields(events[3].find(7)->second).find(1)->second), 1u);
}

}  // namespace
}  // namespace athanor::observe
