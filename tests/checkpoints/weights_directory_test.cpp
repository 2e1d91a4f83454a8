#include "checkpoints/weights_directory.h"

#include <fstream>

#include "core/json.h"
#include "tests/checkpoints/sample_model.h"
#include "tests/support/faulty_file_system.h"

namespace athanor::checkpoints {
namespace {

using core::DataError;
namespace stdfs = std::filesystem;

struct Model {
  std::vector<TensorInfo> infos;
  std::vector<std::vector<std::byte>> bytes;

  TensorSource source() const {
    return [this](const TensorInfo& info, const AppendBytes& append) {
      for (size_t i = 0; i < infos.size(); ++i)
        if (infos[i].name == info.name) {
          append(std::span(bytes[i]).first(bytes[i].size() / 2));
          append(std::span(bytes[i]).subspan(bytes[i].size() / 2));
        }
    };
  }
};

Model make_model(int num_tensors, uint64_t seed) {
  Model model;
  for (int i = 0; i < num_tensors; ++i) {
    model.infos.push_back({fmt::format("layer.{}.weight", i), Dtype::kF32, {i + 1, 16}});
    model.bytes.push_back(random_bytes(model.infos.back().num_bytes(), seed, model.infos.back().name));
  }
  return model;
}

void expect_holds(const std::string& path, const Model& model) {
  const WeightsDirectory weights(disk(), path);
  EXPECT_EQ(weights.tensors().size(), model.infos.size());
  for (size_t i = 0; i < model.infos.size(); ++i) {
    EXPECT_EQ(weights.at(model.infos[i].name).shape, model.infos[i].shape);
    const auto view = weights.view(model.infos[i].name);
    EXPECT_TRUE(std::equal(view.begin(), view.end(), model.bytes[i].begin(), model.bytes[i].end()));
  }
}

std::string error_of(const std::string& path) {
  return message_of<DataError>([&] { WeightsDirectory(disk(), path); });
}

void edit_index(const std::string& directory, const std::function<void(nlohmann::json&)>& edit) {
  const std::string path = directory + "/model.safetensors.index.json";
  auto index = nlohmann::json::parse(std::ifstream(path));
  edit(index);
  std::ofstream(path) << index.dump();
}

#define EXPECT_CONTAINS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

TEST(WeightsDirectory, SmallModelsAreOneFileAndLargeOnesAreShards) {
  const TestDirectory directory;
  const Model small = make_model(3, 1), large = make_model(9, 2), smaller = make_model(5, 3);
  write_weights(disk(), directory.path(), small.infos, small.source(), 1 << 20);
  EXPECT_EQ(disk().list(directory.path()), std::vector<std::string>{"model.safetensors"});
  expect_holds(directory.path(), small);
  expect_holds(directory / "model.safetensors", small);

  write_weights(disk(), directory.path(), large.infos, large.source(), 1024);
  EXPECT_FALSE(disk().exists(directory / "model.safetensors"));
  const auto index = nlohmann::json::parse(std::ifstream(directory / "model.safetensors.index.json"));
  EXPECT_EQ(index["metadata"]["total_size"], 45 * 64);
  for (const auto& [name, file] : index["weight_map"].items())
    EXPECT_LE(disk().file_size(directory / file.get<std::string>()), 1024u + 1000u);
  expect_holds(directory.path(), large);

  write_weights(disk(), directory.path(), smaller.infos, smaller.source(), 512);
  expect_holds(directory.path(), smaller);
}

TEST(WeightsDirectory, AFaultAtAnyOperationNeverMixesModels) {
  const Model before = make_model(9, 2), after = make_model(9, 3);
  uint64_t num_operations = 0;
  for (uint64_t k = 0; k == 0 || k < num_operations; ++k) {
    const TestDirectory directory;
    write_weights(disk(), directory.path(), before.infos, before.source(), 1024);
    tests::FaultyFileSystem counting(disk());
    if (k == 0) write_weights(counting, directory.path(), before.infos, before.source(), 1024);
    if (k == 0) num_operations = counting.num_operations();
    tests::FaultyFileSystem faulty(disk(), {tests::Fault::kNoSpace, k});
    EXPECT_THROW(write_weights(faulty, directory.path(), after.infos, after.source(), 1024), core::IoError);
    try {
      const WeightsDirectory weights(disk(), directory.path());
      int num_old = 0, num_new = 0;
      for (size_t i = 0; i < before.infos.size(); ++i) {
        const auto view = weights.view(before.infos[i].name);
        num_old += std::equal(view.begin(), view.end(), before.bytes[i].begin(), before.bytes[i].end());
        num_new += std::equal(view.begin(), view.end(), after.bytes[i].begin(), after.bytes[i].end());
      }
      EXPECT_TRUE(num_old == 9 || num_new == 9)
          << "operation " << k << ": " << num_old << " old, " << num_new << " new";
    } catch (const DataError& error) {
      EXPECT_CONTAINS(std::string(error.what()), "no weights");
    }
  }
}

TEST(WeightsDirectory, RefusesBadIndexes) {
  const TestDirectory directory;
  const Model model = make_model(9, 2);
  const auto fresh = [&] {
    stdfs::remove_all(directory.path());
    write_weights(disk(), directory.path(), model.infos, model.source(), 1024);
  };
  const auto with_file = [&](const std::string& file) {
    fresh();
    edit_index(directory.path(), [&](auto& index) { index["weight_map"]["layer.0.weight"] = file; });
    return error_of(directory.path());
  };
  EXPECT_CONTAINS(with_file("gone.safetensors"), "is missing");
  EXPECT_CONTAINS(with_file("../x.safetensors"), "not a file name inside the directory");
  EXPECT_CONTAINS(with_file("/etc/passwd"), "not a file name inside the directory");
  EXPECT_CONTAINS(with_file(".."), "not a file name inside the directory");
  EXPECT_CONTAINS(with_file("sub/x.safetensors"), "not a file name inside the directory");
  EXPECT_CONTAINS(with_file(std::string("a\0b", 3)), "not a file name inside the directory");
  EXPECT_CONTAINS(with_file("pytorch_model.bin"), "pickled weights");
  EXPECT_CONTAINS(with_file("model-00002-of-00004.safetensors"), "does not hold it");
  fresh();
  edit_index(directory.path(), [](auto& index) { index["weight_map"]["layer.0.weight"] = 7; });
  EXPECT_CONTAINS(error_of(directory.path()), "expected a file name, found 7");
  edit_index(directory.path(), [](auto& index) { index.erase("weight_map"); });
  EXPECT_CONTAINS(error_of(directory.path()), "\"weight_map\" is missing");
  std::ofstream(directory / "model.safetensors.index.json") << R"({"weight_map":{"a":"x","a":"y"}})";
  EXPECT_CONTAINS(error_of(directory.path()), "appears twice");
  std::ofstream(directory / "model.safetensors.index.json") << std::string(100000, '{');
  EXPECT_CONTAINS(error_of(directory.path()), "not valid JSON");
}

TEST(WeightsDirectory, ATensorInTwoShardsIsAnErrorAFalseTotalIsNot) {
  const TestDirectory directory;
  const Model model = make_model(9, 2);
  write_weights(disk(), directory.path(), model.infos, model.source(), 1024);
  edit_index(directory.path(), [](auto& index) { index["metadata"]["total_size"] = 1; });
  expect_holds(directory.path(), model);
  const auto index = nlohmann::json::parse(std::ifstream(directory / "model.safetensors.index.json"));
  const std::string other = index["weight_map"]["layer.8.weight"];
  std::vector<HostTensor> tensors;
  for (size_t i : {size_t{0}, size_t{8}}) tensors.push_back({model.infos[i], model.bytes[i]});
  write_safetensors(disk(), directory / other, tensors);
  EXPECT_CONTAINS(error_of(directory.path()), "is in two shards");
}

TEST(WeightsDirectory, RefusesPickles) {
  const TestDirectory directory;
  EXPECT_CONTAINS(error_of(directory.path()), "no weights: expected model.safetensors");
  for (const char* name :
       {"pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "model.pt", "last.ckpt"}) {
    std::ofstream(directory / name) << "\x80\x04";
    EXPECT_CONTAINS(error_of(directory.path()), "convert them to safetensors");
    EXPECT_CONTAINS(error_of(directory / name), "pickled weights");
    stdfs::remove(directory / name);
  }
  EXPECT_THROW(WeightsDirectory(disk(), directory / "nowhere"), core::MissingInputError);
}

TEST(WeightsDirectory, LinksMayLeadToTheDownloadCacheButNotElsewhere) {
  const TestDirectory directory;
  const Model model = make_model(2, 2);
  const std::string snapshot = directory / "models--x/snapshots/abc", blobs = directory / "models--x/blobs";
  stdfs::create_directories(snapshot);
  write_weights(disk(), blobs, model.infos, model.source(), 1 << 20);
  stdfs::create_symlink("../../blobs/model.safetensors", snapshot + "/model.safetensors");
  expect_holds(snapshot, model);
  const std::string elsewhere = directory / "elsewhere";
  stdfs::create_directories(elsewhere);
  stdfs::create_symlink(blobs + "/model.safetensors", elsewhere + "/model.safetensors");
  EXPECT_CONTAINS(error_of(elsewhere), "out of its directory");
  stdfs::remove(elsewhere + "/model.safetensors");
  stdfs::create_symlink("model.safetensors", elsewhere + "/model.safetensors");
  EXPECT_CONTAINS(error_of(elsewhere), "leads nowhere");
}

}  // namespace
}  // namespace athanor::checkpoints
