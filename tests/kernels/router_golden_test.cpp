// Routing against what Hugging Face's models chose: every reference model with `router.L.*` tensors.
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <gtest/gtest.h>

#include "core/json.h"
#include "kernels/ops.h"
#include "tests/kernels/tensor_testing.h"

namespace athanor::kernels {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

fs::path reference_dir() {
  const char* chosen = std::getenv("ATHANOR_REFERENCE_DIR");
  if (chosen) return chosen;
  const fs::path source(ATHANOR_SOURCE_DIR), copied = source / "tests" / "reference";
  return fs::exists(copied) ? copied : source / ".." / "shared" / "reference" / "fixtures";
}

json read_json(const fs::path& path) {
  std::ifstream file(path);
  return json::parse(file);
}

/// The fp32 and int64 tensors of a safetensors file of our own fixtures.
std::map<std::string, at::Tensor> read_tensors(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  uint64_t header_bytes = 0;
  file.read(reinterpret_cast<char*>(&header_bytes), sizeof(header_bytes));
  std::string header(header_bytes, '\0');
  file.read(header.data(), static_cast<std::streamsize>(header.size()));
  std::map<std::string, at::Tensor> tensors;
  const json entries = json::parse(header);
  for (const auto& [name, entry] : entries.items()) {
    if (name == "__metadata__" || (entry["dtype"] != "F32" && entry["dtype"] != "I64")) continue;
    const at::Tensor tensor = at::empty(entry["shape"].get<std::vector<int64_t>>(),
                                        entry["dtype"] == "F32" ? at::kFloat : at::kLong);
    file.seekg(static_cast<std::streamoff>(8 + header_bytes + entry["data_offsets"][0].get<uint64_t>()));
    file.read(static_cast<char*>(tensor.data_ptr()), static_cast<std::streamsize>(tensor.nbytes()));
    EXPECT_TRUE(file.good()) << path << ": " << name;
    tensors[name] = tensor;
  }
  return tensors;
}

RouterOptions options_of(const json& config) {
  RouterOptions options;
  options.score = config["model_type"] == "deepseek_v3" ? RouterScore::kSigmoid : RouterScore::kSoftmax;
  options.num_experts_per_tok = config["num_experts_per_tok"];
  options.n_group = config.value("n_group", 1);
  options.topk_group = config.value("topk_group", 1);
  options.norm_topk_prob = config["norm_topk_prob"];
  options.routed_scaling_factor = config.value("routed_scaling_factor", 1.0);
  return options;
}

int check_model(const fs::path& model) {
  const RouterOptions options = options_of(read_json(model / "config.json"));
  const auto fixture = read_tensors(model / "fixture.safetensors");
  const auto weights_of_model = read_tensors(model / "model.safetensors");
  int num_layers = 0;
  for (const auto& [name, logits] : fixture) {
    if (!name.starts_with("router.") || !name.ends_with(".logits")) continue;
    SCOPED_TRACE(model.filename().string() + ": " + name);
    const std::string prefix = name.substr(0, name.size() - std::strlen("logits"));
    const std::string layer =
        prefix.substr(std::strlen("router."), prefix.size() - std::strlen("router.") - 1);
    const auto bias = weights_of_model.find("model.layers." + layer + ".mlp.gate.e_score_correction_bias");
    const at::Tensor& expected_ids = fixture.at(prefix + "expert_ids");
    const at::Tensor ids = at::empty(expected_ids.sizes(), at::kInt),
                     weights = at::empty(ids.sizes(), at::kFloat);
    route(ids, weights, at::empty_like(logits), logits,
          bias == weights_of_model.end() ? at::Tensor() : bias->second, options);
    EXPECT_TRUE(testing::same_bits(ids.to(at::kLong), expected_ids));
    EXPECT_TRUE(testing::near(weights, fixture.at(prefix + "expert_weights"), 1e-6));
    ++num_layers;
  }
  return num_layers;
}

TEST(RouterGolden, ChoosesAndWeighsLikeTheReferenceModels) {
  ASSERT_TRUE(fs::is_directory(reference_dir()))
      << "no reference fixtures in " << reference_dir() << ": set ATHANOR_REFERENCE_DIR";
  int num_layers = 0;
  for (const auto& entry : fs::directory_iterator(reference_dir()))
    if (fs::exists(entry.path() / "fixture.safetensors") && fs::exists(entry.path() / "config.json") &&
        read_json(entry.path() / "config.json").contains("num_experts_per_tok"))
      num_layers += check_model(entry.path());
  EXPECT_GT(num_layers, 0) << "no router tensors in " << reference_dir();
}

}  // namespace
}  // namespace athanor::kernels
