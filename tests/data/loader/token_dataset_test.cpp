#include "data/loader/token_dataset.h"

#include <algorithm>
#include <map>
#include <set>

#include "core/error.h"
#include "tests/data/shards/shard_fixture.h"

namespace athanor::data {
namespace {

class TokenDatasetTest : public ShardTest {
 protected:
  static constexpr uint64_t kVocabulary = 70000;

  /// Every token of a source is another number, so that each can be followed: documents of 0 to max_length
  /// tokens.
  std::vector<std::string> write_numbered(const std::string& name, size_t num_shards,
                                          size_t documents_per_shard, uint64_t max_length) {
    std::vector<std::string> paths;
    uint32_t next = 1;
    for (size_t s = 0; s < num_shards; ++s) {
      auto documents = random_documents(s + 17, documents_per_shard, max_length, 2);
      documents[0].resize(1);
      for (TokenList& document : documents)
        for (uint32_t& token : document) token = next++;
      paths.push_back(write(name + std::to_string(s) + ".h5", documents, kVocabulary));
      for (const TokenList& document : documents)
        if (!document.empty()) documents_[document.front()] = document;
    }
    EXPECT_LT(next, kVocabulary);
    return paths;
  }

  LoaderOptions options(std::vector<std::string> paths, uint64_t sequence_length) const {
    return {.sources = {{.paths = std::move(paths)}},
            .sequence_length = sequence_length,
            .seed = 42,
            .vocabulary_size = kVocabulary};
  }

  static TokenDataset make(LoaderOptions o) { return TokenDataset(core::posix_file_system(), std::move(o)); }

  static Batch sequence(const TokenDataset& data, uint64_t sample) {
    Batch batch;
    data.append_sequence(sample, batch);
    return batch;
  }

  /// What must hold for every batch, whatever is in it.
  static void expect_well_formed(const Batch& batch, uint64_t sequence_length) {
    const size_t size = static_cast<size_t>(batch.num_sequences) * sequence_length;
    ASSERT_EQ(batch.tokens.size(), size);
    ASSERT_EQ(batch.labels.size(), size);
    ASSERT_EQ(batch.positions.size(), size);
    ASSERT_EQ(batch.document_offsets.front(), 0);
    ASSERT_EQ(batch.document_offsets.back(), static_cast<int64_t>(size));
    int64_t num_valid = 0;
    for (size_t p = 0; p + 1 < batch.document_offsets.size(); ++p) {
      const int64_t first = batch.document_offsets[p], last = batch.document_offsets[p + 1];
      ASSERT_LT(first, last);
      ASSERT_EQ(first / static_cast<int64_t>(sequence_length),
                (last - 1) / static_cast<int64_t>(sequence_length))
          << "a piece crosses a sequence end";
      for (int64_t i = first; i < last; ++i) {
        ASSERT_EQ(batch.positions[static_cast<size_t>(i)], i - first);
        const int64_t label = batch.labels[static_cast<size_t>(i)];
        if (label == kNoLabel) continue;
        ++num_valid;
        ASSERT_LT(i + 1, last) << "a label from another piece";
        ASSERT_EQ(label, batch.tokens[static_cast<size_t>(i) + 1]);
      }
    }
    ASSERT_EQ(num_valid, batch.num_valid_labels);
  }

  /// Tokens of samples [0, count) of one source, one after the other.
  static std::vector<uint32_t> read_stream(const TokenDataset& data, uint64_t count) {
    std::vector<uint32_t> stream;
    for (uint64_t i = 0; i < count; ++i) {
      const Batch batch = sequence(data, i);
      expect_well_formed(batch, data.options().sequence_length);
      stream.insert(stream.end(), batch.tokens.begin(), batch.tokens.end());
    }
    return stream;
  }

