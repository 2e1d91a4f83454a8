#include "inference/weight_source.h"

#include <algorithm>
#include <vector>

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>
#include <fmt/format.h>

#include "checkpoints/checkpoint_reader.h"
#include "checkpoints/weights_directory.h"
#include "core/error.h"

namespace athanor::inference {
namespace {

using checkpoints::Dtype;
using core::DataError;

template <typename Stored>
void widen(std::span<const std::byte> bytes, int64_t begin, std::span<float> out) {
  const auto* stored = reinterpret_cast<const Stored*>(bytes.data()) + begin;
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(stored[i]);
}

void widen(std::span<const std::byte> bytes, Dtype dtype, int64_t begin, std::span<float> out) {
  switch (dtype) {
    case Dtype::kF32:
      return widen<float>(bytes, begin, out);
    case Dtype::kBF16:
      return widen<c10::BFloat16>(bytes, begin, out);
    case Dtype::kF16:
      return widen<c10::Half>(bytes, begin, out);
    default:
      ATHANOR_CHECK(false, "weights of type {}", checkpoints::dtype_name(dtype));
  }
}

bool is_weight_type(Dtype dtype) {
  return dtype == Dtype::kF32 || dtype == Dtype::kBF16 || dtype == Dtype::kF16;
}

class HfWeightSource : public WeightSource {
 public:
  explicit HfWeightSource(const std::string& directory) : files_(core::posix_file_system(), directory) {}

  void read(const model::Parameter& parameter, int64_t begin, std::span<float> out) override {
    const int64_t end = begin + static_cast<int64_t>(out.size());
    for (size_t i = 0; i < parameter.parts.size(); ++i) {
      const model::HfPart& part = parameter.parts[i];
      const int64_t part_end =
          i + 1 < parameter.parts.size() ? parameter.parts[i + 1].begin : parameter.num_elements();
      const int64_t from = std::max(begin, part.begin), to = std::min(end, part_end);
      if (from < to)
        read_tensor(part.name, part.shape, from - part.begin, out.subspan(from - begin, to - from));
    }
  }

  void read(model::Buffer& buffer) override {
    if (!files_.contains(buffer.name)) return;
    const size_t count = static_cast<size_t>(buffer.value.numel());
    read_tensor(buffer.name, buffer.value.sizes().vec(), 0, {buffer.value.mutable_data_ptr<float>(), count});
  }

  at::ScalarType dtype() const override {
    const auto tensors = files_.tensors();
    const bool all_bf16 = std::all_of(tensors.begin(), tensors.end(), [](const auto& t) {
      return t.dtype == Dtype::kBF16 || t.shape.size() < 2;  // router biases stay fp32 in bf16 models
    });
    return all_bf16 ? at::kBFloat16 : at::kFloat;
  }

 private:
  void read_tensor(const std::string& name, const std::vector<int64_t>& shape, int64_t begin,
                   std::span<float> out) {
    const checkpoints::TensorInfo& info = files_.at(name);
    if (info.shape != shape)
      throw DataError("{}: tensor {}: expected shape {} (from config.json), found {}", files_.path(), name,
                      checkpoints::to_string(shape), checkpoints::to_string(info.shape));
    if (!is_weight_type(info.dtype))
      throw DataError("{}: tensor {}: expected F32, BF16 or F16, found {}; convert the weights first",
                      files_.path(), name, checkpoints::dtype_name(info.dtype));
    widen(files_.view(name), info.dtype, begin, out);
  }

  checkpoints::WeightsDirectory files_;
};

class CheckpointWeightSource : public WeightSource {
 public:
  explicit CheckpointWeightSource(const std::string& path) : reader_(core::posix_file_system(), path) {}

  void read(const model::Parameter& parameter, int64_t begin, std::span<float> out) override {
    read_range(parameter.name, "weight", begin, out);
  }
  void read(model::Buffer& buffer) override {
    read_range(buffer.name, "buffer", 0,
               {buffer.value.mutable_data_ptr<float>(), static_cast<size_t>(buffer.value.numel())});
  }
  at::ScalarType dtype() const override { return at::kFloat; }

 private:
  void read_range(const std::string& name, const char* kind, int64_t begin, std::span<float> out) {
    const auto first = static_cast<uint64_t>(begin);
    reader_.read_range(reader_.at(name, kind), first, first + out.size(), Dtype::kF32,
                       std::as_writable_bytes(out));
  }
  checkpoints::CheckpointReader reader_;
};

}  // namespace

std::unique_ptr<WeightSource> open_hf_weights(const std::string& directory) {
  return std::make_unique<HfWeightSource>(directory);
}

std::unique_ptr<WeightSource> open_checkpoint_weights(const std::string& checkpoint) {
  return std::make_unique<CheckpointWeightSource>(checkpoint);
}

}  // namespace athanor::inference
