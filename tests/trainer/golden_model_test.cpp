// Every reference model (ATHANOR_REFERENCE_DIR, else tests/reference) against transformers: logits, loss,
// gradients, greedy continuation and a training curve. ATHANOR_TEST_DEVICE=cuda runs all of it on the first
// GPU.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>

#include <gtest/gtest.h>

#include "checkpoints/safetensors.h"
#include "core/file_system.h"
#include "core/json.h"
#include "inference/generate.h"
#include "inference/loaded_model.h"
#include "inference/weight_source.h"
#include "kernels/cuda_plugin.h"
#include "kernels/ops.h"
#include "parallel/self_communicator.h"
#include "tests/trainer/training_harness.h"

namespace athanor::tests {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

at::Device device() {
  static const at::Device chosen = [] {
    const char* name = std::getenv("ATHANOR_TEST_DEVICE");
    return name && std::string(name) == "cuda" ? kernels::open_cuda_device(0) : at::Device(at::kCPU);
  }();
  return chosen;
}

// Another order of sums than the reference's, and exponentials that are not correctly rounded.
double logits_tolerance() {
  return device().is_cuda() ? 1e-4 : 2e-5;
}

fs::path reference_directory() {
  const char* given = std::getenv("ATHANOR_REFERENCE_DIR");
  return given && *given ? fs::path(given) : fs::path(ATHANOR_SOURCE_DIR) / "tests" / "reference";
}

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  if (!fs::exists(reference_directory())) return names;
  for (const auto& entry : fs::directory_iterator(reference_directory()))
    if (fs::exists(entry.path() / "model.safetensors") && fs::exists(entry.path() / "fixture.safetensors"))
      names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

std::string read(const fs::path& path) {
  return core::read_text_file(core::posix_file_system(), path.string(), 1 << 26);
}

// The tensors and figures of one reference model.
class Fixture {
 public:
  explicit Fixture(const std::string& name)
      : directory(reference_directory() / name),
        figures(json::parse(read(directory / "fixture.json"))),
        tensors_(core::posix_file_system(), (directory / "fixture.safetensors").string()) {}

  template <typename T>
  std::vector<T> values(const std::string& name) const {
    const auto bytes = tensors_.view(tensors_.at(name));
    std::vector<T> result(bytes.size() / sizeof(T));
    std::memcpy(result.data(), bytes.data(), bytes.size());
    return result;
  }
  std::vector<int64_t> shape(const std::string& name) const { return tensors_.at(name).info.shape; }
  bool has(const std::string& name) const { return tensors_.find(name) != nullptr; }
  auto tensors() const { return tensors_.tensors(); }

  model::ModelSpec spec(const char* config = "config.json") const {
    return model::spec_from_hf_config(read(directory / config), (directory / config).string());
  }
  std::unique_ptr<inference::WeightSource> weights() const {
    return inference::open_hf_weights(directory.string());
  }

  // The batch of the fixture, with labels moved to the position that predicts them.
  model::MicroBatch batch(const model::ModelSpec& model_spec) const {
    const auto ids = values<int64_t>("input_ids"), labels = values<int64_t>("labels");
    const int64_t length = shape("input_ids").back();
    std::vector<int64_t> next(labels.size(), kernels::kIgnoredLabel);
    for (size_t t = 0; t + 1 < labels.size(); ++t)
      if ((static_cast<int64_t>(t) + 1) % length) next[t] = labels[t + 1];
    return micro_batch(model_spec, ids, next, length).on(device());
  }

  const fs::path directory;
  const json figures;

