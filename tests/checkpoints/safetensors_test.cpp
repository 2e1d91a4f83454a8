#include "checkpoints/safetensors.h"

#include <cstring>
#include <fstream>

#include "tests/checkpoints/sample_model.h"
#include "tests/support/faulty_file_system.h"

namespace athanor::checkpoints {
namespace {

using core::DataError;

std::string file_text(const std::string& header, size_t data_bytes, uint64_t length) {
  std::string text(8, '\0');
  std::memcpy(text.data(), &length, 8);
  return text + header + std::string(data_bytes, 'x');
}
std::string file_text(const std::string& header, size_t data_bytes = 0) {
  return file_text(header, data_bytes, header.size());
}

std::string error_of(const TestDirectory& directory, const std::string& text) {
  const std::string path = directory / "bad.safetensors";
  std::ofstream(path, std::ios::binary) << text;
  const std::string message =
      message_of<DataError>([&] { SafetensorsFile(core::posix_file_system(), path); });
  EXPECT_EQ(message.find(path), 0u) << message;
  return message;
}

std::string one_tensor(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"a":{"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
}

struct BadFile {
  std::string text;
  std::string complaint;
};

TEST(Safetensors, RefusesEveryBadHeaderWithItsReason) {
  const TestDirectory directory;
  const std::string good = one_tensor("\"F32\"", "[2]", "[0,8]");
  std::string many_dims = "[1";
  for (int i = 0; i < 1'000'000; ++i) many_dims += ",1";
  const std::vector<BadFile> cases{
      {"", "0 bytes, at least 8"},
      {"1234567", "7 bytes, at least 8"},
      {file_text("", 0, 0), "found nothing"},
      {file_text(good, 8, good.size() + 9), "the file ends after"},
      {file_text(good, 8, uint64_t{1} << 63), "at most 100000000"},
      {file_text(good, 8, 100'000'001), "at most 100000000"},
      {file_text("not json"), "must start with '{'"},
      {file_text(" " + good, 8), "must start with '{'"},
      {file_text("\xef\xbb\xbf" + good, 8), "must start with '{'"},
      {file_text(good + std::string(1, '\0'), 8), "NUL byte"},
      {file_text(good + "x", 8), "not valid JSON at byte"},
      {file_text(good + good, 8), "not valid JSON at byte"},
      {file_text(good.substr(0, good.size() - 1), 8), "not valid JSON"},
      {file_text("{\"a\xff\":{}}"), "not valid JSON"},
      {file_text(R"({"\ud800":{}})"), "not valid JSON"},
      {file_text(R"({"a":1})"), "expected an object, found 1"},
      {file_text(R"({"a":[]})"), "expected an object, found an array"},
      {file_text(R"({"a":{}})"), "found only some"},
      {file_text(R"({"a":{"dtype":"F32","shape":[2]}})"), "found only some"},
      {file_text(one_tensor("\"F31\"", "[2]", "[0,8]"), 8), "unknown dtype \"F31\""},
      {file_text(one_tensor("\"F4\"", "[3]", "[0,2]"), 2), "unknown dtype \"F4\""},
      {file_text(one_tensor("4", "[2]", "[0,8]"), 8), "dtype: expected a string, found 4"},
      {file_text(one_tensor("\"F32\"", "[-1]", "[0,8]"), 8), "found -1"},
      {file_text(one_tensor("\"F32\"", "[2.0]", "[0,8]"), 8), "found 2.0"},
      {file_text(one_tensor("\"F32\"", "[1e999]", "[0,8]"), 8), "not valid JSON"},
      {file_text(one_tensor("\"F32\"", "2", "[0,8]"), 8), "shape: expected an array"},
      {file_text(one_tensor("\"F32\"", "[[2]]", "[0,8]"), 8), "shape: expected an array"},
      {file_text(one_tensor("\"F32\"", many_dims + "]", "[0,4]"), 4), "more than 64 dimensions"},
      {file_text(one_tensor("\"F32\"", "[4294967296,4294967296]", "[0,8]"), 8), "overflows"},
      {file_text(one_tensor("\"F64\"", "[9223372036854775807]", "[0,8]"), 8), "overflows"},
      {file_text(one_tensor("\"F32\"", "[18446744073709551615]", "[0,8]"), 8), "larger than any memory"},
      {file_text(one_tensor("\"F32\"", "[18446744073709551616]", "[0,8]"), 8),
       "expected an array of non-negative"},
      {file_text(one_tensor("\"F32\"", "[2]", "[0]"), 8), "must hold two numbers"},
      {file_text(one_tensor("\"F32\"", "[2]", "[0,8,8]"), 8), "must hold two numbers"},
      {file_text(one_tensor("\"F32\"", "[2]", "[8,0]"), 8), "end before they begin"},
      {file_text(one_tensor("\"F32\"", "[2]", "[0,7]"), 7), "is 8 bytes, but"},
      {file_text(one_tensor("\"F32\"", "[2]", "[4,12]"), 12), "bytes before it belong to none"},
      {file_text(good, 7), "cut short"},
      {file_text(good, 9), "extra bytes at the end"},
      {file_text(
           R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
           6),
       "overlaps"},
      {file_text(
           R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
           2),
       "appears twice"},
      {file_text(R"({"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1),
       "dtype appears twice"},
      {file_text(R"({"__metadata__":{"a":1}})"), "must be a string, found 1"},
      {file_text(R"({"__metadata__":{"a":{}}})"), "must be a string, found an object"},
      {file_text(R"({"__metadata__":{"a":"1","a":"2"}})"), "the key \"a\" twice"},
      {file_text(R"({"__metadata__":{},"__metadata__":{}})"), "appears twice"},
      {file_text(R"({"a":{"x":)" + std::string(100000, '[')), "nested too deep"},
      {file_text(R"({"a":)" + std::string(100000, '[')), "expected an object"},
  };
  for (const BadFile& bad : cases) {
    const std::string message = error_of(directory, bad.text);
    EXPECT_NE(message.find(bad.complaint), std::string::npos)
        << "expected: " << bad.complaint << "\nfound: " << message;
    EXPECT_LT(message.size(), 1000u);
  }
}

TEST(Safetensors, AcceptsWhatTheReferenceAccepts) {
  const TestDirectory directory;
  const std::vector<std::string> headers{
      R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}   )",
      R"({"b":{"shape":[0,3],"data_offsets":[8,8],"dtype":"I64"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
      R"({"__metadata__":{"x":"y"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"extra":{"k":[1,{}]}}})",
      R"({"a":{"dtype":"F64","shape":[],"data_offsets":[0,8]}})"};
  for (const std::string& header : headers) {
    const std::string path = directory / "good.safetensors";
    std::ofstream(path, std::ios::binary) << file_text(header, 8);
    const SafetensorsFile file(core::posix_file_system(), path);
    EXPECT_EQ(file.at("a").end, 8u) << header;
    EXPECT_EQ(file.view(file.at("a"))[7], std::byte{'x'});
  }
}

TEST(Safetensors, WritesAndReadsEveryDtype) {
  const TestDirectory directory;
  std::vector<std::vector<std::byte>> memory;
  std::vector<HostTensor> tensors;
  for (const char* name : {"BOOL", "F8_E5M2", "F8_E4M3", "U8", "I8", "U16", "I16", "F16", "BF16", "U32",
                           "I32", "F32", "U64", "I64", "F64"}) {
    const Dtype dtype = *dtype_from_name(name);
    memory.push_back(random_bytes(15 * element_bytes(dtype), 1, name));
    tensors.push_back({{name, dtype, {3, 5}}, memory.back()});
  }
  const std::string path = directory / "all.safetensors", again = directory / "again.safetensors";
  write_safetensors(core::posix_file_system(), path, tensors, {{"note", "日本\n\"x\""}});
  std::reverse(tensors.begin(), tensors.end());
  write_safetensors(core::posix_file_system(), again, tensors, {{"note", "日本\n\"x\""}});
  EXPECT_EQ(core::read_text_file(core::posix_file_system(), path, 1 << 20),
            core::read_text_file(core::posix_file_system(), again, 1 << 20))
      << "the order in which tensors come must not show";

  const SafetensorsFile file(core::posix_file_system(), path);
  EXPECT_EQ(file.metadata().at("note"), "日本\n\"x\"");
  ASSERT_EQ(file.tensors().size(), tensors.size());
  for (const HostTensor& tensor : tensors) {
    const SafetensorsEntry& entry = file.at(tensor.info.name);
    EXPECT_EQ(entry.info.dtype, tensor.info.dtype);
    EXPECT_EQ(entry.info.shape, tensor.info.shape);
    const auto view = file.view(entry);
    EXPECT_TRUE(std::equal(view.begin(), view.end(), tensor.bytes.begin(), tensor.bytes.end()));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(view.data()) % element_bytes(entry.info.dtype), 0u) << "aligned";
    std::vector<std::byte> part(element_bytes(entry.info.dtype));
    file.read(entry, 2 * part.size(), part);
    EXPECT_TRUE(std::equal(part.begin(), part.end(), view.begin() + 2 * part.size()));
  }
  EXPECT_NE(message_of<DataError>([&] { (void)file.at("zz"); }).find("holds no tensor \"zz\""),
            std::string::npos);
}

