#include "checkpoints/weights_directory.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "checkpoints/bounded_json.h"
#include "checkpoints/file_names.h"
#include "core/error.h"
#include "core/json.h"
#include "core/log.h"

namespace athanor::checkpoints {
namespace {

using core::DataError;

constexpr std::string_view kSingleName = "model.safetensors";
constexpr std::string_view kIndexName = "model.safetensors.index.json";
constexpr uint64_t kMaxIndexBytes = 100'000'000;
constexpr std::array<std::string_view, 6> kPickleEndings{".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"};

bool is_pickle(std::string_view name) {
  return std::any_of(kPickleEndings.begin(), kPickleEndings.end(),
                     [&](std::string_view ending) { return name.ends_with(ending); });
}

[[noreturn]] void refuse_pickle(const std::string& path) {
  throw DataError(
      "{}: pickled weights can run code when they are read and are refused; convert them to safetensors "
      "first (transformers: model.save_pretrained(DIR, safe_serialization=True))",
      path);
}

[[noreturn]] void refuse_directory_without_weights(core::FileSystem& fs, const std::string& path) {
  for (const std::string& name : fs.list(path))
    if (is_pickle(name) && name != "training_args.bin") refuse_pickle(path + "/" + name);
  throw DataError("{}: no weights: expected {} or {}", path, kSingleName, kIndexName);
}

void check_total_size(const JsonView& index, const std::string& path, uint64_t found) {
  if (!index.has("metadata")) return;
  const JsonView metadata = index.at("metadata");
  if (!metadata.has("total_size")) return;
  const uint64_t promised = metadata.at("total_size").as_unsigned();
  if (promised != found)
    core::log::warning("{}: metadata.total_size is {}, the tensors hold {} bytes; the tensors count", path,
                       promised, found);
}

}  // namespace

WeightsDirectory::WeightsDirectory(core::FileSystem& fs, const std::string& path) : path_(path) {
  if (!fs.exists(path))
    throw core::MissingInputError("{}: no such model directory or file; check the path", path);
  if (fs.is_directory(path))
    open_directory(fs);
  else if (is_pickle(path))
    refuse_pickle(path);
  else
    open_single(fs, path);
}

void WeightsDirectory::open_directory(core::FileSystem& fs) {
  const std::string single = fmt::format("{}/{}", path_, kSingleName),
                    index = fmt::format("{}/{}", path_, kIndexName);
  if (fs.exists(single) || is_symbolic_link(single)) {
    check_link_stays_inside(path_, std::string(kSingleName));
    open_single(fs, single);
    return;
  }
  if (!fs.exists(index)) refuse_directory_without_weights(fs, path_);
  check_link_stays_inside(path_, std::string(kIndexName));
  open_sharded(fs, index);
}

void WeightsDirectory::open_single(core::FileSystem& fs, const std::string& file_path) {
  const auto& file = shards_[file_path] = std::make_unique<SafetensorsFile>(fs, file_path);
  for (const SafetensorsEntry& entry : file->tensors()) tensors_[entry.info.name] = {file.get(), &entry};
}

void WeightsDirectory::open_sharded(core::FileSystem& fs, const std::string& index_path) {
  const auto document = parse_json_object(core::read_text_file(fs, index_path, kMaxIndexBytes), index_path);
  const JsonView index(document, index_path);
  (void)index.at("weight_map").as_object_text();
  for (const auto& [name, file_name] : document["weight_map"].items()) {
    if (!file_name.is_string())
      throw DataError("{}: weight_map: {}: expected a file name, found {}", index_path, printable(name),
                      file_name.dump());
    const SafetensorsFile& shard = open_shard(fs, file_name.get<std::string>(), index_path);
    const SafetensorsEntry* const entry = shard.find(name);
    if (!entry)
      throw DataError("{}: weight_map says that {} is in {}, which does not hold it", index_path,
                      printable(name), shard.path());
    tensors_[name] = {&shard, entry};
  }
  check_total_size(index, index_path, num_bytes());
  for (const auto& [name, shard] : shards_)
    for (const SafetensorsEntry& entry : shard->tensors())
      if (const auto known = tensors_.find(entry.info.name); known == tensors_.end())
        core::log::warning("{}: holds {}, which the index does not name; it is not used", shard->path(),
                           printable(entry.info.name));
      else if (known->second.file != shard.get())
        throw DataError("{}: tensor {} is in two shards, {} and {}", index_path, printable(entry.info.name),
                        known->second.file->path(), shard->path());
}

const SafetensorsFile& WeightsDirectory::open_shard(core::FileSystem& fs, const std::string& name,
                                                    const std::string& index_path) {
  const auto known = shards_.find(name);
  if (known != shards_.end()) return *known->second;
  if (!is_plain_file_name(name))
    throw DataError("{}: weight_map names {}, which is not a file name inside the directory", index_path,
                    printable(name));
  if (is_pickle(name)) refuse_pickle(path_ + "/" + name);
  check_link_stays_inside(path_, name);
  if (!fs.exists(path_ + "/" + name))
    throw DataError("{}: weight_map names {}, which is missing; was the download interrupted?", index_path,
                    printable(name));
  return *(shards_[name] = std::make_unique<SafetensorsFile>(fs, path_ + "/" + name));
}

std::vector<TensorInfo> WeightsDirectory::tensors() const {
  std::vector<TensorInfo> infos;
  for (const auto& [name, at] : tensors_) infos.push_back(at.entry->info);
  return infos;
}

uint64_t WeightsDirectory::num_bytes() const {
  uint64_t sum = 0;
  for (const auto& [name, at] : tensors_) sum += at.entry->end - at.entry->begin;
  return sum;
}

const WeightsDirectory::Place& WeightsDirectory::place(std::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) throw DataError("{}: holds no tensor {}", path_, printable(name));
  return found->second;
}

const TensorInfo& WeightsDirectory::at(std::string_view name) const {
  return place(name).entry->info;
}

void WeightsDirectory::read(std::string_view name, uint64_t offset, std::span<std::byte> out) const {
  const Place& at = place(name);
  at.file->read(*at.entry, offset, out);
}

std::span<const std::byte> WeightsDirectory::view(std::string_view name) const {
  const Place& at = place(name);
  return at.file->view(*at.entry);
}

}  // namespace athanor::checkpoints
