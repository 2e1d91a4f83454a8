#include "checkpoints/manifest.h"

#include <array>

#include "checkpoints/bounded_json.h"
#include "core/digest.h"
#include "core/json.h"
#include "tests/checkpoints/sample_model.h"

namespace athanor::checkpoints {
namespace {

using core::DataError;

Manifest sample_manifest() {
  Manifest manifest;
  manifest.run_id = "run \"a\"";
  manifest.progress = {120, 1920, 983040};
  manifest.num_ranks = 2;
  manifest.training_state = R"({"rate":0.1,"seed":18446744073709551615})";
  manifest.config = "a: 1\n\"日\"\n";
  manifest.files = {{"rank-00000-00000.safetensors", 100, std::string(32, 'a')},
                    {"rank-00001-00000.safetensors", 200, std::string(32, '0')}};
  manifest.tensors = {{"w",
                       "exp_avg",
                       Dtype::kBF16,
                       {4, 6},
                       {{0, "w:l", {{{0, 0}, {4, 3}}, 0, 12}}, {1, "w:r", {{{0, 3}, {4, 3}}, 0, 12}}}},
                      {"w",
                       "weight",
                       Dtype::kF32,
                       {4, 6},
                       {{0, "w+0", {whole_box({4, 6}), 0, 10}}, {1, "w+10", {whole_box({4, 6}), 10, 24}}}}};
  return manifest;
}

// Text with another digest that fits, so that what stands behind the digest is tested.
std::string signed_again(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  text.replace(at, from.size(), to);
  text.resize(text.find(",\n\"digest\":\"", text.find("\"tensors\"")));
  return text + ",\n\"digest\":\"" + core::digest_hex(std::string_view(text)) + "\"}\n";
}

TEST(Manifest, ReadsBackWhatWasWritten) {
  const std::string text = to_text(sample_manifest());
  const Manifest manifest = parse_manifest(text, "m");
  EXPECT_EQ(to_text(manifest), text);
  EXPECT_EQ(manifest.training_state, sample_manifest().training_state);
  EXPECT_EQ(manifest.config, sample_manifest().config);
  EXPECT_EQ(manifest.progress, sample_manifest().progress);
  EXPECT_EQ(manifest.num_bytes(), 300u);
}

TEST(Manifest, EveryFlippedBitAndEveryCutIsSeen) {
  const std::string text = to_text(sample_manifest());
  for (size_t at = 0; at < text.size(); ++at) {
    EXPECT_THROW(parse_manifest(text.substr(0, at), "m"), DataError) << at;
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = text;
      flipped[at] = static_cast<char>(flipped[at] ^ (1 << bit));
      EXPECT_THROW(parse_manifest(flipped, "m"), DataError) << at << " bit " << bit;
    }
  }
}

TEST(Manifest, ValidDigestsDoNotExcuseBadContent) {
  const std::string text = to_text(sample_manifest());
  const std::vector<std::array<std::string, 3>> cases{
      {"\"format_version\":1", "\"format_version\":2", "written by a newer athanor"},
      {"\"step\":120", "\"step\":-1", "step: expected a non-negative integer, found -1"},
      {"\"step\":120", "\"step\":9223372036854775808", "below 2^63"},
      {"\"step\":120", "\"step\":1e2", "non-negative integer"},
      {"\"step\":120,", "", "the key \"step\" is missing"},
      {"\"step\":120", "\"step\":1,\"step\":1", "appears twice"},
      {"rank-00000-00000.safetensors", "../../x.safetensors", "inside the checkpoint's directory"},
      {"rank-00000-00000.safetensors", "/etc/passwd", "inside the checkpoint's directory"},
      {"rank-00000-00000.safetensors", "", "inside the checkpoint's directory"},
      {"rank-00000-00000.safetensors", "manifest.json", "inside the checkpoint's directory"},
      {"rank-00000-00000.safetensors", "rank-00001-00000.safetensors", "the file appears twice"},
      {"\"file\":0", "\"file\":7", "an index below 2"},
      {"\"file\":0", "\"file\":2", "an index below 2"},
      {"\"begin\":10", "\"begin\":11", "elements [10, 11) are held by nobody"},
      {"\"begin\":10", "\"begin\":9", "elements [9, 10) are held twice"},
      {"\"end\":24", "\"end\":25", "a range inside the box"},
      {"\"begin\":10,\"end\":24", "\"begin\":24,\"end\":10", "a range inside the box"},
      {"\"offset\":[0,3]", "\"offset\":[0,4]", "a box inside [4, 6]"},
      {"\"offset\":[0,3]", "\"offset\":[0,9223372036854775807]", "a box inside [4, 6]"},
      {"\"offset\":[0,3]", "\"offset\":[0,2]", "overlap"},
      {"\"shape\":[4,6]", "\"shape\":[4294967296,4294967296]", "does not overflow"},
      {"\"dtype\":\"BF16\"", "\"dtype\":\"bf16\"", "one of F64"},
      {"\"kind\":\"exp_avg\"", "\"kind\":\"weight\"", "appears twice"},
      {"\"training_state\":{", "\"training_state\":[{", "not valid JSON"},
      {"\"config\":\"", "\"config\":3,\"x\":\"", "config: expected a string, found 3"},
  };
  for (const auto& [from, to, complaint] : cases) {
    const std::string bad = signed_again(text, from, to);
    const std::string message = message_of<DataError>([&] { parse_manifest(bad, "m"); });
    EXPECT_NE(message.find(complaint), std::string::npos) << to << ": " << message;
    EXPECT_EQ(message.find("m: "), 0u) << message;
  }
  EXPECT_NE(message_of<DataError>([&] { parse_part(text, "p"); }).find("not an athanor-checkpoint-part"),
            std::string::npos);
}

TEST(Manifest, MutatedTextsNeverCrash) {
  const std::string text = to_text(sample_manifest());
  const std::string body = text.substr(0, text.rfind(",\n\"digest\""));
  const core::CounterRng rng(3, "manifest mutations");
  uint64_t counter = 0;
  for (int trial = 0; trial < 15000; ++trial) {
    std::string mutated = body;
    for (uint64_t edits = 1 + rng.below(counter++, 3); edits-- > 0;) {
      const size_t at = rng.below(counter++, mutated.size());
      if (rng.below(counter++, 2))
        mutated[at] = "{}[]\",:0-9e.\\w"[rng.below(counter++, 14)];
      else {
        const size_t from = rng.below(counter++, mutated.size()), count = rng.below(counter++, 30);
        mutated.insert(at, mutated.substr(from, count));
      }
    }
    mutated += ",\n\"digest\":\"" + core::digest_hex(std::string_view(mutated)) + "\"}\n";
    try {
      parse_manifest(mutated, "m");
    } catch (const DataError&) {
    }
  }
}

TEST(BoundedJson, RefusesDepthSizeAndDuplicates) {
  const auto error = [](const std::string& text, JsonLimits limits = {}) {
    return message_of<DataError>([&] { parse_json_object(text, "j", limits); });
  };
  EXPECT_NE(error("{\"a\":" + std::string(1'000'000, '[')).find("nested deeper"), std::string::npos);
  EXPECT_NE(error("{}", {1, 16}).find("more than the 1 allowed"), std::string::npos);
  EXPECT_NE(error(R"({"a":{"b":1,"b":2}})").find("\"b\" appears twice"), std::string::npos);
  EXPECT_NE(error("[]").find("must start with '{'"), std::string::npos);
  EXPECT_NE(error(std::string("{}\0{}", 5)).find("NUL"), std::string::npos);
}

}  // namespace
}  // namespace athanor::checkpoints
