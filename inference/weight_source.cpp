#include "inference/weight_source.h"

#include <algorithm>
#include <vector>

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>
#include <fmt/format.h>

#include "checkpoints/weights_directory.h"
#include "core/error.h"
#include "inference/part_piece.h"

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
    model::for_each_part(parameter, begin, begin + static_cast<int64_t>(out.size()),
                         [&](const model::HfPart& part, int64_t from, int64_t to, int64_t position) {
                           read_part(part, from, out.subspan(position, to - from));
                         });
  }

  void read(model::Buffer& buffer) override {
    if (!files_.contains(buffer.name)) return;
    const size_t count = static_cast<size_t>(buffer.value.numel());
    read_tensor(buffer.name, buffer.value.sizes().vec(), 0, {buffer.value.mutable_data_ptr<float>(), count});
  }

  std::vector<checkpoints::TensorInfo> tensors() const override { return files_.tensors(); }

  at::ScalarType dtype() const override {
    const auto tensors = files_.tensors();
    const bool all_bf16 = std::all_of(tensors.begin(), tensors.end(), [](const auto& t) {
      return t.dtype == Dtype::kBF16 || t.shape.size() < 2;  // router biases stay fp32 in bf16 models
    });
    return all_bf16 ? at::kBFloat16 : at::kFloat;
  }

 private:
  // Elements of the part's box, from `begin` on.
  void read_part(const model::HfPart& part, int64_t begin, std::span<float> out) {
    const checkpoints::Shape whole = shape_of_whole(part);
    const checkpoints::Piece wanted = piece_of(part, begin, begin + static_cast<int64_t>(out.size()));
    const checkpoints::Piece all{checkpoints::whole_box(whole), 0, checkpoints::num_elements(whole)};
    checkpoints::for_each_overlap(whole, all, wanted, [&](uint64_t source, uint64_t target, uint64_t count) {
      read_tensor(part.name, whole, static_cast<int64_t>(source), out.subspan(target, count));
    });
  }

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
  CheckpointWeightSource(const std::string& path, checkpoints::Verify verify)
      : reader_(core::posix_file_system(), path, verify) {}

  void read(const model::Parameter& parameter, int64_t begin, std::span<float> out) override {
    model::for_each_part(parameter, begin, begin + static_cast<int64_t>(out.size()),
                         [&](const model::HfPart& part, int64_t from, int64_t to, int64_t position) {
                           reader_.read_piece(reader_.at(part.name, "weight"), piece_of(part, from, to),
                                              Dtype::kF32,
                                              std::as_writable_bytes(out.subspan(position, to - from)));
                         });
  }
  void read(model::Buffer& buffer) override {
    const std::span<float> out(buffer.value.mutable_data_ptr<float>(),
                               static_cast<size_t>(buffer.value.numel()));
    reader_.read_range(reader_.at(buffer.name, "buffer"), 0, out.size(), Dtype::kF32,
                       std::as_writable_bytes(out));
  }
  std::vector<checkpoints::TensorInfo> tensors() const override {
    std::vector<checkpoints::TensorInfo> weights;
    for (const checkpoints::SavedTensor& tensor : reader_.tensors())
      if (tensor.kind == "weight") weights.push_back({tensor.name, tensor.dtype, tensor.shape});
    return weights;
  }
  at::ScalarType dtype() const override { return at::kFloat; }

 private:
  checkpoints::CheckpointReader reader_;
};

}  // namespace

std::unique_ptr<WeightSource> open_hf_weights(const std::string& directory) {
  return std::make_unique<HfWeightSource>(directory);
}

std::unique_ptr<WeightSource> open_checkpoint_weights(const std::string& checkpoint,
                                                      checkpoints::Verify verify) {
  return std::make_unique<CheckpointWeightSource>(checkpoint, verify);
}

}  // namespace athanor::inference
