#include <filesystem>
#include <thread>
#include <unistd.h>

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/parallel_for.h"
#include "data/tokenizer/tokenizer.h"
#include "tests/data/tokenizer/random_text.h"
#include "tests/data/tokenizer/tiny_tokenizer.h"

namespace athanor::data::tokenizer {
namespace {

using Ids = std::vector<uint32_t>;

Tokenizer load(const TinyJson& json) {
  return Tokenizer::from_json(json.dump(), "tiny.json");
}

TEST(Tokenizer, MergesInOrderOfRank) {
  const Tokenizer tokenizer = load(tiny_byte_level());
  EXPECT_EQ(tokenizer.encode("abc"), Ids{257});
  EXPECT_EQ(tokenizer.encode(" ab"), (Ids{' ', 256}));  // "ab" has the lower rank
  EXPECT_EQ(tokenizer.encode(" a"), Ids{258});
  EXPECT_EQ(tokenizer.encode("a<end>b"), (Ids{'a', 259, 'b'}));
  EXPECT_EQ(tokenizer.encode(""), Ids{});
  EXPECT_EQ(tokenizer.vocab_size(), 260u);
  EXPECT_EQ(tokenizer.token_to_id("<end>"), 259u);
  EXPECT_EQ(tokenizer.id_to_token(258), to_byte_symbols(" a"));
  EXPECT_EQ(tokenizer.id_to_token(260), std::nullopt);
  EXPECT_EQ(tokenizer.decode(Ids{257, 259, 999}), "abc<end>");
  EXPECT_EQ(tokenizer.decode(Ids{257, 259}, true), "abc");
}

TEST(Tokenizer, ByteLevelRoundTripsAnyText) {
  const Tokenizer tokenizer = load(tiny_byte_level());
  std::mt19937_64 random(3);
  const auto alphabet = mixed_alphabet();
  for (int i = 0; i < 500; ++i) {
    const std::string text = random_text(random, alphabet, random() % 200);
    ASSERT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
  }
}

TEST(Tokenizer, ReadsIllFormedUtf8AsReplacementCharacters) {
  const Tokenizer tokenizer = load(tiny_byte_level());
  std::mt19937_64 random(4);
  for (int i = 0; i < 500; ++i) {
    std::string bytes(random() % 60, '\0');
    for (auto& byte : bytes) byte = static_cast<char>(random());
    ASSERT_EQ(tokenizer.encode(bytes), tokenizer.encode(to_valid_utf8(bytes)));
    ASSERT_EQ(tokenizer.decode(tokenizer.encode(bytes)), to_valid_utf8(bytes));
  }
}

TEST(Tokenizer, IncrementalDecodingGivesWholeCharacters) {
  const Tokenizer tokenizer = load(tiny_byte_level());
  std::mt19937_64 random(6);
  for (int i = 0; i < 300; ++i) {
    Ids ids(random() % 50);
    for (auto& id : ids) id = static_cast<uint32_t>(random() % 262);
    IncrementalDecoder decoder(tokenizer);
    std::string streamed;
    for (const uint32_t id : ids) {
      const std::string text = decoder.push(id);
      ASSERT_EQ(valid_utf8_prefix(text).num_bad_bytes, 0u);
      streamed += text;
    }
    ASSERT_EQ(streamed + decoder.finish(), tokenizer.decode(ids));
  }
}

TEST(Tokenizer, AContinuationCompletesTheCharacterOfItsContext) {
  TinyJson fallback = tiny_characters({"a", "<0xE4>", "<0xBD>", "<0xA0>"}, {});
  fallback["decoder"] = {{"type", "ByteFallback"}};
  const Ids ni = load(tiny_byte_level()).encode("你");
  const struct {
    Tokenizer tokenizer;
    Ids context, ids, broken;
  } kCases[] = {{load(tiny_byte_level()), {'x', ni[0], ni[1]}, {ni[2], 'y'}, {'y'}},
                {load(fallback), {0, 1, 2}, {3, 0}, {0}}};
  for (const auto& c : kCases) {
    const std::string last = c.tokenizer.decode(c.broken);
    EXPECT_EQ(c.tokenizer.decode_continuation(c.context, c.ids), "你" + last);
    EXPECT_EQ(c.tokenizer.decode_continuation(c.context, c.broken), last);
    EXPECT_EQ(c.tokenizer.decode_continuation(c.context, {}), "");
  }
}

TEST(Tokenizer, HandlesUnknownCharacters) {
  const struct {
    bool fuse;
    Ids expected;
  } kCases[] = {{true, {1, 0, 2}}, {false, {1, 0, 0, 2}}};
  for (const auto& c : kCases) {
    TinyJson json = tiny_characters({"<unk>", "a", "b", "ab"}, {{"a", "b"}});
    json["model"]["unk_token"] = "<unk>";
    json["model"]["fuse_unk"] = c.fuse;
    EXPECT_EQ(load(json).encode("axyb"), c.expected);
    json["model"]["unk_token"] = nullptr;  // then they vanish
    EXPECT_EQ(load(json).encode("axyb"), Ids{3});
  }
}

TEST(Tokenizer, FallsBackToBytes) {
  TinyJson json = tiny_characters({"a", "<0xC3>", "<0xA9>", "<0xC3><0xA9>"}, {});
  json["model"]["byte_fallback"] = true;
  EXPECT_EQ(load(json).encode("aéa"), (Ids{0, 1, 2, 0}));
  json["model"]["merges"] = TinyJson::parse(R"([["<0xC3>", "<0xA9>"]])");
  EXPECT_EQ(load(json).encode("aéa"), (Ids{0, 3, 0}));
}

TEST(Tokenizer, TakesWholeWordsWhenMergesAreIgnored) {
  TinyJson json = tiny_byte_level();
  json["model"]["vocab"]["xyz"] = 259;
  json["added_tokens"][0]["id"] = 260;
  EXPECT_EQ(load(json).encode("xyz"), (Ids{'x', 'y', 'z'}));
  json["model"]["ignore_merges"] = true;
  EXPECT_EQ(load(json).encode("xyz"), Ids{259});
}

// Cutting a text where no merge can join must not change anything.
TEST(Tokenizer, LongTextsWithoutSplittingRulesEqualTheirTextbookMerges) {
  std::vector<std::string> tokens{"a", "b", "c", "_"};
  std::vector<std::pair<std::string, std::string>> merges{
      {"_", "a"}, {"b", "c"}, {"_a", "b"}, {"_", "_"}, {"c", "c"}};
  for (const auto& [left, right] : merges) tokens.push_back(left + right);
  const Tokenizer tokenizer = load(tiny_characters(tokens, merges));
  std::mt19937_64 random(8);
  for (int i = 0; i < 300; ++i) {
    const std::string text = random_text(random, {'a', 'b', 'c', '_'}, random() % 200);
    std::vector<std::string> symbols;
    for (const char c : text) symbols.emplace_back(1, c);
    for (const auto& [left, right] : merges)  // by rank, each from left to right
      for (size_t s = 0; s + 1 < symbols.size(); ++s)
        if (symbols[s] == left && symbols[s + 1] == right) {
          symbols[s] += right;
          symbols.erase(symbols.begin() + static_cast<ptrdiff_t>(s) + 1);
        }
    Ids expected;
    for (const auto& symbol : symbols) expected.push_back(*tokenizer.token_to_id(symbol));
    ASSERT_EQ(tokenizer.encode(text), expected) << text;
  }
}

TEST(Tokenizer, IdsMayHaveHoles) {
  TinyJson json = tiny_byte_level();
  json["model"]["vocab"]["abc"] = 1000;
  json["added_tokens"][0]["id"] = 300;
  json["added_tokens"].push_back({{"id", 500000}, {"content", "<far>"}, {"special", true}});
  const Tokenizer tokenizer = load(json);
  EXPECT_EQ(tokenizer.vocab_size(), 500001u);
  EXPECT_EQ(tokenizer.encode("abc<end><far>ab"), (Ids{1000, 300, 500000, 256}));
  EXPECT_EQ(tokenizer.decode(Ids{1000, 257, 300, 499999, 500000}), "abc<end><far>");
  EXPECT_EQ(tokenizer.id_to_token(257), std::nullopt);
  EXPECT_FALSE(tokenizer.is_special(257));
  EXPECT_EQ(Tokenizer::from_json(tokenizer.to_json(), "again").digest(), tokenizer.digest());
}

TEST(Tokenizer, AHoleIsNoEmptyToken) {
  TinyJson json = tiny_characters({"a", "b"}, {});
  json["model"]["vocab"]["b"] = 2;
  const Tokenizer with_hole = load(json);
  json["model"]["vocab"][""] = 1;
  const Tokenizer with_empty = load(json);
  EXPECT_NE(with_hole.digest(), with_empty.digest());
  EXPECT_EQ(with_hole.decode(Ids{0, 1, 2}), "a b");
  EXPECT_EQ(with_empty.decode(Ids{0, 1, 2}), "a  b");
}

TEST(Tokenizer, EncodesFromSeveralThreads) {
  const Tokenizer tokenizer = load(tiny_byte_level());
  std::mt19937_64 random(9);
  std::vector<std::string> texts;
  for (int i = 0; i < 200; ++i) texts.push_back(random_text(random, {'a', 'b', 'c', ' ', 0x4F60}, 50));
  std::vector<Ids> expected;
  for (const auto& text : texts) expected.push_back(tokenizer.encode(text));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(tokenizer.encode(texts[i]), expected[i]);
    });
  for (auto& thread : threads) thread.join();
}

