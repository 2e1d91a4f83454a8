// torch.optim.AdamW with clipping and a warm-up cosine schedule, replayed: the fixture gives every step's
// gradients, this program must give its norms, learning rates, weights and moments.
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "core/json.h"
#include "optim/adamw_optimizer.h"
#include "optim/gradient_norm.h"
#include "optim/schedule.h"
#include "parallel/flat_layout.h"
#include "parallel/self_communicator.h"

namespace athanor::optim {
namespace {

using nlohmann::json;

std::filesystem::path fixture_directory() {
  const char* given = std::getenv("ATHANOR_REFERENCE_DIR");
  const std::filesystem::path in_tree = ATHANOR_SOURCE_DIR "/tests/reference";
  const std::filesystem::path shared = ATHANOR_SOURCE_DIR "/../shared/reference/fixtures";
  if (given) return std::filesystem::path(given) / "adamw";
  return (std::filesystem::exists(in_tree / "adamw") ? in_tree : shared) / "adamw";
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// All fp32 tensors of a (trusted) safetensors file.
std::map<std::string, at::Tensor> read_tensors(const std::filesystem::path& path) {
  const std::string bytes = read_file(path);
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), sizeof header_bytes);
  const json header = json::parse(bytes.substr(8, header_bytes));
  std::map<std::string, at::Tensor> tensors;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    EXPECT_EQ(entry.at("dtype"), "F32") << name;
    const at::Tensor tensor = at::empty(entry.at("shape").get<std::vector<int64_t>>(), at::kFloat);
    const auto begin = entry.at("data_offsets").at(0).get<uint64_t>();
    std::memcpy(tensor.mutable_data_ptr(), bytes.data() + 8 + header_bytes + begin, tensor.nbytes());
    tensors[name] = tensor;
  }
  return tensors;
}

class AdamWGolden : public testing::Test {
 protected:
  void SetUp() override {
    const auto directory = fixture_directory();
    ASSERT_TRUE(std::filesystem::exists(directory / "fixture.json")) << "no fixture in " << directory;
    facts_ = json::parse(read_file(directory / "fixture.json"));
    tensors_ = read_tensors(directory / "fixture.safetensors");
    const std::string prefix = "param.0.";
    for (const auto& [name, tensor] : tensors_)
      if (name.compare(0, prefix.size(), prefix) == 0)
        shapes_.push_back({name.substr(prefix.size()), tensor.sizes().vec()});
    ASSERT_FALSE(shapes_.empty());
  }

  /// The fixture's tensors PREFIX.NAME for all parameters, in the layout's flat buffer.
  at::Tensor flat(const parallel::FlatLayout& layout, const std::string& prefix) const {
    const at::Tensor buffer = at::zeros({layout.padded_size(1)});
    for (const auto& parameter : layout.parameters())
      layout.view(buffer, parameter).copy_(tensors_.at(prefix + "." + parameter.name));
    return buffer;
  }

  Schedule schedule() const {
    return Schedule({.kind = ScheduleKind::kCosine,
                     .learning_rate = facts_.at("base_lr"),
                     .total_steps = facts_.at("steps"),
                     .warmup_steps = facts_.at("warmup_steps"),
                     .min_ratio = facts_.at("min_lr_ratio")});
  }

  json facts_;
  std::map<std::string, at::Tensor> tensors_;
  std::vector<parallel::NamedShape> shapes_;
};

double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

TEST_F(AdamWGolden, LearningRatesAreTheReferences) {
  const auto expected = facts_.at("lr").get<std::vector<double>>();
  for (size_t step = 0; step < expected.size(); ++step)
    EXPECT_DOUBLE_EQ(schedule().learning_rate_at(static_cast<int64_t>(step)), expected[step]) << step;
}

TEST_F(AdamWGolden, NormsWeightsAndMomentsAreTheReferences) {
  const parallel::FlatLayout layout(shapes_);
  const at::Tensor master = flat(layout, "param.0");
  const parallel::ElementRange all{0, layout.padded_size(1)};
  const auto decays = [](const parallel::FlatParameter& p) { return p.shape.size() >= 2; };
  const AdamWHyper hyper{.beta1 = facts_.at("betas").at(0),
                         .beta2 = facts_.at("betas").at(1),
                         .eps = facts_.at("eps"),
                         .weight_decay = facts_.at("weight_decay")};
  AdamWOptimizer optimizer(hyper, {{"net", master, layout.ranges(all, decays)}});
  parallel::SelfCommunicator self("data");
  const auto norms = facts_.at("grad_norm").get<std::vector<double>>();
  double worst = 0;
  for (size_t step = 0; step < norms.size(); ++step) {
    const at::Tensor gradient = flat(layout, fmt::format("grad.{}", step + 1));
    const GradientNorm norm = global_gradient_norm({gradient}, {&self});
    EXPECT_NEAR(norm.value, norms[step], 1e-6 * norms[step]) << step;
    optimizer.step({{gradient, {}}}, schedule().learning_rate_at(static_cast<int64_t>(step)),
                   norm.clip_scale(facts_.at("max_grad_norm")));
    worst = std::max(worst, largest_difference(master, flat(layout, fmt::format("param.{}", step + 1))));
  }
  EXPECT_LT(worst, 1e-6) << "weights, all steps";
  EXPECT_LT(largest_difference(optimizer.state()[1].values, flat(layout, "exp_avg")), 1e-7);
  EXPECT_LT(largest_difference(optimizer.state()[2].values, flat(layout, "exp_avg_sq")), 1e-8);
  RecordProperty("largest_difference", fmt::format("{:.3g}", worst));
  fmt::print("largest difference of a weight over {} steps: {:.3g}\n", norms.size(), worst);
}

}  // namespace
}  // namespace athanor::optim