TEST(Safetensors, WriterLeavesNothingHalfWritten) {
  const TestDirectory directory;
  const std::string path = directory / "x.safetensors";
  const std::vector<std::byte> bytes(8);
  const std::vector<HostTensor> tensors{{{"a", Dtype::kF32, {2}}, bytes}};
  write_safetensors(core::posix_file_system(), path, tensors);
  const std::string before = core::read_text_file(core::posix_file_system(), path, 1 << 20);
  tests::FaultyFileSystem counting(core::posix_file_system());
  write_safetensors(counting, path, tensors);
  for (uint64_t k = 0; k < counting.num_operations(); ++k) {
    tests::FaultyFileSystem faulty(core::posix_file_system(), {tests::Fault::kShortWrite, k});
    EXPECT_THROW(write_safetensors(faulty, path, tensors), core::IoError) << counting.operations()[k];
    EXPECT_EQ(core::read_text_file(core::posix_file_system(), path, 1 << 20), before);
    EXPECT_EQ(core::posix_file_system().list(directory.path()).size(), 1u) << counting.operations()[k];
  }
  const std::vector<TensorInfo> infos{{"a", Dtype::kF32, {2}}};
  SafetensorsWriter writer(core::posix_file_system(), path, infos);
  EXPECT_THROW(writer.finish(), core::InternalError);
}