TEST(Tokenizer, DigestNamesBehaviourNotForm) {
  const TinyJson json = tiny_byte_level();
  const std::string digest = load(json).digest();
  TinyJson same = json;
  same["model"]["merges"] = {"a b", "ab c", "Ġ a"};
  same["truncation"] = {{"max_length", 5}};
  same["note"] = "unknown fields do not matter";
  EXPECT_EQ(load(same).digest(), digest);
  const auto differs = [&](auto change) {
    TinyJson other = json;
    change(other);
    return load(other).digest() != digest;
  };
  EXPECT_TRUE(differs([](TinyJson& j) { j["model"]["merges"] = {"ab c", "a b", "Ġ a"}; }));
  EXPECT_TRUE(differs([](TinyJson& j) { j["added_tokens"][0]["lstrip"] = true; }));
  EXPECT_TRUE(differs([](TinyJson& j) { j["normalizer"] = {{"type", "NFC"}}; }));
  EXPECT_TRUE(differs([](TinyJson& j) { j["model"]["ignore_merges"] = true; }));
}

TEST(Tokenizer, SavesWhatItDoesNotKnow) {
  TinyJson json = tiny_byte_level();
  json["padding"] = {{"strategy", "BatchLongest"}};
  json["x"] = {{"deep", {1, 2, nullptr}}};
  json["model"]["y"] = 0.5;
  const auto path =
      (std::filesystem::temp_directory_path() / ("athanor-tok-" + std::to_string(getpid()))).string();
  load(json).save(path);
  const Tokenizer again = Tokenizer::from_file(path);
  EXPECT_EQ(nlohmann::json::parse(again.to_json()), nlohmann::json::parse(json.dump()));
  std::filesystem::remove(path);
  EXPECT_THROW(Tokenizer::from_file(path), core::MissingInputError);
}

TEST(Tokenizer, KnowsTheUsualNames) {
  TinyJson json = tiny_byte_level();
  uint32_t id = 260;
  for (const char* name : {"<s>", "</s>", "<pad>"})
    json["added_tokens"].push_back({{"id", id++}, {"content", name}, {"special", true}});
  const Tokenizer tokenizer = load(json);
  EXPECT_EQ(tokenizer.bos_id(), 260u);
  EXPECT_EQ(tokenizer.eos_id(), 261u);
  EXPECT_EQ(tokenizer.pad_id(), 262u);
  EXPECT_EQ(load(tiny_byte_level()).bos_id(), std::nullopt);
  EXPECT_TRUE(tokenizer.is_special(260));
  EXPECT_FALSE(tokenizer.is_special(65));
  EXPECT_FALSE(tokenizer.is_special(1u << 31));
}

}  // namespace
}  // namespace athanor::data::tokenizer
