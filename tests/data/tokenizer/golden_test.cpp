// Equality with Hugging Face tokenizers on the reference fixtures. Nothing about the set is known here but
// its format: strings.jsonl, NAME.json with NAME.expected.jsonl, bpe_train_corpus.jsonl with
// bpe_train_expected.json.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/json.h"
#include "core/parallel_for.h"
#include "data/tokenizer/tokenizer.h"
#include "data/tokenizer/trainer.h"

namespace athanor::data::tokenizer {
namespace {

using nlohmann::json;
using Ids = std::vector<uint32_t>;

std::filesystem::path fixture_folder() {
  const char* other = std::getenv("ATHANOR_REFERENCE_DIR");
  return std::filesystem::path(other ? other : ATHANOR_SOURCE_DIR "/tests/reference") / "tokenizer";
}

std::vector<json> read_json_lines(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::vector<json> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(json::parse(line));
  return lines;
}

constexpr std::string_view kExpectedSuffix = ".expected.jsonl";

std::vector<std::string> tokenizer_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(fixture_folder())) {
    const std::string file = entry.path().filename().string();
    if (file.size() > kExpectedSuffix.size() &&
        file.substr(file.size() - kExpectedSuffix.size()) == kExpectedSuffix)
      names.push_back(file.substr(0, file.size() - kExpectedSuffix.size()));
  }
  return names;
}

class TokenizerFixture : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(std::filesystem::exists(fixture_folder() / "strings.jsonl"))
        << "no reference fixtures in " << fixture_folder();
    for (const auto& line : read_json_lines(fixture_folder() / "strings.jsonl"))
      strings_.push_back(line.get<std::string>());
    ASSERT_FALSE(strings_.empty());
    ASSERT_FALSE(tokenizer_names().empty());
  }
  static Tokenizer load(const std::string& name) {
    return Tokenizer::from_file((fixture_folder() / (name + ".json")).string());
  }
  std::vector<std::string> strings_;
};

void expect_equal_to_reference(const Tokenizer& tokenizer, const std::string& text, const json& expected) {
  const Ids ids = tokenizer.encode(text), special_ids = tokenizer.encode(text, true);
  EXPECT_EQ(ids, expected["ids"].get<Ids>());
  EXPECT_EQ(special_ids, expected["ids_special"].get<Ids>());
  const std::string decoded = expected.value("decoded", text);
  EXPECT_EQ(tokenizer.decode(ids), decoded);
  EXPECT_EQ(tokenizer.decode(special_ids, true), expected.value("decoded_skip_special", decoded));
}

TEST_F(TokenizerFixture, EncodesAndDecodesEveryString) {
  for (const auto& name : tokenizer_names()) {
    const Tokenizer tokenizer = load(name);
    const auto expected = read_json_lines(fixture_folder() / (name + std::string(kExpectedSuffix)));
    ASSERT_EQ(expected.size(), strings_.size()) << name;
    for (size_t i = 0; i < strings_.size() && !HasFailure(); ++i) {
      SCOPED_TRACE(name + ", string " + std::to_string(i) + ": " + strings_[i]);
      expect_equal_to_reference(tokenizer, strings_[i], expected[i]);
    }
  }
}

TEST_F(TokenizerFixture, AddedTokensNeedNotStandInTheVocabulary) {
  auto file = nlohmann::ordered_json::parse(std::ifstream(fixture_folder() / "gpt4_style.json"));
  const std::string begin = "<|begin_of_text|>";
  const uint32_t begin_id = file["model"]["vocab"][begin];
  file["model"]["vocab"].erase(begin);
  const Tokenizer whole = load("gpt4_style"), without = Tokenizer::from_json(file.dump(), "without.json");
  EXPECT_EQ(without.vocab_size(), whole.vocab_size());
  EXPECT_EQ(without.token_to_id(begin), begin_id);
  for (const auto& text : strings_) ASSERT_EQ(without.encode(text, true), whole.encode(text, true)) << text;

  file = nlohmann::ordered_json::parse(std::ifstream(fixture_folder() / "deepseek_v3_style.json"));
  file["model"]["vocab"]["zzq"] = 4008;
  const Tokenizer longer = Tokenizer::from_json(file.dump(), "longer.json");
  EXPECT_EQ(longer.vocab_size(), 4009u);
  EXPECT_EQ(longer.decode(Ids{4007, 4008}), "</think>zzq");
}