TEST(Safetensors, MutatedHeadersNeverCrash) {
  const std::string good =
      R"({"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[],"data_offsets":[8,9]}})";
  const core::CounterRng rng(7, "mutations");
  uint64_t counter = 0;
  int num_accepted = 0;
  for (int trial = 0; trial < 60000; ++trial) {
    std::string text = good;
    for (uint64_t edits = 1 + rng.below(counter++, 3); edits-- > 0 && !text.empty();) {
      const size_t at = rng.below(counter++, text.size());
      switch (rng.below(counter++, 4)) {
        case 0:
          text[at] = static_cast<char>(rng.below(counter++, 256));
          break;
        case 1:
          text.erase(at, 1 + rng.below(counter++, 8));
          break;
        case 2: {
          const size_t from = rng.below(counter++, text.size()), count = rng.below(counter++, 20);
          text.insert(at, text.substr(from, count));
          break;
        }
        default:
          text.insert(at, 1, "{}[]\",:0-9eE.\\"[rng.below(counter++, 14)]);
      }
    }
    try {
      num_accepted += parse_safetensors_header(text, 9, "fuzz").tensors.size() == 2;
    } catch (const DataError&) {
    }
  }
  EXPECT_GT(num_accepted, 0);
}

}  // namespace
}  // namespace athanor::checkpoints
