#include <chrono>
#include <fstream>
#include <thread>

#include "checkpoints/checkpoint_writer.h"
#include "checkpoints/publish.h"
#include "core/parallel_for.h"
#include "tests/checkpoints/sample_model.h"
#include "tests/support/faulty_file_system.h"

namespace athanor::checkpoints {
namespace {

WriterOptions options_of(const TestDirectory& directory, int rank = 0, int num_ranks = 1) {
  return {.directory = directory.path(),
          .run_id = "run-a",
          .start_id = "start",
          .rank = rank,
          .num_ranks = num_ranks,
          .max_file_bytes = 4096,
          .part_deadline_s = 10};
}

Snapshot one_rank(const std::vector<WholeTensor>& model, uint64_t step, RankSnapshot& keep) {
  keep = snapshot_of_rank(model, step, {1, 1}, 0);
  return keep.snapshot;
}

// Holds back the first create until it is told to go on.
class GatedFileSystem : public tests::FaultyFileSystem {
 public:
  using FaultyFileSystem::FaultyFileSystem;
  std::unique_ptr<core::WritableFile> create(const std::string& path) override {
    std::unique_lock lock(mutex_);
    opened_.wait(lock, [&] { return is_open_; });
    return FaultyFileSystem::create(path);
  }
  void open_gate() {
    {
      std::lock_guard lock(mutex_);
      is_open_ = true;
    }
    opened_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable opened_;
  bool is_open_ = false;
};

TEST(CheckpointWriter, SkipsOrWaitsWhileItIsBusy) {
  const TestDirectory directory;
  GatedFileSystem gated(disk());
  auto options = options_of(directory);
  options.file_system = &gated;
  CheckpointWriter writer(options);
  const auto model = sample_model(1);
  RankSnapshot keep;
  EXPECT_TRUE(writer.is_idle());
  EXPECT_TRUE(writer.save(one_rank(model, 1, keep)));
  EXPECT_FALSE(writer.is_idle());
  EXPECT_FALSE(writer.save(one_rank(model, 2, keep), IfBusy::kSkip));
  std::thread opener([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    gated.open_gate();
  });
  EXPECT_TRUE(writer.save(one_rank(model, 3, keep), IfBusy::kWait));
  writer.wait();
  opener.join();
  EXPECT_TRUE(writer.is_idle());
  EXPECT_EQ(list_checkpoints(disk(), directory.path()).size(), 2u);
  EXPECT_EQ(find_newest_good(disk(), directory.path())->step, 3u);
  EXPECT_EQ(writer.last_figures()->step, 3u);
  EXPECT_GT(writer.last_figures()->num_bytes, 0u);
}

TEST(CheckpointWriter, TheCopyIsTakenBeforeSaveReturns) {
  const TestDirectory directory;
  GatedFileSystem gated(disk());
  auto options = options_of(directory);
  options.file_system = &gated;
  core::set_num_threads(2);
  CheckpointWriter writer(options);
  writer.reserve(1 << 20);
  writer.wait();
  auto model = sample_model(1);
  auto mine = snapshot_of_rank(model, 1, {1, 1}, 0);
  writer.save(mine.snapshot);
  for (auto& memory : mine.memory) std::fill(memory.begin(), memory.end(), std::byte{0xee});
  gated.open_gate();
  writer.wait();
  core::set_num_threads(1);
  EXPECT_TRUE(holds(CheckpointReader(disk(), directory / "step-00000001"), model));
}

TEST(CheckpointWriter, RanksOnThreadsPublishTogether) {
  const TestDirectory directory;
  const auto model = sample_model(4);
  const Layout layout{4, 2};
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < layout.num_ranks(); ++rank)
    ranks.emplace_back([&, rank] {
      CheckpointWriter writer(options_of(directory, rank, layout.num_ranks()));
      for (const uint64_t step : {1, 2, 3}) {
        writer.save(snapshot_of_rank(model, step, layout, rank).snapshot, IfBusy::kWait);
        writer.wait();
      }
    });
  for (auto& rank : ranks) rank.join();
  for (const uint64_t step : {1, 2, 3})
    EXPECT_TRUE(holds(CheckpointReader(disk(), directory / checkpoint_name(step)), model));
  EXPECT_EQ(disk().list(directory.path()).size(), 3u);
}

TEST(CheckpointWriter, DiskFullIsReportedOnceAndTheNextSaveWorks) {
  const TestDirectory directory;
  const auto model = sample_model(1);
  RankSnapshot keep;
  tests::FaultyFileSystem faulty(disk(), {tests::Fault::kNoSpace, 6, true});
  auto options = options_of(directory);
  options.file_system = &faulty;
  CheckpointWriter writer(options);
  writer.save(one_rank(model, 1, keep));
  EXPECT_NE(message_of<core::IoError>([&] { writer.wait(); }).find("No space left"), std::string::npos);
  writer.wait();
  EXPECT_FALSE(writer.last_figures().has_value());
  writer.save(one_rank(model, 2, keep));
  while (!writer.is_idle()) std::this_thread::yield();
  EXPECT_THROW(writer.save(one_rank(model, 3, keep)), core::IoError)
      << "an error that nobody took is not lost";
  writer.save(one_rank(model, 4, keep));
  while (!writer.is_idle()) std::this_thread::yield();
  EXPECT_TRUE(writer.take_error());
  EXPECT_FALSE(writer.take_error());
  faulty.heal();
  writer.save(one_rank(model, 5, keep));
  writer.wait();
  EXPECT_TRUE(holds(CheckpointReader(disk(), directory / "step-00000005"), model));
}

TEST(CheckpointWriter, SeesAFullDiskBeforeItWrites) {
  const TestDirectory directory;
  RankSnapshot keep;
  tests::FaultyFileSystem faulty(disk());
  faulty.set_free_bytes(1000);
  auto options = options_of(directory);
  options.file_system = &faulty;
  CheckpointWriter writer(options);
  writer.save(one_rank(sample_model(1), 1, keep));
  EXPECT_NE(message_of<core::IoError>([&] { writer.wait(); }).find("1000 are free"), std::string::npos);
  EXPECT_TRUE(disk().list(directory.path()).empty()) << "a full disk gets its space back";
}

TEST(CheckpointWriter, ALostRankEndsInADeadlineAndAFailedOneAtOnce) {
  const TestDirectory directory;
  const auto model = sample_model(1);
  auto options = options_of(directory, 0, 2);
  options.part_deadline_s = 0.05;
  {
    CheckpointWriter writer(options);
    writer.save(snapshot_of_rank(model, 1, {2, 1}, 0).snapshot);
    const std::string message = message_of<core::CommError>([&] { writer.wait(); });
    EXPECT_NE(message.find("1 of 2 ranks"), std::string::npos) << message;
    EXPECT_NE(message.find("rank 1"), std::string::npos) << message;
  }
  options.part_deadline_s = 60;
  tests::FaultyFileSystem faulty(disk(), {tests::Fault::kNoSpace, 2});
  auto other = options_of(directory, 1, 2);
  other.file_system = &faulty;
  CheckpointWriter rank_0(options), rank_1(other);
  rank_0.save(snapshot_of_rank(model, 2, {2, 1}, 0).snapshot);
  rank_1.save(snapshot_of_rank(model, 2, {2, 1}, 1).snapshot);
  EXPECT_THROW(rank_1.wait(), core::IoError);
  const std::string message = message_of<core::IoError>([&] { rank_0.wait(); });
  EXPECT_NE(message.find("rank 1 could not write its part"), std::string::npos) << message;
  EXPECT_TRUE(list_checkpoints(disk(), directory.path()).empty());
}

TEST(CheckpointWriter, RanksThatDisagreeArePublishedNever) {
  const TestDirectory directory;
  const auto model = sample_model(1);
  auto mine = snapshot_of_rank(model, 1, {2, 1}, 0), other = snapshot_of_rank(model, 1, {2, 1}, 1);
  const auto save_both = [&] {
    CheckpointWriter rank_1(options_of(directory, 1, 2)), rank_0(options_of(directory, 0, 2));
    rank_1.save(other.snapshot);
    rank_1.wait();
    rank_0.save(mine.snapshot);
    return message_of<core::DataError>([&] { rank_0.wait(); });
  };
  SliceToSave& slice = other.snapshot.slices[0];
  slice.end -= 1;
  slice.bytes = slice.bytes.first(slice.bytes.size() - element_bytes(slice.dtype));
  EXPECT_NE(save_both().find("are held by nobody"), std::string::npos);
  slice = mine.snapshot.slices[0];
  EXPECT_NE(save_both().find("are held twice"), std::string::npos);
  slice.dtype = Dtype::kI32;
  EXPECT_NE(save_both().find("on another rank"), std::string::npos);
  EXPECT_TRUE(list_checkpoints(disk(), directory.path()).empty());
}

TEST(CheckpointWriter, RefusesSnapshotsThatContradictThemselves) {
  const TestDirectory directory;
  CheckpointWriter writer(options_of(directory));
  auto mine = snapshot_of_rank(sample_model(1), 1, {1, 1}, 0);
  mine.snapshot.config = "a: \xff\n";
  EXPECT_THROW(writer.save(mine.snapshot), core::ConfigError);
  mine.snapshot.config = "";
  mine.snapshot.training_state = "[]";
  EXPECT_THROW(writer.save(mine.snapshot), core::InternalError);
  mine.snapshot.training_state = "{}";
  mine.snapshot.slices[0].end += 1;
  EXPECT_THROW(writer.save(mine.snapshot), core::InternalError);
  EXPECT_TRUE(writer.is_idle());
}

TEST(CheckpointWriter, SavingAStepAgainReplacesIt) {
  const TestDirectory directory;
  save_model(disk(), directory.path(), sample_model(1), 5);
  save_model(disk(), directory.path(), sample_model(2), 5);
  EXPECT_TRUE(holds(CheckpointReader(disk(), directory / "step-00000005"), sample_model(2)));
  EXPECT_EQ(disk().list(directory.path()).size(), 1u);
}

TEST(CheckpointWriter, DestructionGivesUpWithoutHanging) {
  const TestDirectory directory;
  const auto model = sample_model(1);
  auto options = options_of(directory, 0, 2);
  options.part_deadline_s = 3600;
  {
    CheckpointWriter writer(options);
    writer.save(snapshot_of_rank(model, 1, {2, 1}, 0).snapshot);
  }
  EXPECT_TRUE(disk().list(directory.path()).empty());
}

TEST(CheckpointWriter, CannotStartWhereItCannotWrite) {
  const TestDirectory directory;
  std::ofstream(directory / "file") << "x";
  auto options = options_of(directory);
  options.directory = directory / "file/checkpoints";
  EXPECT_THROW(CheckpointWriter writer(options), core::CannotWriteError);
}

}  // namespace
}  // namespace athanor::checkpoints
