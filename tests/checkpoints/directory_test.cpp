#include <fstream>
#include <sys/wait.h>

#include "checkpoints/checkpoint_directory.h"
#include "tests/checkpoints/sample_model.h"

namespace athanor::checkpoints {
namespace {

namespace stdfs = std::filesystem;
std::vector<uint64_t> steps(const std::string& directory) {
  std::vector<uint64_t> result;
  for (const auto& entry : list_checkpoints(disk(), directory)) result.push_back(entry.step);
  return result;
}

TEST(CheckpointDirectory, NamesAreNumbers) {
  EXPECT_EQ(checkpoint_name(120), "step-00000120");
  EXPECT_EQ(checkpoint_name(1234567890123), "step-1234567890123");
  EXPECT_EQ(step_of_name("step-00000009"), 9u);
  EXPECT_EQ(step_of_name("step-9223372036854775807"), 9223372036854775807u);
  for (const char* bad :
       {"step-", "step-9223372036854775808", "step--1", "step-+1", "step-1x", "Step-1", "step-1.tmp-a"})
    EXPECT_FALSE(step_of_name(bad).has_value()) << bad;
}

TEST(CheckpointDirectory, OrdersByNumberNotByName) {
  const TestDirectory directory;
  for (const char* name : {"step-9", "step-10", "step-100", "step-123456789", "step-00000011"})
    stdfs::create_directory(directory / name);
  EXPECT_EQ(steps(directory.path()), (std::vector<uint64_t>{9, 10, 11, 100, 123456789}));
}

TEST(CheckpointDirectory, PruningCountsOnlyGoodOnes) {
  const TestDirectory directory;
  const auto model = sample_model(1);
  for (const uint64_t step : {10, 20, 30, 40, 50})
    save_model(disk(), directory.path(), model, step, {.num_to_keep = 0});
  stdfs::remove(directory / "step-00000040/manifest.json");
  const auto removed = prune(disk(), directory.path(), 2, "id");
  EXPECT_EQ(removed.size(), 2u);
  EXPECT_EQ(steps(directory.path()), (std::vector<uint64_t>{30, 40, 50}));
  EXPECT_TRUE(prune(disk(), directory.path(), 3, "id").empty()) << "two good ones are fewer than three";
  EXPECT_TRUE(prune(disk(), directory.path(), 0, "id").empty());
}

TEST(CheckpointDirectory, TheWriterPrunes) {
  const TestDirectory directory;
  for (const uint64_t step : {9, 10, 100, 99})
    save_model(disk(), directory.path(), sample_model(step), step, {.num_to_keep = 2});
  EXPECT_EQ(steps(directory.path()), (std::vector<uint64_t>{99, 100}));
  EXPECT_EQ(disk().list(directory.path()).size(), 2u) << "no leftovers";
}

TEST(CheckpointDirectory, LeftoversOfDeadRunsGoTheReplacedComeBack) {
  const TestDirectory directory;
  const auto model = sample_model(1);
  save_model(disk(), directory.path(), model, 10, {});
  save_model(disk(), directory.path(), model, 20, {});
  stdfs::copy(directory / "step-00000020", directory / "step-00000030.tmp-x-1",
              stdfs::copy_options::recursive);
  stdfs::copy(directory / "step-00000020", directory / "step-00000005.removed-x",
              stdfs::copy_options::recursive);
  stdfs::copy(directory / "step-00000010", directory / "step-00000010.replaced-x-1",
              stdfs::copy_options::recursive);
  stdfs::rename(directory / "step-00000020", directory / "step-00000020.replaced-x-1");
  std::ofstream(directory / "notes.tmp-x") << "mine";
  const DirectoryLock lock(directory.path());
  EXPECT_EQ(clean_leftovers(disk(), lock).size(), 4u);
  EXPECT_EQ(disk().list(directory.path()),
            (std::vector<std::string>{".writer.lock", "notes.tmp-x", "step-00000010", "step-00000020"}));
  EXPECT_EQ(find_newest_good(disk(), directory.path())->step, 20u);
}

TEST(CheckpointDirectory, TwoWritersCannotShareADirectory) {
  const TestDirectory directory;
  auto first = std::make_unique<DirectoryLock>(directory.path());
  EXPECT_TRUE(first->is_exclusive());
  const std::string message =
      message_of<core::CannotWriteError>([&] { DirectoryLock second(directory.path()); });
  EXPECT_NE(message.find(fmt::format("process {}", ::getpid())), std::string::npos) << message;
  first.reset();
  const DirectoryLock third(directory.path());
}

TEST(CheckpointDirectory, ADeadProcessHoldsNoLock) {
  const TestDirectory directory;
  const pid_t child = ::fork();
  if (child == 0) {
    auto* const never_released = new DirectoryLock(directory.path());
    ::_exit(never_released->is_exclusive() ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(DirectoryLock(directory.path()).is_exclusive());
}

TEST(CheckpointDirectory, IdsDiffer) {
  EXPECT_NE(make_id(), make_id());
}

}  // namespace
}  // namespace athanor::checkpoints
