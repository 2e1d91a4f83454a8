// Files that other programs wrote, read and written again. They lie in $ATHANOR_REFERENCE_DIR,
// tests/reference or, on a developer's machine, shared/reference/fixtures; nothing of any of them is written
// here.
#include <cstdlib>
#include <filesystem>
#include <string>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "checkpoints/weights_directory.h"

namespace athanor::checkpoints {
namespace {

namespace stdfs = std::filesystem;
core::FileSystem& disk() {
  return core::posix_file_system();
}

std::string reference_directory() {
  if (const char* const chosen = std::getenv("ATHANOR_REFERENCE_DIR")) return chosen;
  return ATHANOR_SOURCE_DIR "/tests/reference";
}

std::vector<std::string> safetensors_files() {
  std::vector<std::string> paths;
  if (stdfs::exists(reference_directory()))
    for (const auto& entry : stdfs::recursive_directory_iterator(reference_directory()))
      if (entry.path().extension() == ".safetensors") paths.push_back(entry.path().string());
  return paths;
}

class Golden : public ::testing::Test {
 protected:
  void SetUp() override {
    if (safetensors_files().empty()) GTEST_SKIP() << "no reference files in " << reference_directory();
  }
};

bool equal(std::span<const std::byte> a, std::span<const std::byte> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

TEST_F(Golden, FilesOfTheReferenceImplementationRoundTrip) {
  const auto directory = stdfs::temp_directory_path() / ("athanor-golden-" + std::to_string(::getpid()));
  for (const std::string& path : safetensors_files()) {
    const SafetensorsFile original(disk(), path);
    std::vector<HostTensor> tensors;
    for (const auto& entry : original.tensors()) tensors.push_back({entry.info, original.view(entry)});
    EXPECT_FALSE(tensors.empty()) << path;
    stdfs::create_directories(directory);
    const std::string copy_path = (directory / "copy.safetensors").string();
    write_safetensors(disk(), copy_path, tensors, original.metadata());
    const SafetensorsFile copy(disk(), copy_path);
    EXPECT_EQ(copy.metadata(), original.metadata());
    ASSERT_EQ(copy.tensors().size(), tensors.size());
    for (const HostTensor& tensor : tensors)
      EXPECT_TRUE(equal(copy.view(copy.at(tensor.info.name)), tensor.bytes))
          << path << ": " << tensor.info.name;
    // The reference orders tensors by the same rule, so even the bytes of the data part are the same.
    for (size_t i = 0; i < tensors.size(); ++i)
      EXPECT_EQ(copy.tensors()[i].begin, original.at(copy.tensors()[i].info.name).begin) << path;
  }
  stdfs::remove_all(directory);
}

TEST_F(Golden, ModelsSurviveSharding) {
  const auto directory =
      stdfs::temp_directory_path() / ("athanor-golden-shards-" + std::to_string(::getpid()));
  int num_models = 0;
  for (const std::string& path : safetensors_files()) {
    if (stdfs::path(path).filename() != "model.safetensors") continue;
    ++num_models;
    const WeightsDirectory original(disk(), stdfs::path(path).parent_path().string());
    stdfs::remove_all(directory);
    const auto infos = original.tensors();
    write_weights(
        disk(), directory.string(), infos,
        [&](const TensorInfo& info, const AppendBytes& append) { append(original.view(info.name)); },
        original.num_bytes() / 3);
    EXPECT_TRUE(stdfs::exists(directory / "model.safetensors.index.json"));
    const WeightsDirectory copy(disk(), directory.string());
    ASSERT_EQ(copy.tensors().size(), infos.size());
    for (const TensorInfo& info : infos)
      EXPECT_TRUE(equal(copy.view(info.name), original.view(info.name))) << info.name;
  }
  EXPECT_GT(num_models, 0);
  stdfs::remove_all(directory);
}

}  // namespace
}  // namespace athanor::checkpoints