  std::map<uint32_t, TokenList> documents_;  ///< by their first token
};

TEST_F(TokenDatasetTest, OverAnEpochEveryTokenIsAnInputExactlyOnce) {
  struct Shape {
    size_t num_shards, documents_per_shard;
    uint64_t max_length, sequence_length;
  };
  for (const Shape& shape :
       {Shape{1, 1, 5, 1}, Shape{1, 40, 10, 8}, Shape{3, 300, 30, 64}, Shape{5, 900, 8, 16},
        Shape{2, 10, 900, 33}, Shape{4, 257, 12, 1000}, Shape{1, 600, 3, 5}}) {
    for (const bool shuffle : {true, false}) {
      documents_.clear();
      auto o = options(write_numbered("s", shape.num_shards, shape.documents_per_shard, shape.max_length),
                       shape.sequence_length);
      o.shuffle = shuffle;
      const TokenDataset data = make(o);
      const uint64_t num_tokens = data.num_tokens(), num_epochs = 3;
      const auto stream = read_stream(data, num_epochs * num_tokens / shape.sequence_length);
      for (uint64_t epoch = 0; (epoch + 1) * num_tokens <= stream.size(); ++epoch) {
        std::vector<bool> seen(num_tokens + 1);
        for (uint64_t at = epoch * num_tokens; at < (epoch + 1) * num_tokens;) {
          // A document starts here, and all of it follows, whatever sequence ends it is cut at.
          const TokenList& document = documents_.at(stream[at]);
          for (const uint32_t token : document) {
            ASSERT_EQ(stream[at++], token);
            ASSERT_FALSE(seen[token]) << "repeated";
            seen[token] = true;
          }
        }
        ASSERT_EQ(std::count(seen.begin() + 1, seen.end(), false), 0) << "dropped";
      }
    }
  }
}

TEST_F(TokenDatasetTest, DocumentsFromEverywhereMixAndEachEpochDiffers) {
  const TokenDataset data = make(options(write_numbered("s", 8, 500, 12), 64));
  const uint64_t num_tokens = data.num_tokens();
  const auto stream = read_stream(data, 2 * num_tokens / 64);
  const std::vector<uint32_t> first(stream.begin(), stream.begin() + 2000);
  const std::vector<uint32_t> second(stream.begin() + static_cast<ptrdiff_t>(num_tokens),
                                     stream.begin() + static_cast<ptrdiff_t>(num_tokens) + 2000);
  EXPECT_NE(first, second);
  std::set<uint32_t> eighths;
  for (const uint32_t token : first)
    eighths.insert(static_cast<uint32_t>(token * uint64_t{8} / (num_tokens + 1)));
  EXPECT_EQ(eighths.size(), 8u) << "the first documents come from a part of the data only";
  uint64_t num_neighbours = 0, num_documents = 0;
  for (uint64_t at = 0; at < 2000; ++num_documents) {
    const TokenList& document = documents_.at(stream[at]);
    at += document.size();
    num_neighbours += stream[at] == document.back() + 1;
  }
  EXPECT_LE(num_neighbours, num_documents / 20) << "documents keep their neighbours";
}

TEST_F(TokenDatasetTest, SequencesDependOnSeedAndContentOnly) {
  const auto paths = write_numbered("s", 2, 200, 20);
  const TokenDataset a = make(options(paths, 32)), b = make(options(paths, 32));
  auto other = options(paths, 32);
  other.seed = 43;
  const TokenDataset c = make(other);
  uint64_t num_different = 0;
  for (uint64_t i = 50; i-- > 0;) {  // backwards: no history matters
    EXPECT_EQ(sequence(a, i).tokens, sequence(b, i).tokens);
    EXPECT_EQ(sequence(a, i).tokens, sequence(b, i).tokens);
    num_different += sequence(a, i).tokens != sequence(c, i).tokens;
  }
  EXPECT_GT(num_different, 45u);
  EXPECT_EQ(a.fingerprint(), b.fingerprint());
  EXPECT_NE(a.fingerprint(), c.fingerprint());
}

TEST_F(TokenDatasetTest, OffsetsReadFromFilesGiveTheSameDocuments) {
  const auto paths = write_numbered("s", 3, 100, 20);
  const TokenSource source(pool_, paths);
  for (uint64_t i = 0; i < source.num_documents(); ++i) {
    const DocumentPlace place = source.document(i);
    const TokenRange range = source.shards()[place.shard_idx].document(i % 100);
    EXPECT_EQ(place.first_token, range.first);
    EXPECT_EQ(place.num_tokens, range.size());
  }
  std::vector<uint64_t> lengths(250);
  source.read_lengths(30, lengths);
  for (uint64_t i = 0; i < 250; ++i) EXPECT_EQ(lengths[i], source.document(30 + i).num_tokens);
}

TEST_F(TokenDatasetTest, SourcesMixByWeightEachWithItsOwnEpochs) {
  auto o = options(write_numbered("a", 1, 300, 20), 16);
  o.sources.push_back({.paths = {write("b.h5", {TokenList(64, 69999)}, kVocabulary)}, .weight = 3});
  const TokenDataset data = make(o);
  uint64_t num_b = 0;
  for (uint64_t i = 0; i < 400; ++i) {
    const Batch batch = sequence(data, i);
    const bool is_b = batch.tokens[0] == 69999;
    num_b += is_b;
    EXPECT_EQ(batch.sequences_of_source, (is_b ? std::vector<int64_t>{0, 1} : std::vector<int64_t>{1, 0}));
  }
  EXPECT_EQ(num_b, 300u);
  const auto progress = data.progress(400);
  EXPECT_EQ(progress[0].num_sequences, 100u);
  EXPECT_DOUBLE_EQ(progress[1].num_epochs, 300.0 * 16 / 64);
}

TEST_F(TokenDatasetTest, AValidationPassReadsEverythingOnceInFileOrder) {
  auto o = options(write_numbered("s", 2, 50, 20), 64);
  o.repeat = false;
  o.shuffle = false;
  o.sources.push_back({.paths = {write("short.h5", {{69999, 69998}}, kVocabulary)}});
  const TokenDataset data = make(o);
  const uint64_t count = data.num_sequences_per_epoch(), num_first = data.num_tokens() - 2;
  EXPECT_EQ(count, (num_first + 63) / 64 + 1);
  auto stream = read_stream(data, count + 2);
  for (uint64_t i = 0; i < num_first; ++i) ASSERT_EQ(stream[i], i + 1);
  EXPECT_EQ(stream[(count - 1) * 64], 69999u);
  const Batch last = sequence(data, count - 1), beyond = sequence(data, count);
  EXPECT_EQ(last.num_valid_labels, 1);
  EXPECT_EQ(last.document_offsets, (std::vector<int64_t>{0, 2, 64}));
  EXPECT_EQ(beyond.num_valid_labels, 0);
  EXPECT_EQ(beyond.sequences_of_source, (std::vector<int64_t>{0, 0}));
}

TEST_F(TokenDatasetTest, FingerprintSeesContentOrderAndOptionsButNotPaths) {
  const auto documents = random_documents(1, 50, 20, 100);
  const auto a = write("a.h5", documents, 100), b = write("b.h5", random_documents(2, 50, 20, 100), 100);
  const auto print = [&](std::vector<std::string> paths, uint64_t length) {
    return make(options(std::move(paths), length)).fingerprint();
  };
  const std::string base = print({a, b}, 8);
  EXPECT_EQ(base, print({write("moved.h5", documents, 100), b}, 8));
  EXPECT_NE(base, print({b, a}, 8));
  EXPECT_NE(base, print({a}, 8));
  EXPECT_NE(base, print({a, b}, 9));
  auto changed = documents;
  changed[3].assign(changed[3].size() + 1, 5);
  EXPECT_NE(base, print({write("changed.h5", changed, 100), b}, 8));
}

TEST_F(TokenDatasetTest, ErrorsSayWhatToDo) {
  const auto a = write("a.h5", {{1, 2, 3, 4, 5, 6, 7, 8}}, 100);
  const auto b = write("b.h5", {{1, 2, 3, 4, 5, 6, 7, 8}}, 100, "tokenizer-b");
  const auto with = [&](std::vector<std::string> paths, auto change) {
    auto o = options(std::move(paths), 4);
    change(o);
    return o;
  };
  const auto keep = [](LoaderOptions&) {};
  const auto expect = [](const std::string& message, const char* text) {
    EXPECT_NE(message.find(text), std::string::npos) << message;
  };
  expect(message_of<core::MissingInputError>([&] { make(with({path("none-*.h5")}, keep)); }), "none-*.h5");
  expect(message_of<core::DataError>([&] { make(with({a, b}, keep)); }), "different tokenizers");
  expect(message_of<core::DataError>(
             [&] { make(with({a}, [&](auto& o) { o.sources.push_back({.paths = {b}}); })); }),
         "different tokenizers");
  expect(message_of<core::DataError>([&] { make(with({a, a}, keep)); }), "listed twice");
  expect(message_of<core::DataError>([&] { make(with({a}, [](auto& o) { o.sequence_length = 9; })); }),
         "less than one sequence of 9");
  expect(message_of<core::ConfigError>([&] { make(with({a}, [](auto& o) { o.vocabulary_size = 99; })); }),
         "the model's vocabulary 99");
  expect(message_of<core::ConfigError>([&] { make(with({a}, [](auto& o) { o.sequence_length = 0; })); }),
         "sequence length 0");
  expect(message_of<core::ConfigError>([&] { make(with({a}, [](auto& o) { o.sources.clear(); })); }),
         "no data sources");
  expect(message_of<core::ConfigError>([&] { make(with({a}, [](auto& o) { o.sources[0].weight = -1; })); }),
         "weight -1");
}

TEST_F(TokenDatasetTest, ATokenOutsideTheVocabularyIsFoundWhenRead) {
  const auto file = write("a.h5", {TokenList(1000, 0x0203)}, 0x0204);
  std::string content = read_file(file);
  const size_t at = content.find(std::string("\x03\x02\x03\x02\x03\x02", 6));
  ASSERT_NE(at, std::string::npos);
  content[at + 101] = 0x03;
  write_file(file, content);
  const TokenDataset data = make(options({file}, 1000));
  EXPECT_NE(message_of<core::DataError>([&] { sequence(data, 0); }).find("a.h5: token id"),
            std::string::npos);
}

}  // namespace
}  // namespace athanor::data