 private:
  checkpoints::SafetensorsFile tensors_;
};

double largest_difference(const at::Tensor& a, const std::vector<float>& b) {
  EXPECT_EQ(a.numel(), static_cast<int64_t>(b.size()));
  const at::Tensor on_host = a.cpu();
  const float* values = on_host.const_data_ptr<float>();
  double largest = 0;
  for (size_t i = 0; i < b.size(); ++i)
    largest = std::max(largest, std::abs(static_cast<double>(values[i]) - b[i]));
  return largest;
}

std::unique_ptr<Harness> harness(const Fixture& fixture, parallel::Communicator& data,
                                 HarnessOptions options = {}) {
  const auto weights = fixture.weights();
  options.device = device();
  auto made = std::make_unique<Harness>(fixture.spec(), options, data,
                                        [&](const model::Parameter& parameter, int64_t begin,
                                            std::span<float> out) { weights->read(parameter, begin, out); });
  for (model::Buffer* buffer : model::all_buffers(made->model)) {
    buffer->value = buffer->value.cpu();
    weights->read(*buffer);
  }
  made->place_buffers();
  return made;
}

// Gradients of the whole batch under their Hugging Face names.
std::map<std::string, at::Tensor> gradients_by_name(Harness& made) {
  std::map<std::string, at::Tensor> named;
  const auto shards = made.store->gradient_shards();
  for (size_t i = 0; i < shards.size(); ++i) {
    const auto& slice = made.store->slices()[i];
    for (const auto& piece : slice.layout->pieces(slice.shard)) {
      const model::Parameter& parameter = *slice.parameters->at(piece.parameter_idx);
      model::for_each_part(parameter, piece.parameter_begin, piece.parameter_end,
                           [&](const model::HfPart& part, int64_t begin, int64_t end, int64_t position) {
                             EXPECT_EQ(end - begin, part.num_elements()) << part.name;
                             named[part.name] =
                                 shards[i].narrow(0, piece.slice_begin + position, end - begin);
                           });
    }
  }
  return named;
}

double norm(const at::Tensor& values) {
  double sum = 0;
  const at::Tensor on_host = values.cpu();
  const float* v = on_host.const_data_ptr<float>();
  for (int64_t i = 0; i < values.numel(); ++i) sum += static_cast<double>(v[i]) * v[i];
  return std::sqrt(sum);
}

class GoldenModel : public testing::TestWithParam<std::string> {};

TEST_P(GoldenModel, LogitsEqualInBothDialectsOfTheConfig) {
  const Fixture fixture(GetParam());
  for (const char* config : {"config.json", "config_released_style.json"}) {
    if (!fs::exists(fixture.directory / config)) continue;
    const model::ModelSpec spec = fixture.spec(config);
    const auto weights = fixture.weights();
    inference::LoadedModel loaded(spec, *weights, at::kFloat, device());
    const at::Tensor logits = loaded.logits(loaded.hidden_states(fixture.batch(spec)));
    const double difference = largest_difference(logits, fixture.values<float>("logits"));
    std::printf("%s %s: logits differ by at most %.2e\n", GetParam().c_str(), config, difference);
    EXPECT_LT(difference, logits_tolerance()) << config;
  }
}

TEST_P(GoldenModel, SavedConfigGivesTheSameModel) {
  const Fixture fixture(GetParam());
  const model::ModelSpec spec = fixture.spec();
  const model::ModelSpec again =
      model::spec_from_hf_config(model::spec_to_hf_config(spec, "float32"), "written");
  EXPECT_EQ(model::spec_to_hf_config(spec, "float32"), model::spec_to_hf_config(again, "float32"));
  EXPECT_EQ(model::count_parameters(spec).total, model::count_parameters(again).total);
}

TEST_P(GoldenModel, LossAndEveryGradientAgree) {
  const Fixture fixture(GetParam());
  for (const auto recompute : {trainer::Recompute::kNone, trainer::Recompute::kFull}) {
    parallel::SelfCommunicator self("data");
    const auto made = harness(fixture, self, {.recompute = recompute});
    const model::MicroBatch batch = fixture.batch(made->model.spec);
    const auto labelled = static_cast<double>(model::num_labels(batch, 0));
    model::PassContext pass = model::make_pass(made->model, batch);
    pass.is_training = true;
    pass.loss_scale = {1.0 / labelled};
    made->executor->forward_backward(pass);
    made->store->finish_micro_batch();

    EXPECT_NEAR(pass.loss_sum.front() / labelled, fixture.figures.at("loss").get<double>(), 1e-5);
    const auto gradients = gradients_by_name(*made);
    double worst = 0;
    for (const auto& [name, expected] : fixture.figures.at("grad_norms").items()) {
      ASSERT_TRUE(gradients.contains(name)) << name;
      const double relative = std::abs(norm(gradients.at(name)) / expected.get<double>() - 1);
      EXPECT_LT(relative, 1e-4) << name;
      worst = std::max(worst, relative);
    }
    std::printf("%s: gradient norms differ by at most %.2e (relative)\n", GetParam().c_str(), worst);
    for (const auto& entry : fixture.tensors()) {
      if (!entry.info.name.starts_with("grad.")) continue;
      const std::string name = entry.info.name.substr(5);
      EXPECT_LT(largest_difference(gradients.at(name), fixture.values<float>(entry.info.name)),
                1e-5 + 1e-4 * norm(gradients.at(name)))
          << name;
    }
  }
}

TEST_P(GoldenModel, RouterChoicesAgree) {
  const Fixture fixture(GetParam());
  if (fixture.spec().n_routed_experts == 0) return;  // nothing is routed: dense models have no such tensors
  parallel::SelfCommunicator self("data");
  const auto made = harness(fixture, self);
  const model::MicroBatch batch = fixture.batch(made->model.spec);
  model::PassContext pass = model::make_pass(made->model, batch);
  made->executor->forward(pass);
  int64_t moe_idx = 0;
  for (int64_t layer = 0; layer < made->model.spec.num_hidden_layers; ++layer) {
    if (!made->model.spec.is_moe_layer(layer)) continue;
    std::vector<int64_t> expected(static_cast<size_t>(made->model.spec.n_routed_experts), 0);
    for (int64_t id : fixture.values<int64_t>("router." + std::to_string(layer) + ".expert_ids"))
      ++expected[static_cast<size_t>(id)];
    EXPECT_EQ(pass.expert_tokens.at(static_cast<size_t>(moe_idx++)), expected) << "layer " << layer;
  }
  EXPECT_GT(moe_idx, 0);
}

TEST_P(GoldenModel, GreedyContinuationIsEqual) {
  const Fixture fixture(GetParam());
  const auto prompt = fixture.values<int64_t>("generate.prompt"),
             output = fixture.values<int64_t>("generate.output");
  const auto weights = fixture.weights();
  inference::LoadedModel loaded(fixture.spec(), *weights, at::kFloat, device());
  const auto count = static_cast<int64_t>(output.size() - prompt.size());
  const auto generated = inference::generate(loaded, {prompt}, {.max_new_tokens = count});
  std::vector<int64_t> whole = prompt;
  whole.insert(whole.end(), generated.front().begin(), generated.front().end());
  EXPECT_EQ(whole, output);
}

TEST_P(GoldenModel, TrainingCurveAgrees) {
  const Fixture fixture(GetParam());
  const json& train = fixture.figures.at("train");
  parallel::SelfCommunicator self("data");
  const int64_t steps = train.at("steps");
  HarnessOptions options{.adamw = {.beta1 = train.at("betas").at(0),
                                   .beta2 = train.at("betas").at(1),
                                   .eps = train.at("eps"),
                                   .weight_decay = train.at("weight_decay")},
                         .schedule = {.kind = optim::ScheduleKind::kConstant,
                                      .learning_rate = train.at("lr"),
                                      .total_steps = steps},
                         .decays_all = true,
                         .grad_clip = train.at("max_grad_norm")};
  const auto made = harness(fixture, self, options);
  const model::MicroBatch batch = fixture.batch(made->model.spec);
  double worst = 0;
  for (int64_t i = 0; i < steps; ++i) {
    const trainer::StepResult result = made->step->run(i + 1, {batch});
    const double loss = train.at("losses").at(static_cast<size_t>(i)),
                 grad_norm = train.at("grad_norms").at(static_cast<size_t>(i));
    EXPECT_NEAR(result.loss, loss, 1e-4) << "step " << i;
    EXPECT_NEAR(result.grad_norm, grad_norm, 1e-3 * grad_norm) << "step " << i;
    worst = std::max(worst, std::abs(result.loss - loss));
  }
  std::printf("%s: losses of %d steps differ by at most %.2e\n", GetParam().c_str(), static_cast<int>(steps),
              worst);
}

INSTANTIATE_TEST_SUITE_P(Reference, GoldenModel, testing::ValuesIn(model_names()),
                         [](const auto& test) { return test.param; });

// Opens the device before any tensor is made: LibTorch looks for CUDA once.
class DeviceFirst : public testing::Environment {
 public:
  void SetUp() override { device(); }
};
[[maybe_unused]] const testing::Environment* const g_device_first =
    testing::AddGlobalTestEnvironment(new DeviceFirst);

TEST(GoldenModels, ThereAreSome) {
  EXPECT_FALSE(model_names().empty()) << reference_directory();
}

}  // namespace
}  // namespace athanor::tests
