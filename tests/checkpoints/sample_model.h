// A small made-up model state, cut among ranks in several ways, for tests that save and load it.
#pragma once

#include <cstring>
#include <filesystem>
#include <string>
#include <unistd.h>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "checkpoints/checkpoint_directory.h"
#include "checkpoints/checkpoint_reader.h"
#include "checkpoints/checkpoint_writer.h"
#include "core/error.h"
#include "core/rng.h"

namespace athanor::checkpoints {

inline core::FileSystem& disk() {
  return core::posix_file_system();
}

/// A directory of its own for each test, removed at the end.
class TestDirectory {
 public:
  TestDirectory() {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    path_ = (std::filesystem::temp_directory_path() /
             fmt::format("athanor-{}-{}-{}", info->test_suite_name(), info->name(), ::getpid()))
                .string();
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~TestDirectory() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

struct WholeTensor {
  std::string name, kind;
  Dtype dtype;
  Shape shape;
  std::vector<std::byte> bytes;
};

inline std::vector<std::byte> random_bytes(uint64_t count, uint64_t seed, const std::string& name) {
  const core::CounterRng rng(seed, name);
  std::vector<std::byte> bytes(count);
  for (uint64_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(rng.bits(i / 8) >> (i % 8 * 8));
  return bytes;
}

/// Weights and moments of several shapes (a scalar, an odd vector, an empty tensor, matrices, a stack of
/// experts).
inline std::vector<WholeTensor> sample_model(uint64_t seed) {
  std::vector<WholeTensor> model;
  const auto add = [&](const std::string& name, const std::string& kind, Dtype dtype, const Shape& shape) {
    model.push_back({name, kind, dtype, shape,
                     random_bytes(num_elements(shape) * element_bytes(dtype), seed, name + kind)});
  };
  const std::vector<std::pair<std::string, Shape>> shapes{{"model.embed_tokens.weight", {48, 24}},
                                                          {"model.layers.0.mlp.experts.weight", {4, 8, 6}},
                                                          {"model.layers.0.q_proj.weight", {24, 24}},
                                                          {"model.norm.weight", {23}},
                                                          {"model.nothing", {0, 8}},
                                                          {"model.scale", {}}};
  for (const auto& [name, shape] : shapes) {
    add(name, "weight", Dtype::kF32, shape);
    add(name, "exp_avg", Dtype::kBF16, shape);
  }
  add("model.layers.0.gate.bias", "buffer", Dtype::kI64, {8});
  return model;
}

/// How ranks divide a model: matrices by columns among `tensor` ranks, each share flat among `data` ranks.
struct Layout {
  int data = 1;
  int tensor = 1;
  int num_ranks() const { return data * tensor; }
};

inline Box box_of_rank(const WholeTensor& whole, const Layout& layout, int tensor_rank) {
  Box box = whole_box(whole.shape);
  if (whole.shape.size() < 2) return box;
  const int64_t columns = whole.shape.back() / layout.tensor;
  box.offset.back() = columns * tensor_rank;
  box.shape.back() = tensor_rank == layout.tensor - 1 ? whole.shape.back() - box.offset.back() : columns;
  return box;
}

/// The piece of one tensor that a rank owns; tensors that are not divided by columns belong to tensor rank 0.
inline Piece piece_of_rank(const WholeTensor& whole, const Layout& layout, int rank) {
  const int tensor_rank = rank / layout.data, data_rank = rank % layout.data;
  Piece piece{box_of_rank(whole, layout, tensor_rank), 0, 0};
  const uint64_t count = num_elements(piece.box.shape), share = (count + layout.data - 1) / layout.data;
  if (whole.shape.size() < 2 && tensor_rank != 0) return piece;
  piece.begin = std::min(count, share * data_rank);
  piece.end = std::min(count, piece.begin + share);
  return piece;
}

/// The bytes of a piece, by the plain rule: walk over all elements of the box.
inline std::vector<std::byte> bytes_of_piece(const WholeTensor& whole, const Piece& piece) {
  const uint64_t size = element_bytes(whole.dtype);
  std::vector<std::byte> bytes(piece.size() * size);
  for (uint64_t i = piece.begin; i < piece.end; ++i) {
    uint64_t rest = i, global = 0, stride = 1;
    for (size_t dim = whole.shape.size(); dim-- > 0;) {
      global += (rest % piece.box.shape[dim] + piece.box.offset[dim]) * stride;
      rest /= piece.box.shape[dim];
      stride *= whole.shape[dim];
    }
    std::memcpy(bytes.data() + (i - piece.begin) * size, whole.bytes.data() + global * size, size);
  }
  return bytes;
}

/// One rank's snapshot and the memory it points to.
struct RankSnapshot {
  std::vector<std::vector<std::byte>> memory;
  Snapshot snapshot;
};

inline RankSnapshot snapshot_of_rank(const std::vector<WholeTensor>& model, uint64_t step,
                                     const Layout& layout, int rank) {
  RankSnapshot result;
  result.memory.reserve(model.size());
  result.snapshot.progress = {step, step * 16, step * 8192};
  result.snapshot.training_state =
      fmt::format(R"({{"seed":18446744073709551615,"rate":0.1,"step":{}}})", step);
  result.snapshot.config = "run: {name: sample}\n# 自\n";
  for (const WholeTensor& whole : model) {
    const Piece piece = piece_of_rank(whole, layout, rank);
    result.memory.push_back(bytes_of_piece(whole, piece));
    result.snapshot.slices.push_back({whole.name, whole.kind, whole.dtype, whole.shape, piece.box,
                                      piece.begin, piece.end, result.memory.back()});
  }
  return result;
}

struct SaveOptions {
  Layout layout{};
  std::string run_id = "run-a";
  uint64_t num_to_keep = 3;
  uint64_t max_file_bytes = 4096;
  double part_deadline_s = 10;
};

/// Saves as all ranks of the layout, one after the other, rank 0 last. Throws what the first failing rank
/// throws.
inline void save_model(core::FileSystem& fs, const std::string& directory,
                       const std::vector<WholeTensor>& model, uint64_t step,
                       const SaveOptions& options = {}) {
  static int num_starts = 0;
  const std::string start_id = fmt::format("start{}", ++num_starts);
  for (int rank = options.layout.num_ranks() - 1; rank >= 0; --rank) {
    CheckpointWriter writer({directory, options.run_id, start_id, rank, options.layout.num_ranks(),
                             options.num_to_keep, options.max_file_bytes, options.part_deadline_s, 0, &fs});
    writer.save(snapshot_of_rank(model, step, options.layout, rank).snapshot, IfBusy::kWait);
    writer.wait();
  }
}

inline std::vector<std::byte> read_whole(const CheckpointReader& reader, const SavedTensor& tensor) {
  std::vector<std::byte> bytes(num_elements(tensor.shape) * element_bytes(tensor.dtype));
  reader.read_range(tensor, 0, num_elements(tensor.shape), tensor.dtype, bytes);
  return bytes;
}

/// True when the checkpoint holds exactly this model.
inline bool holds(const CheckpointReader& reader, const std::vector<WholeTensor>& model) {
  if (reader.tensors().size() != model.size()) return false;
  for (const WholeTensor& whole : model)
    if (read_whole(reader, reader.at(whole.name, whole.kind)) != whole.bytes) return false;
  return true;
}

/// The message of the error of type E that `call` throws; fails the test when it throws none or another.
template <typename E, typename Call>
std::string message_of(Call call) {
  try {
    call();
  } catch (const E& error) {
    return error.what();
  } catch (const std::exception& error) {
    ADD_FAILURE() << "another error: " << error.what();
    return "";
  }
  ADD_FAILURE() << "no error";
  return "";
}

}  // namespace athanor::checkpoints
