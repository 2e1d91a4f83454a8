#include "data/shards/shard_builder.h"

#include <algorithm>
#include <set>

#include "core/error.h"
#include "data/shards/jsonl_documents.h"
#include "data/shards/shard_verify.h"
#include "tests/data/shards/shard_fixture.h"

namespace athanor::data {
namespace {

class ShardBuilder : public ShardTest {
 protected:
  static constexpr uint32_t kEos = 256;

  /// A tokenizer of bytes.
  static std::vector<TokenList> bytes(std::span<const std::string> texts) {
    std::vector<TokenList> tokens;
    for (const std::string& text : texts) {
      tokens.emplace_back();
      for (const char c : text) tokens.back().push_back(static_cast<unsigned char>(c));
    }
    return tokens;
  }

  ShardBuildOptions options(std::vector<std::string> inputs) const {
    return {.inputs = std::move(inputs),
            .output = path("train-00000.h5"),
            .tokenizer_digest = "bytes",
            .vocabulary_size = 257,
            .eos_id = kEos};
  }

  std::string input(const std::string& name, const std::string& content) const {
    write_file(path(name), content);
    return path(name);
  }

  std::vector<std::string> texts_of(const std::string& file) {
    const ShardReader shard = open(file);
    verify_shard(shard);
    std::vector<std::string> texts;
    for (uint64_t i = 0; i < shard.num_documents(); ++i) {
      const TokenRange range = shard.document(i);
      TokenList tokens(range.size());
      shard.read_tokens(range.first, tokens);
      EXPECT_EQ(tokens.back(), kEos);
      texts.emplace_back(tokens.begin(), tokens.end() - 1);
    }
    return texts;
  }

