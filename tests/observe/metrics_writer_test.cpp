#include "observe/metrics_writer.h"

#include <bit>
#include <cmath>
#include <limits>
#include <sstream>

#include "core/error.h"
#include "core/json.h"
#include "core/rng.h"
#include "tests/observe/temporary_directory.h"

namespace athanor::observe {
namespace {

using nlohmann::json;

class MetricsWriterTest : public InDirectory {
 protected:
  std::vector<json> lines() const {
    std::vector<json> all;
    std::istringstream stream(read_file(path("metrics.jsonl")));
    for (std::string line; std::getline(stream, line);) all.push_back(json::parse(line));
    return all;
  }
  MetricsWriter writer() const { return MetricsWriter(core::posix_file_system(), path("metrics.jsonl")); }
  static void report(MetricsWriter& writer, uint64_t first, uint64_t last) {
    for (uint64_t step = first; step <= last; ++step)
      writer.on_step({.step = step, .loss = 0.5 * static_cast<double>(step)});
  }
  std::vector<uint64_t> steps() const {
    std::vector<uint64_t> all;
    for (const json& line : lines()) all.push_back(line["step"]);
    return all;
  }
  void append(const std::string& text) const { std::ofstream(path("metrics.jsonl"), std::ios::app) << text; }
};

TEST(JsonNumber, ReadsBackToTheSameBits) {
  const core::CounterRng rng(1, "test/numbers");
  for (uint64_t i = 0; i < 20000; ++i) {
    const double value = std::bit_cast<double>(rng.bits(i));
    if (!std::isfinite(value)) continue;
    const double back = json::parse(json_number(value)).get<double>();
    ASSERT_EQ(std::bit_cast<uint64_t>(back), std::bit_cast<uint64_t>(value)) << json_number(value);
  }
  for (const double value : {0.0, -0.0, 1.0, 1e300, 5e-324, 0.1, 123456789012345680.0}) {
    const json parsed = json::parse(json_number(value));
    EXPECT_TRUE(parsed.is_number_float()) << json_number(value);
    EXPECT_EQ(std::bit_cast<uint64_t>(parsed.get<double>()), std::bit_cast<uint64_t>(value));
  }
  EXPECT_EQ(json_number(std::nan("")), "null");
  EXPECT_EQ(json_number(-std::numeric_limits<double>::infinity()), "null");
}

TEST_F(MetricsWriterTest, OneObjectPerStepAtOnce) {
  MetricsWriter metrics = writer();
  metrics.on_step({.step = 1,
                   .loss = 2.5,
                   .grad_norm = 0.1,
                   .learning_rate = 3e-4,
                   .tokens = 9007199254740993,
                   .tokens_per_second = 1000,
                   .step_seconds = 0.25,
                   .time = 1795334400.125,
                   .extra = {{"expert_load_max_over_mean", 1.5}, {"a \"name\"", 1}}});
  const json line = lines().at(0);
  EXPECT_EQ(line["step"], 1);
  EXPECT_EQ(line["loss"], 2.5);
  EXPECT_EQ(line["grad_norm"], 0.1);
  EXPECT_EQ(line["learning_rate"], 3e-4);
  EXPECT_EQ(line["tokens"], 9007199254740993) << "a count, not a float";
  EXPECT_EQ(line["tokens_per_second"], 1000);
  EXPECT_EQ(line["step_seconds"], 0.25);
  EXPECT_EQ(line["time"], 1795334400.125);
  EXPECT_EQ(line["expert_load_max_over_mean"], 1.5);
  EXPECT_EQ(line["a \"name\""], 1);
  EXPECT_FALSE(line.contains("mfu")) << "not known";
}

TEST_F(MetricsWriterTest, AValidationIsPartOfItsStep) {
  MetricsWriter metrics = writer();
  metrics.on_validation({.step = 0, .loss = 9});
  report(metrics, 1, 1);
  metrics.on_validation({.step = 2, .loss = 3.5, .extra = {{"perplexity", 33}}});
  report(metrics, 2, 3);
  const auto all = lines();
  ASSERT_EQ(steps(), (std::vector<uint64_t>{0, 1, 2, 3}));
  EXPECT_EQ(all[0]["validation_loss"], 9);
  EXPECT_FALSE(all[1].contains("validation_loss"));
  EXPECT_EQ(all[2]["validation_loss"], 3.5);
  EXPECT_EQ(all[2]["validation_perplexity"], 33);
  EXPECT_FALSE(all[3].contains("validation_loss"));
}

TEST_F(MetricsWriterTest, AfterAResumeAStepAppearsOnce) {
  {
    MetricsWriter metrics = writer();
    report(metrics, 1, 10);
  }
  MetricsWriter metrics = writer();
  metrics.on_resume(6);
  report(metrics, 7, 8);
  EXPECT_EQ(steps(), (std::vector<uint64_t>{1, 2, 3, 4, 5, 6, 7, 8}));
  metrics.on_resume(8);
  metrics.on_resume(100);
  report(metrics, 9, 9);
  EXPECT_EQ(steps().size(), 9u);
  metrics.on_resume(0);
  EXPECT_TRUE(steps().empty());
}

TEST_F(MetricsWriterTest, ATornOrForeignTailIsCutOff) {
  const std::vector<std::string> tails = {"{\"step\": 4, \"loss\"",
                                          "{\"step\": 4",
                                          "\n",
                                          "garbage\n",
                                          std::string(3, '\0'),
                                          "[1]\n{\"step\": 2}\n",
                                          "{\"step\": -1}\n",
                                          std::string(3 << 20, 'x')};
  for (const std::string& tail : tails) {
    std::filesystem::remove(path("metrics.jsonl"));
    MetricsWriter metrics = writer();
    report(metrics, 1, 3);
    append(tail);
    metrics.on_resume(3);
    report(metrics, 4, 4);
    EXPECT_EQ(steps(), (std::vector<uint64_t>{1, 2, 3, 4})) << tail.substr(0, 20);
  }
}

TEST_F(MetricsWriterTest, ADamagedLineTakesNoGoodOnesWithIt) {
  MetricsWriter metrics = writer();
  report(metrics, 1, 3);
  append("garbage\n");
  report(metrics, 4, 6);
  append("garbage\n");
  metrics.on_resume(5);
  report(metrics, 6, 6);
  std::ifstream file(path("metrics.jsonl"));
  size_t num_lines = 0;
  for (std::string line; std::getline(file, line); ++num_lines)
    EXPECT_EQ(line == "garbage", num_lines == 3) << line;
  EXPECT_EQ(num_lines, 7u);
}

TEST_F(MetricsWriterTest, ADirectoryThatIsNotThere) {
  EXPECT_THROW(MetricsWriter(core::posix_file_system(), path("nowhere/metrics.jsonl")),
               core::CannotWriteError);
}

}  // namespace
}  // namespace athanor::observe
