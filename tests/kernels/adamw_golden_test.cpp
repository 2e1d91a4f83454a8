// AdamW against torch.optim.AdamW's own numbers: parameters after every step of the fixture.
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include "core/json.h"
#include "kernels/ops.h"
#include "tests/kernels/kernel_test.h"

namespace athanor::kernels {
namespace {

using namespace testing;
using Json = nlohmann::json;

std::string fixture_path(const std::string& name) {
  const char* given = std::getenv("ATHANOR_REFERENCE_DIR");
  for (const std::string& root :
       {std::string(given ? given : ""), std::string(ATHANOR_SOURCE_DIR "/tests/reference"),
        std::string(ATHANOR_SOURCE_DIR "/../shared/reference/fixtures")})
    if (!root.empty() && std::ifstream(root + "/adamw/" + name)) return root + "/adamw/" + name;
  return {};
}

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

/// The fp32 tensors of a small, trusted safetensors file.
class Tensors {
 public:
  explicit Tensors(const std::string& path) : bytes_(read_file(path)) {
    uint64_t header_bytes = 0;
    std::memcpy(&header_bytes, bytes_.data(), sizeof(header_bytes));
    header_ = Json::parse(bytes_.substr(8, header_bytes));
    data_ = 8 + header_bytes;
  }
  at::Tensor flat(const std::string& name) const {
    const auto& offsets = header_.at(name).at("data_offsets");
    const size_t begin = offsets[0], end = offsets[1];
    at::Tensor out = at::empty({static_cast<int64_t>((end - begin) / sizeof(float))});
    std::memcpy(out.mutable_data_ptr(), bytes_.data() + data_ + begin, end - begin);
    return out;
  }
  bool is_matrix(const std::string& name) const { return header_.at(name).at("shape").size() >= 2; }
  std::vector<std::string> names_after(const std::string& prefix) const {
    std::vector<std::string> names;
    for (const auto& [name, value] : header_.items())
      if (name.rfind(prefix, 0) == 0) names.push_back(name.substr(prefix.size()));
    return names;
  }

 private:
  std::string bytes_;
  Json header_;
  size_t data_ = 0;
};

TEST(AdamWGolden, FollowsTorchOptim) {
  const std::string facts_path = fixture_path("fixture.json");
  if (facts_path.empty()) GTEST_SKIP() << "no reference fixtures here";
  const Json facts = Json::parse(read_file(facts_path));
  const Tensors tensors(fixture_path("fixture.safetensors"));
  const double max_norm = facts.at("max_grad_norm");
  for (const std::string& name : tensors.names_after("param.0.")) {
    const at::Tensor p = tensors.flat("param.0." + name), m = at::zeros({p.numel()}), v = m.clone();
    std::vector<ElementRange> decay;
    if (tensors.is_matrix("param.0." + name)) decay = {{0, p.numel()}};
    for (int64_t step = 1; step <= facts.at("steps").get<int64_t>(); ++step) {
      const size_t i = static_cast<size_t>(step - 1);
      const double norm = facts.at("grad_norm")[i];
      const AdamWOptions options{facts.at("lr")[i],
                                 facts.at("betas")[0],
                                 facts.at("betas")[1],
                                 facts.at("eps"),
                                 facts.at("weight_decay"),
                                 step,
                                 std::min(1.0, max_norm / (norm + 1e-6))};
      const std::string at_step = std::to_string(step) + "." + name;
      adamw(p, m, v, tensors.flat("grad." + at_step), at::Tensor(), decay, options);
      EXPECT_LT(largest_error(p, tensors.flat("param." + at_step)), 1e-6) << at_step;
    }
    EXPECT_LT(largest_error(m, tensors.flat("exp_avg." + name)), 1e-6) << name;
    EXPECT_LT(largest_error(v, tensors.flat("exp_avg_sq." + name)), 1e-6) << name;
  }
}

}  // namespace
}  // namespace athanor::kernels
