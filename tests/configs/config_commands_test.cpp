// The commands check, explain, schema and init, run in this process.
#include <cstdlib>
#include <filesystem>

#include <gtest/gtest.h>

#include "configs/templates.h"
#include "core/error.h"
#include "core/file_system.h"
#include "core/json.h"
#include "launch/commands.h"
#include "tests/support/run_command.h"

namespace athanor::launch {
namespace {

class ConfigCommands : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = std::filesystem::temp_directory_path() / "athanor-config-commands-XXXXXX";
    ASSERT_NE(mkdtemp(directory_.data()), nullptr);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string write(const std::string& name, const std::string& content) {
    const std::string path = directory_ + "/" + name;
    core::write_file_atomically(core::posix_file_system(), path, content);
    return path;
  }

  // Standard output of `athanor ARGUMENTS`; errors are thrown.
  static std::string run(std::vector<std::string> arguments) {
    return tests::run_command(add_config_commands, std::move(arguments), &output_before_error());
  }

  static std::string& output_before_error() {
    static std::string output;
    return output;
  }

  std::string directory_;
};

TEST_F(ConfigCommands, CheckPassesAFileWhoseInputsAreThere) {
  const std::string shard = write("train-0.h5", "x");
  const std::string path = write(
      "run.yaml", "data: {train: [{path: \"" + directory_ + "/train-*.h5\"}]}\ntraining: {max_steps: 1}\n");
  EXPECT_EQ(run({"check", path}), path + ": ok\n");
  EXPECT_EQ(nlohmann::json::parse(run({"check", path, "--json"})).at("ok"), true);
  EXPECT_THROW(run({"check", path, "data.train.0.path=" + directory_ + "/nothing-*.h5"}),
               core::MissingInputError);
  EXPECT_THROW(run({"check", path, "--ranks", "3"}), core::ConfigError);
}

TEST_F(ConfigCommands, CheckReportsEveryErrorWithItsExitCode) {
  const std::string path =
      write("run.yaml", "data: {train: [{path: nowhere.h5}]}\ntraining: {max_stepz: 1}\n");
  try {
    run({"check", path});
    FAIL() << "expected an error";
  } catch (const core::ConfigError& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find(path + ":1:23: error: data.train[0].path: no file matches `nowhere.h5`"),
              std::string::npos)
        << message;
    EXPECT_NE(message.find(path + ":2:12: error: unknown key `max_stepz`"), std::string::npos) << message;
  }
  EXPECT_THROW(run({"check", path, "--json"}), core::ConfigError);
  const auto report = nlohmann::json::parse(output_before_error());
  EXPECT_EQ(report.at("ok"), false);
  EXPECT_EQ(report.at("errors").at(0).at("line"), 2);
}

TEST_F(ConfigCommands, CheckOfNoFileADirectoryOrAHugeFile) {
  EXPECT_THROW(run({"check", directory_ + "/none.yaml"}), core::MissingInputError);
  EXPECT_THROW(run({"check", directory_}), core::ConfigError);
  EXPECT_THROW(run({"check", write("huge.yaml", std::string(2 << 20, ' '))}), core::ConfigError);
}

TEST_F(ConfigCommands, ExplainSchemaAndInitPrint) {
  EXPECT_NE(run({"explain"}).find("optimizer.learning_rate = 0.0003"), std::string::npos);
  EXPECT_NE(run({"explain", "schedule.decay"}).find("cosine, linear, constant, wsd"), std::string::npos);
  EXPECT_TRUE(nlohmann::json::parse(run({"explain", "--json"})).is_array());
  EXPECT_TRUE(nlohmann::json::parse(run({"schema"})).is_object());
  EXPECT_NE(run({"init", "--list"}).find("quickstart"), std::string::npos);
  EXPECT_EQ(run({"init", "quickstart"}), configs::render_template("quickstart"));
  EXPECT_THROW(run({"init"}), core::UsageError);
  EXPECT_THROW(run({"init", "quick"}), core::UsageError);
}

}  // namespace
}  // namespace athanor::launch
