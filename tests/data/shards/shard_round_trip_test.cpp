#include <csignal>
#include <sys/resource.h>

#include "core/error.h"
#include "data/shards/shard_verify.h"
#include "tests/data/shards/shard_fixture.h"

namespace athanor::data {
namespace {

class ShardRoundTrip : public ShardTest {
 protected:
  void expect_equal(const ShardReader& shard, const std::vector<TokenList>& documents) {
    ASSERT_EQ(shard.num_documents(), documents.size());
    for (size_t i = 0; i < documents.size(); ++i) {
      const TokenRange range = shard.document(i);
      TokenList tokens(range.size());
      shard.read_tokens(range.first, tokens);
      ASSERT_EQ(tokens, documents[i]) << "document " << i;
    }
  }
};

TEST_F(ShardRoundTrip, GivesBackNarrowAndWideTokens) {
  for (const uint64_t vocabulary : {uint64_t{2}, uint64_t{65536}, uint64_t{65537}, uint64_t{1} << 32}) {
    const auto documents = random_documents(vocabulary, 200, 40, vocabulary);
    const ShardReader shard = open(write("a.h5", documents, vocabulary));
    EXPECT_EQ(shard.token_bytes(), vocabulary <= 65536 ? 2u : 4u);
    EXPECT_EQ(shard.vocabulary_size(), vocabulary);
    EXPECT_EQ(shard.tokenizer_digest(), "tokenizer-a");
    expect_equal(shard, documents);
    verify_shard(shard);
  }
}

TEST_F(ShardRoundTrip, ManyChunks) {
  // 4 MiB of two bytes per chunk: seven million tokens need four.
  std::vector<TokenList> documents(7, TokenList(1000003));
  for (size_t i = 0; i < documents.size(); ++i)
    for (size_t j = 0; j < documents[i].size(); ++j)
      documents[i][j] = static_cast<uint32_t>((i * 7919 + j * 31) % 60000);
  const ShardReader shard = open(write("a.h5", documents, 60000));
  expect_equal(shard, documents);
  verify_shard(shard);
}

TEST_F(ShardRoundTrip, EqualDocumentsGiveEqualFiles) {
  const auto documents = random_documents(1, 100, 40, 500);
  EXPECT_EQ(read_file(write("a.h5", documents, 500)), read_file(write("b.h5", documents, 500)));
}

TEST_F(ShardRoundTrip, LabelsAppearInTheStatistics) {
  ShardWriter writer(core::posix_file_system(), path("a.h5"),
                     {.tokenizer_digest = "t", .vocabulary_size = 10});
  writer.add_document(TokenList{1, 2, 3});
  writer.add_document(TokenList{4}, {.source = "web", .language = "zh", .score = 0.5f});
  writer.add_document(TokenList{5, 6}, {.source = "web", .language = "en", .score = 1.0f});
  writer.finish();
  writer.publish();
  const ShardReader shard = open(path("a.h5"));
  verify_shard(shard);
  const ShardStat stat = shard_stat(shard);
  ASSERT_EQ(stat.sources.size(), 2u);
  EXPECT_EQ(stat.sources[0].name, "");
  EXPECT_EQ(stat.sources[0].num_documents, 1u);
  EXPECT_EQ(stat.sources[1].name, "web");
  EXPECT_EQ(stat.sources[1].num_tokens, 3u);
  ASSERT_EQ(stat.languages.size(), 3u);
  EXPECT_EQ(stat.num_scored, 2u);
  EXPECT_DOUBLE_EQ(stat.mean_score, 0.75);
  EXPECT_EQ(stat.shortest_document, 1u);
  EXPECT_EQ(stat.median_document, 2u);
  EXPECT_EQ(stat.longest_document, 3u);
}

TEST_F(ShardRoundTrip, NothingAppearsBeforeItIsPublished) {
  {
    ShardWriter writer(core::posix_file_system(), path("a.h5"),
                       {.tokenizer_digest = "t", .vocabulary_size = 10});
    writer.add_document(TokenList{1, 2, 3});
    writer.finish();
    EXPECT_FALSE(std::filesystem::exists(path("a.h5")));
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory_));
}

TEST_F(ShardRoundTrip, RefusesATokenOutsideTheVocabulary) {
  ShardWriter writer(core::posix_file_system(), path("a.h5"),
                     {.tokenizer_digest = "t", .vocabulary_size = 10});
  EXPECT_NE(message_of<core::DataError>([&] {
              writer.add_document(TokenList{3, 10});
            }).find("token 10"),
            std::string::npos);
}

TEST_F(ShardRoundTrip, MissingDirectoryAndFullDisk) {
  const ShardWriterOptions options{.tokenizer_digest = "t", .vocabulary_size = 10};
  EXPECT_THROW(ShardWriter(core::posix_file_system(), path("nowhere/a.h5"), options), core::CannotWriteError);
  // A limit on the size of files stands in for a full disk: the same failing write below the library.
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{1 << 20, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  const auto fill = [&] {
    ShardWriter writer(core::posix_file_system(), path("a.h5"), options);
    for (int i = 0; i < 8; ++i) writer.add_document(TokenList(1 << 20, 1));
    writer.finish();
  };
  EXPECT_EQ(message_of<core::IoError>(fill),
            "cannot write dataset /tokens of " + path("a.h5") + ": File too large");
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_TRUE(std::filesystem::is_empty(directory_));
  EXPECT_EQ(open(write("b.h5", {{1, 2}}, 10)).num_tokens(), 2u) << "the library still works";
}

TEST_F(ShardRoundTrip, MoreShardsThanOpenFiles) {
  FilePool small_pool(core::posix_file_system(), 2);
  std::vector<std::string> paths;
  for (uint32_t i = 0; i < 5; ++i) paths.push_back(write("s" + std::to_string(i) + ".h5", {{i, i + 1}}, 100));
  const auto shards = ShardReader::open_all(small_pool, paths);
  for (int round = 0; round < 2; ++round)
    for (uint32_t i = 0; i < 5; ++i) {
      TokenList tokens(2);
      shards[i].read_tokens(0, tokens);
      EXPECT_EQ(tokens, (TokenList{i, i + 1}));
    }
}

TEST_F(ShardRoundTrip, AFileThatWasReplacedIsNoticed) {
  FilePool small_pool(core::posix_file_system(), 1);
  const std::vector<std::string> paths = {write("a.h5", {{1, 2}}, 100), write("b.h5", {{1, 2}}, 100)};
  const auto shards = ShardReader::open_all(small_pool, paths);
  write("a.h5", random_documents(1, 300, 50, 100), 100);
  TokenList tokens(2);
  shards[1].read_tokens(0, tokens);
  EXPECT_NE(message_of<core::DataError>([&] { shards[0].read_tokens(0, tokens); }).find("changed"),
            std::string::npos);
}

}  // namespace
}  // namespace athanor::data
