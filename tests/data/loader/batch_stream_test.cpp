#include "data/loader/batch_stream.h"

#include <chrono>
#include <set>

#include "core/error.h"
#include "tests/data/shards/shard_fixture.h"

namespace athanor::data {
namespace {

class BatchStreamTest : public ShardTest {
 protected:
  std::shared_ptr<const TokenDataset> dataset(bool repeat = true) {
    const LoaderOptions options{
        .sources = {{.paths = {write("a.h5", random_documents(1, 300, 60, 500), 500)}}},
        .sequence_length = 32,
        .seed = 7,
        .repeat = repeat,
        .vocabulary_size = 500};
    return std::make_shared<const TokenDataset>(core::posix_file_system(), options);
  }

  /// The tokens of each of the first `num_steps` steps, put together from all ranks.
  static std::vector<std::vector<int64_t>> steps(const std::shared_ptr<const TokenDataset>& data,
                                                 BatchPlan plan, int num_steps, int num_threads) {
    std::vector<std::unique_ptr<BatchStream>> ranks;
    for (plan.data_rank = 0; plan.data_rank < plan.data_size; ++plan.data_rank)
      ranks.push_back(std::make_unique<BatchStream>(data, plan, PrefetchOptions{.num_threads = num_threads}));
    std::vector<std::vector<int64_t>> all(static_cast<size_t>(num_steps));
    for (auto& step : all)
      for (uint64_t micro = 0; micro < plan.micro_batches_per_step(); ++micro)
        for (auto& rank : ranks) {
          const auto batch = rank->next();
          step.insert(step.end(), batch->tokens.begin(), batch->tokens.end());
        }
    return all;
  }
};

TEST_F(BatchStreamTest, AllLayoutsReadTheSameStepsInTheSameOrder) {
  const auto data = dataset();
  const BatchPlan plan{.global_batch_size = 16, .micro_batch_size = 2};
  const auto expected = steps(data, plan, 4, 1);
  for (const uint64_t data_size : {1, 2, 4, 8})
    for (const int num_threads : {1, 3}) {
      BatchPlan other = plan;
      other.data_size = data_size;
      EXPECT_EQ(steps(data, other, 4, num_threads), expected)
          << data_size << " ranks, " << num_threads << " threads";
    }
}

TEST_F(BatchStreamTest, ResumesAtAnySampleWithAnyLayout) {
  const auto data = dataset();
  const auto whole = steps(data, {.global_batch_size = 8, .micro_batch_size = 2}, 6, 1);
  for (uint64_t done = 0; done < 6; ++done) {
    const auto rest = steps(
        dataset(), {.first_sample = done * 8, .global_batch_size = 8, .micro_batch_size = 1, .data_size = 2},
        static_cast<int>(6 - done), 2);
    for (size_t i = 0; i < rest.size(); ++i) EXPECT_EQ(rest[i], whole[i + done]);
  }
}

TEST_F(BatchStreamTest, ASinglePassGivesEveryRankEqualManyBatches) {
  const auto data = dataset(false);
  const uint64_t count = data->num_sequences_per_epoch();
  int64_t num_sequences = 0;
  std::set<int> batches_of_rank;
  for (uint64_t rank = 0; rank < 4; ++rank) {
    BatchStream stream(data, single_pass_plan(count, 3, rank, 4));
    int num_batches = 0;
    while (const auto batch = stream.next()) {
      ++num_batches;
      EXPECT_EQ(batch->num_sequences, 3);
      num_sequences += batch->sequences_of_source[0];
    }
    EXPECT_FALSE(stream.next().has_value());
    batches_of_rank.insert(num_batches);
  }
  EXPECT_EQ(num_sequences, static_cast<int64_t>(count));
  EXPECT_EQ(batches_of_rank, (std::set<int>{static_cast<int>((count + 11) / 12)}));
}

TEST_F(BatchStreamTest, EndlessPlansDoNotOverflow) {
  const BatchPlan plan{.global_batch_size = 16};
  EXPECT_EQ(plan.num_micro_batches(), kEndlessSamples);
  EXPECT_EQ(plan.sample_of((uint64_t{1} << 40) + 3), (uint64_t{1} << 40) + 3);
}

TEST_F(BatchStreamTest, RefusesAPlanThatDoesNotDivide) {
  const BatchPlan plan{.global_batch_size = 10, .micro_batch_size = 2, .data_size = 4};
  const std::string message = message_of<core::ConfigError>([&] { BatchStream(dataset(), plan); });
  EXPECT_NE(message.find("10"), std::string::npos);
  EXPECT_NE(message.find("4"), std::string::npos);
}

TEST_F(BatchStreamTest, DoesNotWaitForWhatWasReadAhead) {
  BatchStream stream(dataset(), {.global_batch_size = 4, .micro_batch_size = 4},
                     {.num_threads = 2, .num_batches = 5});
  const auto fill = [&] {
    while (stream.num_ready() < 5) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  };
  for (int round = 0; round < 3; ++round) {
    fill();
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(stream.next());
  }
  EXPECT_EQ(stream.num_waits(), 0u);
  EXPECT_EQ(stream.waited_s(), 0);
}

TEST_F(BatchStreamTest, StopsAtOnceInTheMiddle) {
  for (int i = 0; i < 20; ++i)
    BatchStream(dataset(), {.global_batch_size = 4}, {.num_threads = 2, .num_batches = 3});
}

TEST_F(BatchStreamTest, AnErrorOfTheReaderSurfacesInNext) {
  const auto file = write("b.h5", {TokenList(4096, 0x0203)}, 0x0204);
  std::string content = read_file(file);
  const size_t at = content.find(std::string("\x03\x02\x03\x02\x03\x02", 6));
  ASSERT_NE(at, std::string::npos);
  content[at + 2 * 3000 + 1] = 0x03;
  write_file(file, content);
  const LoaderOptions options{
      .sources = {{.paths = {file}}}, .sequence_length = 1024, .shuffle = false, .vocabulary_size = 0x0204};
  const auto data = std::make_shared<const TokenDataset>(core::posix_file_system(), options);
  BatchStream stream(data, {}, {.num_threads = 2});
  EXPECT_TRUE(stream.next());
  EXPECT_TRUE(stream.next());
  EXPECT_THROW(stream.next(), core::DataError);
  EXPECT_THROW(stream.next(), core::DataError);
}

}  // namespace
}  // namespace athanor::data
