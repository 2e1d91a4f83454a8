// Block-scaled FP8 against torch's own casts: codes, scales, values and products of the fixture, and the
// tables of both formats. ATHANOR_TEST_DEVICE=cuda quantises and multiplies on the first GPU.
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>

#include "core/json.h"
#include "kernels/cuda_plugin.h"
#include "kernels/fp8.h"
#include "kernels/reference/fp8.h"
#include "tests/kernels/kernel_test.h"

namespace athanor::kernels {
namespace {

using namespace testing;
using Json = nlohmann::json;

std::string fixture_path(const std::string& name) {
  const char* given = std::getenv("ATHANOR_REFERENCE_DIR");
  for (const std::string& root :
       {std::string(given ? given : ""), std::string(ATHANOR_SOURCE_DIR "/tests/reference")})
    if (!root.empty() && std::ifstream(root + "/fp8/" + name)) return root + "/fp8/" + name;
  return {};
}

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

/// The tensors (f32 and u8) of a small, trusted safetensors file.
class Tensors {
 public:
  explicit Tensors(const std::string& path) : bytes_(read_file(path)) {
    uint64_t header_bytes = 0;
    std::memcpy(&header_bytes, bytes_.data(), sizeof(header_bytes));
    header_ = Json::parse(bytes_.substr(8, header_bytes));
    data_ = 8 + header_bytes;
  }
  at::Tensor operator[](const std::string& name) const {
    const auto& facts = header_.at(name);
    const at::Tensor out = at::empty(facts.at("shape").get<std::vector<int64_t>>(),
                                     typed(facts.at("dtype") == "F32" ? at::kFloat : at::kByte));
    const size_t begin = facts.at("data_offsets")[0];
    std::memcpy(out.mutable_data_ptr(), bytes_.data() + data_ + begin, out.nbytes());
    return out;
  }

 private:
  std::string bytes_;
  Json header_;
  size_t data_ = 0;
};

class Fp8Golden : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string path = fixture_path("fixture.safetensors");
    ASSERT_FALSE(path.empty()) << "no fp8 fixture: set ATHANOR_REFERENCE_DIR";
    tensors_ = std::make_unique<Tensors>(path);
    facts_ = Json::parse(read_file(fixture_path("fixture.json")));
    const char* name = std::getenv("ATHANOR_TEST_DEVICE");
    if (name && std::string(name) == "cuda") device_ = open_cuda_device(0);
  }
  /// A tensor of the fixture, where quantising and products run.
  at::Tensor there(const std::string& name) const { return tensors()[name].to(device_); }
  const Tensors& tensors() const { return *tensors_; }

  std::unique_ptr<Tensors> tensors_;
  Json facts_;
  at::Device device_ = at::kCPU;
};

int64_t num_different(const at::Tensor& codes, const at::Tensor& expected) {
  const at::Tensor mine = codes.view(at::kByte).cpu();
  EXPECT_EQ(mine.sizes(), expected.sizes());
  int64_t count = 0;
  for (int64_t i = 0; i < mine.numel(); ++i)
    count += mine.const_data_ptr<uint8_t>()[i] != expected.const_data_ptr<uint8_t>()[i];
  return count;
}

TEST_F(Fp8Golden, QuantisesAndMultiplies) {
  for (const auto& [tag, scale] :
       {std::pair{std::string("ue8m0"), Fp8Scale::kPowerOfTwo}, {"fp32", Fp8Scale::kFp32}}) {
    SCOPED_TRACE(tag);
    std::map<std::string, Fp8Matrix> quantised;
    for (const auto& [name, tiles] : {std::pair{std::string("x"), Fp8Tiles::kRow}, {"w", Fp8Tiles::kBlock}}) {
      SCOPED_TRACE(name);
      const std::string base = tag + "." + name;
      const Fp8Matrix mine = quantise(there(name), tiles, {.scale = scale});
      quantised[name] = mine;
      // A divider may differ at rounding ties; we multiply by the inverse as the fixture does.
      const int64_t allowed = facts_.at(tag).at(name + "_bytes_that_differ_if_divided_instead");
      const int64_t differ = num_different(mine.codes, tensors()[base + "_q"]);
      EXPECT_LE(differ, allowed);
      std::printf("%s: %ld of %ld codes differ, %ld may\n", base.c_str(), differ, mine.codes.numel(),
                  allowed);
      EXPECT_TRUE(same_bits(mine.scales.cpu(), tensors()[base + "_scale"]));
      const at::Tensor values = at::empty(mine.codes.sizes(), at::TensorOptions().device(device_));
      dequantise(values, mine);
      if (differ == 0) {
        EXPECT_TRUE(same_bits(values.cpu(), tensors()[base + "_dequant"]));
      }
      if (scale == Fp8Scale::kPowerOfTwo) {
        const at::Tensor exponents = tensors()[base + "_scale_exponent"];
        const at::Tensor scales = mine.scales.cpu();
        for (int64_t i = 0; i < exponents.numel(); ++i)
          EXPECT_EQ(scales.const_data_ptr<float>()[i],
                    std::ldexp(1.0f, exponents.const_data_ptr<uint8_t>()[i] - 127));
      }
    }
    const at::Tensor expected = tensors()[tag + ".y"],
                     y = at::empty(expected.sizes(), at::TensorOptions().device(device_));
    fp8_matmul_nt(y, quantised["x"], quantised["w"]);
    // fp32 sums against fp64; FP8 tensor cores add up to 128 terms in fewer bits.
    EXPECT_LT(largest_error(y.cpu(), expected), device_.is_cuda() ? 5e-3 : 1e-5);
  }
}

class Fp8Formats : public Fp8Golden, public ::testing::WithParamInterface<reference::Fp8Format> {};

TEST_P(Fp8Formats, TableAndCast) {
  const std::string base = GetParam() == reference::Fp8Format::kE4m3 ? "e4m3." : "e5m2.";
  const at::Tensor values = tensors()[base + "value_of_code"], inputs = tensors()[base + "cast_input"],
                   codes = tensors()[base + "cast_code_saturated"];
  for (int code = 0; code < 256; ++code) {
    const float expected = values.const_data_ptr<float>()[code];
    const float mine = reference::fp8_value(static_cast<uint8_t>(code), GetParam());
    EXPECT_TRUE(mine == expected || (std::isnan(mine) && std::isnan(expected))) << code;
  }
  for (int64_t i = 0; i < inputs.numel(); ++i)
    EXPECT_EQ(reference::fp8_code(inputs.const_data_ptr<float>()[i], GetParam()),
              codes.const_data_ptr<uint8_t>()[i])
        << inputs.const_data_ptr<float>()[i];
}

INSTANTIATE_TEST_SUITE_P(Formats, Fp8Formats,
                         ::testing::Values(reference::Fp8Format::kE4m3, reference::Fp8Format::kE5m2));

TEST_F(Fp8Golden, CodesAreCastAsTorchDoes) {
  // With this floor the scale is one for every tile within range.
  const at::Tensor inputs = tensors()["e4m3.cast_input"].clamp(-448.0, 448.0).view({1, -1}).to(device_);
  const Fp8Matrix all = quantise(inputs, Fp8Tiles::kRow, {.floor = 448.0f});
  const at::Tensor scales = all.scales.cpu();
  for (int64_t i = 0; i < scales.numel(); ++i) EXPECT_EQ(scales.const_data_ptr<float>()[i], 1.0f);
  EXPECT_EQ(num_different(all.codes, tensors()["e4m3.cast_code_saturated"].view({1, -1})), 0);
}

}  // namespace
}  // namespace athanor::kernels