TEST_F(TokenizerFixture, BatchesGiveTheSameIds) {
  core::set_num_threads(3);
  for (const auto& name : tokenizer_names()) {
    const Tokenizer tokenizer = load(name);
    const auto batch = tokenizer.encode_batch(strings_, true);
    for (size_t i = 0; i < strings_.size(); ++i)
      ASSERT_EQ(batch[i], tokenizer.encode(strings_[i], true)) << name;
  }
  core::set_num_threads(1);
}

TEST_F(TokenizerFixture, SavedFilesMeanTheSame) {
  for (const auto& name : tokenizer_names()) {
    const Tokenizer tokenizer = load(name), again = Tokenizer::from_json(tokenizer.to_json(), name);
    EXPECT_EQ(again.digest(), tokenizer.digest());
    const auto written = json::parse(tokenizer.to_json());
    EXPECT_EQ(written, json::parse(std::ifstream(fixture_folder() / (name + ".json"))));
  }
}

TEST_F(TokenizerFixture, IncrementalDecodingAddsUpToTheWhole) {
  for (const auto& name : tokenizer_names()) {
    const Tokenizer tokenizer = load(name);
    for (const auto& text : strings_) {
      const Ids ids = tokenizer.encode(text, true);
      IncrementalDecoder decoder(tokenizer, true);
      std::string streamed;
      for (const uint32_t id : ids) streamed += decoder.push(id);
      streamed += decoder.finish();
      ASSERT_EQ(streamed, tokenizer.decode(ids, true)) << name << ": " << text;
    }
  }
}

TEST_F(TokenizerFixture, ContinuationsGoOnFromTheirContext) {
  for (const auto& name : tokenizer_names()) {
    const Tokenizer tokenizer = load(name);
    for (const auto& text : strings_) {
      const Ids ids = tokenizer.encode(text, true);
      const std::string whole = tokenizer.decode(ids, true);
      for (const size_t num_given : {size_t{1}, ids.size() / 3, ids.size() / 2}) {
        const auto given = std::span(ids).first(std::min(num_given, ids.size()));
        const std::string before = tokenizer.decode(given, true);
        if (!whole.starts_with(before) || before.ends_with("\uFFFD")) continue;  // cut within a character
        ASSERT_EQ(before + tokenizer.decode_continuation(given, std::span(ids).subspan(given.size()), true),
                  whole)
            << name << ": " << text;
      }
    }
  }
}

TEST_F(TokenizerFixture, AContinuationKeepsItsFirstSpace) {
  const Tokenizer tokenizer = load("llama2_style");
  const Ids prompt = tokenizer.encode("Hello", true), world = tokenizer.encode("world");
  ASSERT_EQ(tokenizer.decode(world), "world");
  EXPECT_EQ(tokenizer.decode_continuation(prompt, world, true), " world");
  EXPECT_EQ(tokenizer.decode_continuation({}, world, true), "world");
  IncrementalDecoder decoder(tokenizer, true, prompt);
  std::string streamed;
  for (const uint32_t id : world) streamed += decoder.push(id);
  EXPECT_EQ(streamed + decoder.finish(), " world");
}

TEST_F(TokenizerFixture, TrainingGivesTheSameMergesAndVocabulary) {
  const auto expected = json::parse(std::ifstream(fixture_folder() / "bpe_train_expected.json"));
  const auto corpus = std::filesystem::temp_directory_path() / "athanor-golden-corpus.jsonl";
  {
    std::ofstream out(corpus);
    for (const auto& text : read_json_lines(fixture_folder() / "bpe_train_corpus.jsonl"))
      out << json{{"text", text}}.dump() << "\n";
  }
  TrainerOptions options;
  options.vocab_size = expected["vocab_size"];
  options.patterns = {expected["pattern"]};
  options.min_frequency = expected["min_frequency"];
  for (const auto& token : expected["special_tokens"])
    options.added_tokens.push_back({.content = token, .special = true});
  const auto trained = train_tokenizer({corpus.string()}, options);
  const auto model = json::parse(trained.tokenizer.to_json())["model"];
  EXPECT_EQ(model["merges"], expected["merges"]);
  EXPECT_EQ(model["vocab"], expected["vocab"]);
  std::filesystem::remove(corpus);
}

}  // namespace
}  // namespace athanor::data::tokenizer
