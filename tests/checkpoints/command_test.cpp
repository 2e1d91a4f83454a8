// The `checkpoint` command, driven through its command line.
#include <fstream>

#include "core/json.h"
#include "launch/commands.h"
#include "tests/checkpoints/sample_model.h"
#include "tests/support/run_command.h"

namespace athanor::checkpoints {
namespace {

using nlohmann::json;
// What the command prints; its errors pass through.
std::string run(std::vector<std::string> arguments, std::string* printed = nullptr) {
  arguments.insert(arguments.begin(), "checkpoint");
  return tests::run_command(launch::add_checkpoint_command, arguments, printed);
}

json run_json(std::vector<std::string> arguments) {
  arguments.push_back("--json");
  return json::parse(run(arguments));
}

class Command : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const uint64_t step : {9, 10, 100})
      save_model(disk(), checkpoints, sample_model(step), step, {.layout = {2, 1}});
  }
  const TestDirectory run_directory;
  const std::string checkpoints = run_directory / "checkpoints";
};

TEST_F(Command, ListsGoodAndDamaged) {
  std::filesystem::remove(checkpoints + "/step-00000010/manifest.json");
  const json report = run_json({"list", run_directory.path() + "/"});
  ASSERT_EQ(report["checkpoints"].size(), 3u);
  EXPECT_EQ(report["checkpoints"][0]["step"], 9);
  EXPECT_EQ(report["checkpoints"][0]["state"], "complete");
  EXPECT_EQ(report["checkpoints"][0]["ranks"], 2);
  EXPECT_EQ(report["checkpoints"][1]["state"], "damaged");
  EXPECT_EQ(report["checkpoints"][2]["step"], 100);
  EXPECT_NE(run({"list", checkpoints}).find("damaged: "), std::string::npos);
  EXPECT_THROW(run({"list", run_directory / "nowhere"}), core::MissingInputError);
}

TEST_F(Command, ShowsTheNewestOrTheOneThatIsNamed) {
  const json newest = run_json({"show", run_directory.path()});
  EXPECT_EQ(newest["step"], 100);
  EXPECT_EQ(newest["training_state"]["seed"], 18446744073709551615u);
  EXPECT_EQ(newest["tensors"].size(), sample_model(1).size());
  EXPECT_EQ(run_json({"show", checkpoints + "/step-00000009/"})["step"], 9);
  EXPECT_NE(run({"show", checkpoints, "--tensors"}).find("model.norm.weight"), std::string::npos);
  EXPECT_THROW(run({"show", checkpoints + "/step-00000011"}), core::MissingInputError);
}

TEST_F(Command, VerifyFindsEveryDamagedFile) {
  EXPECT_EQ(run_json({"verify", run_directory.path()})["checkpoints"].size(), 3u);
  const std::string file = checkpoints + "/step-00000010/rank-00001-00000.safetensors";
  std::string text = core::read_text_file(disk(), file, 1 << 24);
  text[text.size() / 2] ^= 1;
  std::ofstream(file, std::ios::binary) << text;
  std::string printed;
  EXPECT_THROW(run({"verify", checkpoints}, &printed), core::DataError);
  EXPECT_NE(printed.find("step-00000010: BAD"), std::string::npos) << printed;
  EXPECT_NE(printed.find("step-00000100: good"), std::string::npos) << printed;
  EXPECT_NE(printed.find("rank-00001-00000.safetensors: damaged"), std::string::npos) << printed;
  EXPECT_NO_THROW(run({"verify", checkpoints + "/step-00000100"}));
}

TEST_F(Command, PruneKeepsTheNewest) {
  EXPECT_THROW(run({"prune", checkpoints}), core::UsageError);
  EXPECT_THROW(run({"prune", checkpoints, "--keep", "0"}), core::UsageError);
  EXPECT_EQ(run_json({"prune", checkpoints, "--keep", "2"})["removed"].size(), 1u);
  EXPECT_EQ(list_checkpoints(disk(), checkpoints).front().step, 10u);
}

TEST_F(Command, ListAndPruneSayWhatTheyCannotUse) {
  const std::string empty = run_directory / "empty", file = run_directory / "file";
  std::filesystem::create_directories(empty + "/checkpoints");
  std::ofstream(file) << "text";
  const std::string one = checkpoints + "/step-00000010";
  for (const auto& more : {std::vector<std::string>{"list"}, {"prune", "--keep", "1"}}) {
    const auto command = [&](const std::string& path) {
      std::vector<std::string> arguments = more;
      arguments.push_back(path);
      return run(arguments);
    };
    EXPECT_THROW(command(empty), core::MissingInputError);
    EXPECT_THROW(command(empty + "/checkpoints"), core::MissingInputError);
    EXPECT_THROW(command(run_directory / "nowhere"), core::MissingInputError);
    EXPECT_THROW(command(file), core::DataError);
  }
  EXPECT_THROW(run({"prune", one, "--keep", "1"}), core::UsageError);
  EXPECT_THROW(run({"list", checkpoints + "/step-00000077"}), core::MissingInputError);
  EXPECT_THROW(run({"prune", checkpoints + "/step-00000077", "--keep", "1"}), core::MissingInputError);
  EXPECT_EQ(list_checkpoints(disk(), checkpoints).size(), 3u);
}

TEST_F(Command, ListsOneCheckpoint) {
  const std::string aside = put_aside(disk(), checkpoints + "/step-00000009", make_id());
  for (const auto& [path, step] : {std::pair{checkpoints + "/step-00000010/", 10}, {aside, 9}}) {
    const json report = run_json({"list", path});
    ASSERT_EQ(report["checkpoints"].size(), 1u) << path;
    EXPECT_EQ(report["checkpoints"][0]["step"], step);
    EXPECT_EQ(report["checkpoints"][0]["state"], "complete");
  }
}

TEST_F(Command, DiffComparesAcrossLayouts) {
  auto changed = sample_model(100);
  float value;
  std::memcpy(&value, changed[0].bytes.data(), 4);
  const float other = value * 1.5f;
  std::memcpy(changed[0].bytes.data(), &other, 4);
  changed[2].name = "renamed";
  changed[4].shape = {24, 24, 1};
  save_model(disk(), run_directory / "other", changed, 101, {.layout = {1, 2}});
  const json report = run_json({"diff", checkpoints, run_directory / "other"});
  std::map<std::string, json> rows;
  for (const json& row : report["tensors"])
    rows[row["name"].get<std::string>() + ":" + row["kind"].get<std::string>()] = row;
  const json& first = rows[changed[0].name + ":" + changed[0].kind];
  EXPECT_EQ(first["state"], "different");
  EXPECT_EQ(first["equal_elements"].get<int64_t>() + 1, first["elements"].get<int64_t>());
  EXPECT_NEAR(first["max_relative"].get<double>(), 1.0 / 3, 1e-6);
  EXPECT_EQ(rows["renamed:" + changed[2].kind]["state"], "only in B");
  EXPECT_EQ(rows[changed[4].name + ":" + changed[4].kind]["state"], "mismatch");
  EXPECT_EQ(rows[changed[5].name + ":" + changed[5].kind]["state"], "equal");
  EXPECT_EQ(report["tensors"].size(), changed.size() + 1);
  EXPECT_NE(run({"diff", checkpoints, run_directory / "other"}).find("only in A"), std::string::npos);
}

}  // namespace
}  // namespace athanor::checkpoints
