// Writing a directory of weights: plan the shards, stream each under a temporary name, then swap them in.
#include <algorithm>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "checkpoints/safetensors.h"
#include "checkpoints/weights_directory.h"
#include "core/error.h"
#include "core/json.h"
#include "core/output_files.h"

namespace athanor::checkpoints {
namespace {

struct Shard {
  std::string name;
  std::span<const TensorInfo> tensors;
};

std::vector<Shard> plan_shards(std::span<const TensorInfo> tensors, uint64_t max_shard_bytes) {
  std::vector<Shard> shards;
  size_t first = 0;
  uint64_t shard_bytes = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const uint64_t bytes = tensors[i].num_bytes();
    if (i > first && bytes > max_shard_bytes - std::min(shard_bytes, max_shard_bytes)) {
      shards.push_back({"", tensors.subspan(first, i - first)});
      first = i;
      shard_bytes = 0;
    }
    shard_bytes += bytes;
  }
  shards.push_back({"", tensors.subspan(first)});
  for (size_t i = 0; i < shards.size(); ++i)
    shards[i].name = shards.size() == 1
                         ? "model.safetensors"
                         : fmt::format("model-{:05d}-of-{:05d}.safetensors", i + 1, shards.size());
  return shards;
}

void append_tensor(const TensorInfo& info, const TensorSource& source, SafetensorsWriter& writer) {
  uint64_t appended = 0;
  source(info, [&](std::span<const std::byte> bytes) {
    appended += bytes.size();
    writer.append(bytes);
  });
  ATHANOR_CHECK(appended == info.num_bytes(), "tensor {}: {} bytes were given, its shape needs {}", info.name,
                appended, info.num_bytes());
}

std::string index_text(const std::vector<Shard>& shards) {
  auto index = nlohmann::ordered_json::object();
  uint64_t total_bytes = 0;
  std::map<std::string, std::string> file_of;
  for (const Shard& shard : shards)
    for (const TensorInfo& info : shard.tensors) {
      total_bytes += info.num_bytes();
      file_of[info.name] = shard.name;
    }
  index["metadata"]["total_size"] = total_bytes;
  index["weight_map"] = file_of;
  return index.dump(2) + "\n";
}

// "model.safetensors", its index, and shards of any number: what a loader would take for weights.
bool is_weights_name(std::string_view name) {
  const bool is_shard = name.starts_with("model-") && name.ends_with(".safetensors") && name.size() == 32;
  return is_shard || name == "model.safetensors" || name == "model.safetensors.index.json";
}

void remove_weights(core::FileSystem& fs, const std::string& directory) {
  // The index first: without it the shards that are left are not taken for a model.
  fs.remove_all(directory + "/model.safetensors.index.json");
  for (const std::string& name : fs.list(directory))
    if (is_weights_name(name)) fs.remove_all(directory + "/" + name);
  fs.sync_directory(directory);
}

}  // namespace

void write_weights(core::FileSystem& fs, const std::string& directory, std::span<const TensorInfo> tensors,
                   const TensorSource& source, uint64_t max_shard_bytes) {
  fs.create_directories(directory);
  const auto shards = plan_shards(tensors, max_shard_bytes);
  const core::UnfinishedOutput unfinished(core::temporary_name(directory + "/weights"));
  const std::string& staging = unfinished.path();
  fs.create_directories(staging);
  try {
    for (const Shard& shard : shards) {
      SafetensorsWriter writer(fs, staging + "/" + shard.name, shard.tensors, {{"format", "pt"}});
      for (const TensorInfo& info : shard.tensors) append_tensor(info, source, writer);
      writer.finish();
    }
    remove_weights(fs, directory);
    for (const Shard& shard : shards) fs.rename(staging + "/" + shard.name, directory + "/" + shard.name);
    fs.sync_directory(directory);
    if (shards.size() > 1)
      core::write_file_atomically(fs, directory + "/model.safetensors.index.json", index_text(shards));
  } catch (...) {
    try {
      fs.remove_all(staging);
    } catch (const core::Error&) {  // the first error is the one to report
    }
    throw;
  }
  fs.remove_all(staging);
}

}  // namespace athanor::checkpoints
