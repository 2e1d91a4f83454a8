// How fast shards are written, opened, ordered and read: bench_loader [DIRECTORY] [MILLION_TOKENS]
// [TOKENS_PER_DOCUMENT] [TOKEN_BYTES]. Files are read from the page cache: the figures are the cost of the
// program, not of the disk.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <fmt/core.h>

#include "core/file_system.h"
#include "core/parallel_for.h"
#include "core/rng.h"
#include "data/loader/batch_stream.h"
#include "data/shards/shard_verify.h"
#include "data/shards/shard_writer.h"

namespace {

using namespace athanor;

constexpr uint64_t kNumShards = 4;
constexpr uint64_t kSequenceLength = 4096;

struct Conditions {
  std::string directory = "/tmp";
  uint64_t num_tokens = 100'000'000;
  uint64_t tokens_per_document = 1000;
  uint64_t token_bytes = 2;

  uint64_t vocabulary() const { return token_bytes == 2 ? 65536 : 129280; }
  std::string path(uint64_t shard) const { return fmt::format("{}/bench-loader-{:05}.h5", directory, shard); }
};

template <typename Body>
double seconds_of(Body body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void write_shard(const Conditions& conditions, uint64_t shard) {
  const core::CounterRng rng(shard, "bench/loader");
  data::ShardWriter writer(core::posix_file_system(), conditions.path(shard),
                           {.tokenizer_digest = "bench", .vocabulary_size = conditions.vocabulary()});
  std::vector<uint32_t> document;
  for (uint64_t i = 0; writer.num_tokens() < conditions.num_tokens / kNumShards; ++i) {
    document.assign(1 + rng.below(i, 2 * conditions.tokens_per_document - 1),
                    static_cast<uint32_t>(i & 0xFFFF));
    writer.add_document(document);
  }
  writer.finish();
  writer.publish();
}

void read_batches(const Conditions& conditions, const std::shared_ptr<const data::TokenDataset>& dataset,
                  int num_threads) {
  const uint64_t num_batches = conditions.num_tokens / kSequenceLength / 4;
  data::BatchStream stream(dataset, {.global_batch_size = 4, .micro_batch_size = 4},
                           {.num_threads = num_threads});
  const double seconds = seconds_of([&] {
    for (uint64_t i = 0; i < num_batches; ++i) stream.next();
  });
  const double bytes = static_cast<double>(num_batches * 4 * kSequenceLength * conditions.token_bytes);
  fmt::print("read, {} thread{}: {:.1f} MB/s of stored tokens, {:.1f} M tokens/s\n", num_threads,
             num_threads > 1 ? "s" : "", bytes / seconds / 1e6,
             bytes / seconds / 1e6 / static_cast<double>(conditions.token_bytes));
}

void run(const Conditions& conditions) {
  const double megabytes = static_cast<double>(conditions.num_tokens * conditions.token_bytes) / 1e6;
  fmt::print("{} M tokens of {} bytes, documents of {} tokens on average, {} shards in {}, sequences of {}\n",
             conditions.num_tokens / 1'000'000, conditions.token_bytes, conditions.tokens_per_document,
             kNumShards, conditions.directory, kSequenceLength);
  const double write_seconds = seconds_of([&] {
    for (uint64_t shard = 0; shard < kNumShards; ++shard) write_shard(conditions, shard);
  });
  fmt::print("write: {:.1f} MB/s\n", megabytes / write_seconds);
  const data::LoaderOptions options{
      .sources = {{.paths = {fmt::format("{}/bench-loader-*.h5", conditions.directory)}}},
      .sequence_length = kSequenceLength,
      .seed = 1,
      .vocabulary_size = conditions.vocabulary()};
  std::shared_ptr<const data::TokenDataset> dataset;
  const double open_seconds = seconds_of(
      [&] { dataset = std::make_shared<const data::TokenDataset>(core::posix_file_system(), options); });
  fmt::print("open: {:.1f} ms for {} documents\n", open_seconds * 1e3, dataset->num_documents());
  const double order_seconds = seconds_of([&] { dataset->prepare(0); });
  fmt::print("order of an epoch, {} threads: {:.1f} M documents/s\n", core::num_threads(),
             static_cast<double>(dataset->num_documents()) / order_seconds / 1e6);
  for (const int num_threads : {1, 2}) read_batches(conditions, dataset, num_threads);
  for (uint64_t shard = 0; shard < kNumShards; ++shard)
    core::posix_file_system().remove_all(conditions.path(shard));
}

}  // namespace

int main(int argc, char** argv) {
  Conditions conditions;
  if (argc > 1) conditions.directory = argv[1];
  if (argc > 2) conditions.num_tokens = std::strtoull(argv[2], nullptr, 10) * 1'000'000;
  if (argc > 3) conditions.tokens_per_document = std::strtoull(argv[3], nullptr, 10);
  if (argc > 4) conditions.token_bytes = std::strtoull(argv[4], nullptr, 10);
  core::set_num_threads(2);
  try {
    run(conditions);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