  static std::string numbered_lines(int count) {
    std::string lines;
    for (int i = 0; i < count; ++i) lines += fmt::format("{{\"text\": \"document number {}\"}}\n", i);
    return lines;
  }
};

TEST_F(ShardBuilder, DocumentsInOrderEachEndedByEos) {
  const auto a =
      input("a.jsonl", "{\"text\": \"one\", \"source\": \"web\", \"score\": 0.5}\n\n{\"text\": \"\"}\r\n");
  const auto b = input(
      "b.jsonl", "\xef\xbb\xbf{\"text\": \"\xe4\xb8\xad\"}\n{\"language\": \"en\", \"text\": \"three\"}");
  const auto summary = build_shards(core::posix_file_system(), options({a, b}), bytes);
  EXPECT_EQ(texts_of(path("train-00000.h5")), (std::vector<std::string>{"one", "\xe4\xb8\xad", "three"}));
  EXPECT_EQ(summary.num_documents, 3u);
  EXPECT_EQ(summary.num_empty_documents, 1u);
  EXPECT_EQ(summary.num_text_bytes, 11u);
  EXPECT_EQ(summary.num_tokens, 14u);
  ASSERT_EQ(summary.files.size(), 1u);
}

TEST_F(ShardBuilder, BosAndEos) {
  auto with_bos = options({input("a.jsonl", "{\"text\": \"x\"}\n")});
  with_bos.bos_id = 7;
  build_shards(core::posix_file_system(), with_bos, bytes);
  const ShardReader shard = open(path("train-00000.h5"));
  TokenList tokens(3);
  shard.read_tokens(0, tokens);
  EXPECT_EQ(tokens, (TokenList{7, 'x', kEos}));
}

TEST_F(ShardBuilder, CapsTheTokensOfAShard) {
  auto capped = options({input("a.jsonl", numbered_lines(50))});
  capped.max_tokens_per_shard = 100;
  const auto summary = build_shards(core::posix_file_system(), capped, bytes);
  ASSERT_GT(summary.files.size(), 5u);
  std::vector<std::string> all;
  for (size_t i = 0; i < summary.files.size(); ++i) {
    EXPECT_EQ(summary.files[i].path, path(fmt::format("train-{:05}.h5", i)));
    EXPECT_LE(summary.files[i].num_tokens, 100u);
    for (const std::string& text : texts_of(summary.files[i].path)) all.push_back(text);
  }
  ASSERT_EQ(all.size(), 50u);
  EXPECT_EQ(all[49], "document number 49");
  EXPECT_NE(message_of<core::CannotWriteError>([&] {
              build_shards(core::posix_file_system(), capped, bytes);
            }).find("train-00000.h5"),
            std::string::npos);
  auto larger = capped;
  larger.max_tokens_per_shard = 600;
  larger.overwrite = true;
  const auto again = build_shards(core::posix_file_system(), larger, bytes);
  EXPECT_LT(again.files.size(), summary.files.size());
  EXPECT_FALSE(std::filesystem::exists(summary.files.back().path)) << "a shard of the earlier build is left";
}

TEST_F(ShardBuilder, ValidationDependsOnTheTextAlone) {
  const auto forward = numbered_lines(400);
  auto split = options({input("a.jsonl", forward)});
  split.validation_fraction = 0.2;
  split.validation_output = path("validation-00000.h5");
  build_shards(core::posix_file_system(), split, bytes);
  const auto train = texts_of(path("train-00000.h5")), validation = texts_of(path("validation-00000.h5"));
  EXPECT_EQ(train.size() + validation.size(), 400u);
  EXPECT_NEAR(static_cast<double>(validation.size()), 80, 40);
  std::string shuffled;
  for (int i = 399; i >= 0; i -= 2) shuffled += fmt::format("{{\"text\": \"document number {}\"}}\n", i);
  split.inputs = {input("b.jsonl", shuffled)};
  build_shards(core::posix_file_system(), split, bytes);
  const std::set<std::string> before(validation.begin(), validation.end());
  for (const std::string& text : texts_of(path("validation-00000.h5")))
    EXPECT_TRUE(before.contains(text)) << text;
}

TEST_F(ShardBuilder, BadLinesNameFileAndLine) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"{\"text\": \"a\"}\n{\"text\": \n", "b.jsonl:2"},
      {"[1, 2]\n", "JSON object"},
      {"{\"content\": \"a\"}\n", "--text-key"},
      {"{\"text\": 5}\n", "no string"},
      {"{\"text\": \"\xff\xfe\"}\n", "not valid JSON"},
      {"{\"text\": \"a\", \"score\": \"high\"}\n", "`score`"},
      {"{\"text\": \"a\"}\n{\"text\": \"a\", \"score\": 1e300}\n", "b.jsonl:2: `score` is 1e+300"},
      {"{\"text\": \"a\", \"score\": 1e999}\n", "b.jsonl:1: not valid JSON: number overflow"},
      {"\n{\"text\": 1e}\n", "b.jsonl:2: not valid JSON: column 12: syntax error"},
      {R"({"text": "a", "source": "q\u0000x"})", "b.jsonl:1: `source` holds a NUL"},
      {R"({"text": "a", "language": "\u0000"})", "b.jsonl:1: `language` holds a NUL"},
      {"{\"text\": \"a\", \"source\": \"" + std::string(257, 's') + "\"}",
       "b.jsonl:1: `source` has 257 bytes"},
      {"{\"text\": \"a\", \"source\": 1}\n", "`source`"},
      {std::string("\0\0\0\0", 4) + "\n", "not valid JSON"},
      {"\x1f\x8b\x08 not really", "b.jsonl"},
      {std::string(100000, '[') + "\n", "b.jsonl:1"},
      {"", "no documents"},
      {"{\"text\": \"\"}\n", "no documents"},
  };
  for (const auto& [content, expected] : cases) {
    const auto bad = options({input("b.jsonl", content)});
    const std::string message =
        message_of<core::DataError>([&] { build_shards(core::posix_file_system(), bad, bytes); });
    EXPECT_NE(message.find(expected), std::string::npos) << message;
    EXPECT_NE(message.find("b.jsonl"), std::string::npos) << message;
  }
  EXPECT_FALSE(std::filesystem::exists(path("train-00000.h5")));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_), {}), 1)
      << "temporary files are left";
}

TEST_F(ShardBuilder, TheSourceThatIsTooManyIsNamedByItsLine) {
  std::string lines;
  for (uint64_t i = 0; i < kMaxLabelNames; ++i)
    lines += fmt::format("{{\"text\": \"a\", \"source\": \"{}\"}}\n", i);
  build_shards(core::posix_file_system(), options({input("a.jsonl", lines)}), bytes);
  lines += "{\"text\": \"a\", \"source\": \"7\"}\n{\"text\": \"a\", \"source\": \"one more\"}\n";
  const std::string message = message_of<core::DataError>(
      [&] { build_shards(core::posix_file_system(), options({input("b.jsonl", lines)}), bytes); });
  EXPECT_NE(message.find("b.jsonl:65537: more than 65535 different values of `source`"), std::string::npos)
      << message;
}

TEST_F(ShardBuilder, ARowStartsAtItsNumber) {
  const auto files = [&] {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(directory_))
      if (entry.path().extension() == ".h5") names.insert(entry.path().filename().string());
    return names;
  };
  auto row = options({input("a.jsonl", numbered_lines(10))});
  row.max_tokens_per_shard = 100;
  row.output = path("t1-v2.h5");
  build_shards(core::posix_file_system(), row, bytes);
  EXPECT_EQ(files(), (std::set<std::string>{"t1-v2-00000.h5", "t1-v2-00001.h5"}));
  row.output = path("t1-v2-00002.h5");  // goes on behind the shards of the first build
  build_shards(core::posix_file_system(), row, bytes);
  EXPECT_EQ(files(),
            (std::set<std::string>{"t1-v2-00000.h5", "t1-v2-00001.h5", "t1-v2-00002.h5", "t1-v2-00003.h5"}));
  row.output = path("t1-v2-00001.h5");
  EXPECT_THROW(build_shards(core::posix_file_system(), row, bytes), core::CannotWriteError);
  row.overwrite = true;
  row.max_tokens_per_shard = 1000;
  build_shards(core::posix_file_system(), row, bytes);
  EXPECT_EQ(files(), (std::set<std::string>{"t1-v2-00000.h5", "t1-v2-00001.h5"}));
}

TEST_F(ShardBuilder, OptionsThatDoNotFit) {
  const auto usage = [&](auto change) {
    auto bad = options({input("a.jsonl", "{\"text\": \"a\"}\n")});
    change(bad);
    EXPECT_THROW(build_shards(core::posix_file_system(), bad, bytes), core::UsageError);
  };
  usage([](auto& o) { o.inputs.clear(); });
  usage([](auto& o) { o.inputs = {"-", "-"}; });
  usage([](auto& o) { o.validation_fraction = 0.5; });
  usage([](auto& o) { o.validation_fraction = 1.5; });
  usage([](auto& o) { o.eos_id = 999; });
  usage([](auto& o) {
    o.validation_fraction = 0.5;
    o.max_tokens_per_shard = 10;
    o.validation_output = numbered_path(o.output, 1);
  });
  EXPECT_THROW(build_shards(core::posix_file_system(), options({path("missing.jsonl")}), bytes),
               core::MissingInputError);
}

TEST_F(ShardBuilder, AValidationSetThatTakesEverythingIsRefused) {
  auto all = options({input("a.jsonl", "{\"text\": \"a\"}\n")});
  all.validation_fraction = 0.999999;
  all.validation_output = path("validation.h5");
  EXPECT_THROW(build_shards(core::posix_file_system(), all, bytes), core::DataError);
  EXPECT_FALSE(std::filesystem::exists(path("validation.h5")));
}

TEST_F(ShardBuilder, ATokenizerThatLeavesItsVocabularyIsRefused) {
  auto small = options({input("a.jsonl", "{\"text\": \"zzz\"}\n")});
  small.vocabulary_size = 100;
  small.eos_id = 1;
  EXPECT_THROW(build_shards(core::posix_file_system(), small, bytes), core::DataError);
}

TEST(NumberedPath, CountsInTheNumberBeforeTheSuffix) {
  EXPECT_EQ(numbered_path("a/train-00000.h5", 12), "a/train-00012.h5");
  EXPECT_EQ(numbered_path("train-000.h5", 12345), "train-12345.h5");
  EXPECT_EQ(numbered_path("v2/train.h5", 3), "v2/train-00003.h5");
  EXPECT_EQ(numbered_path("x1y2.bin.h5", 3), "x1y2.bin-00003.h5");
  EXPECT_EQ(numbered_path("7", 8), "7-00008");
  EXPECT_EQ(numbered_path("shard", 8), "shard-00008");
  EXPECT_EQ(numbered_path("t1-v2.h5", 1), "t1-v2-00001.h5");
  EXPECT_EQ(numbered_path("t-12.h5", 1), "t-12-00001.h5");
  EXPECT_EQ(numbered_path("12345/t.h5", 1), "12345/t-00001.h5");
  EXPECT_EQ(numbered_path("2024.h5", 2025), "2025.h5");
  EXPECT_EQ(numbered_path(std::string(30, '9') + ".h5", 1), std::string(30, '9') + "-00001.h5");
  EXPECT_EQ(shard_number("train-00007.h5"), 7u);
  EXPECT_EQ(shard_number("t1-v2.h5"), 0u);
}

}  // namespace
}  // namespace athanor::data
