#include <fmt/format.h>
#include <gtest/gtest.h>

#include "data/tokenizer/added_tokens.h"
#include "data/tokenizer/byte_alphabet.h"
#include "data/tokenizer/decoder.h"
#include "data/tokenizer/normalizer.h"
#include "data/tokenizer/post_processor.h"
#include "data/tokenizer/pre_tokenizer.h"
#include "data/tokenizer/symbol_merger.h"
#include "data/tokenizer/word_cache.h"
#include "tests/data/tokenizer/random_text.h"

namespace athanor::data::tokenizer {
namespace {

using Strings = std::vector<std::string>;

Json parse(const char* text) {
  return Json::parse(text);
}
const std::string kName = "test.json";

TEST(Utf8, ReplacesMaximalIllFormedParts) {
  const std::pair<const char*, const char*> kCases[] = {
      {"abc", "abc"},
      {"\xFF", "\uFFFD"},
      {"\xC0\xAF", "\uFFFD\uFFFD"},            // overlong
      {"\xED\xA0\x80", "\uFFFD\uFFFD\uFFFD"},  // surrogate
      {"\xE4\xBD", "\uFFFD"},                  // cut off
      {"\xE4\xBDx", "\uFFFDx"},
      {"\xF0\x9F\x98\x80\xF0\x9F", "\U0001F600\uFFFD"},
      {"\xF5\x80\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD"},  // beyond U+10FFFF
      {"12345678\x80"
       "90",
       "12345678\uFFFD"
       "90"},
  };
  for (const auto& [bytes, valid] : kCases) EXPECT_EQ(to_valid_utf8(bytes), valid);
}

TEST(ByteAlphabet, IsABijection) {
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes += static_cast<char>(byte);
  EXPECT_EQ(from_byte_symbols(to_byte_symbols(bytes)), bytes);
  EXPECT_EQ(byte_symbol(' '), "Ġ");
  EXPECT_EQ(from_byte_symbols("a b"), std::nullopt);
}

TEST(Normalizer, AppliesEachKind) {
  const struct {
    const char* json;
    const char* text;
    const char* expected;
  } kCases[] = {
      {R"({"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"_"},{"type":"Lowercase"}]})", "AB",
       "_ab"},
      {R"({"type":"Prepend","prepend":"_"})", "", ""},
      {R"({"type":"Replace","pattern":{"String":"a.c"},"content":"x"})", "abca.c", "abcx"},
      {R"({"type":"Replace","pattern":{"Regex":"a.c"},"content":"$0"})", "abca.c", "$0$0"},
      {R"({"type":"NFC"})", "e\u0301", "\u00E9"},
      {R"({"type":"NFD"})", "\u00E9", "e\u0301"},
      {R"({"type":"NFKC"})", "\uFB01", "fi"},
      {R"({"type":"NFKD"})", "\u2460", "1"},
      {R"({"type":"Lowercase"})", "\u0130\u03A3", "i\u0307\u03C3"},
      {R"({"type":"Strip","strip_left":true,"strip_right":false})", "\u3000 a ", "a "},
      {R"({"type":"Strip","strip_left":true,"strip_right":true})", " \n", ""},
      {R"({"type":"NFC"})", "", ""},
  };
  for (const auto& c : kCases) {
    const Json json = parse(c.json);
    EXPECT_EQ(Normalizer(JsonCursor(json, kName)).normalize(c.text), c.expected) << c.json;
  }
}

Strings split(const char* rules, std::string_view text, bool is_text_start = true) {
  const Json json = parse(rules);
  Pieces pieces;
  PreTokenizer(JsonCursor(json, kName)).split(text, is_text_start, pieces);
  return {pieces.list.begin(), pieces.list.end()};
}

TEST(PreTokenizer, SplitsWithEveryBehavior) {
  const std::pair<const char*, Strings> kCases[] = {
      {"Removed", {"The", "final", "countdown"}},
      {"Isolated", {"The", "-", "final", "-", "-", "countdown"}},
      {"MergedWithPrevious", {"The-", "final-", "-", "countdown"}},
      {"MergedWithNext", {"The", "-final", "-", "-countdown"}},
      {"Contiguous", {"The", "-", "final", "--", "countdown"}},
  };
  for (const auto& [behavior, expected] : kCases) {
    const Json json{
        {"type", "Split"}, {"pattern", {{"String", "-"}}}, {"behavior", behavior}, {"invert", false}};
    EXPECT_EQ(split(json.dump().c_str(), "The-final--countdown"), expected) << behavior;
  }
}

TEST(PreTokenizer, AppliesEachKind) {
  const struct {
    const char* json;
    const char* text;
    Strings expected;
  } kCases[] = {
      {R"({"type":"Digits","individual_digits":true})", "a12b", {"a", "1", "2", "b"}},
      {R"({"type":"Digits","individual_digits":false})", "a12b", {"a", "12", "b"}},
      {R"({"type":"Punctuation"})", "a,$b", {"a", ",", "$", "b"}},
      {R"({"type":"WhitespaceSplit"})", " a \u3000b", {"a", "b"}},
      {R"({"type":"Whitespace"})", "e\u0301, b!?", {"e\u0301", ",", "b", "!?"}},
      {R"({"type":"ByteLevel","add_prefix_space":true})", "a b's", {" a", " b", "'s"}},
      {R"({"type":"Metaspace","replacement":"_"})", "a b", {"_a", "_b"}},
      {R"({"type":"Metaspace","replacement":"_","prepend_scheme":"never","split":false})", "a b", {"a_b"}},
      {R"({"type":"Split","pattern":{"Regex":"\\d+"},"behavior":"Removed","invert":true})",
       "a1b22",
       {"1", "22"}},
      {R"({"type":"Sequence","pretokenizers":[]})", "ab", {"ab"}},
      {R"({"type":"Digits"})", "", {}},
  };
  for (const auto& c : kCases) EXPECT_EQ(split(c.json, c.text), c.expected) << c.json;
}

TEST(PreTokenizer, PrependsAtTheFirstTextOnly) {
  const char* json = R"({"type":"Metaspace","replacement":"_","prepend_scheme":"first"})";
  EXPECT_EQ(split(json, "a b", true), (Strings{"_a", "_b"}));
  EXPECT_EQ(split(json, "a b", false), (Strings{"a", "_b"}));
}

TEST(AddedTokenMatcher, FindsLeftmostLongestAndHonoursFlags) {
  std::vector<AddedToken> tokens{{.id = 1, .content = "<a>"},
                                 {.id = 2, .content = "<a><b>"},
                                 {.id = 3, .content = "word", .single_word = true},
                                 {.id = 4, .content = "[L]", .lstrip = true},
                                 {.id = 5, .content = "[R]", .rstrip = true}};
  std::vector<std::string> patterns;
  for (const auto& token : tokens) patterns.push_back(token.content);
  const AddedTokenMatcher matcher(tokens, patterns);
  const auto shown = [&](std::string_view text) {
    std::string out;
    for (const auto& part : matcher.split(text))
      out += fmt::format("{}:{}|", part.id ? int(*part.id) : 0, part.text);
    return out;
  };
  EXPECT_EQ(shown("x<a><b><a>y"), "0:x|2:<a><b>|1:<a>|0:y|");
  EXPECT_EQ(shown("word words"), "3:word|0: words|");
  EXPECT_EQ(shown("a \u3000[L] b"), "0:a|4: \u3000[L]|0: b|");
  EXPECT_EQ(shown("[R] \n[L]"), "5:[R] \n|4:[L]|");
  EXPECT_EQ(shown(""), "");
  EXPECT_EQ(shown("<a"), "0:<a|");
}

std::string decode(const char* rules, const Strings& tokens) {
  const Json json = parse(rules);
  return Decoder(JsonCursor(json, kName)).decode(tokens);
}

TEST(Decoder, AppliesEachKind) {
  EXPECT_EQ(decode(R"({"type":"ByteLevel"})", {"Ġa", "ä½", "ł", "a b"}), " a你a b");
  EXPECT_EQ(decode(R"({"type":"ByteFallback"})", {"a", "<0xE4>", "<0xBD>", "<0xA0>", "b", "<0xFF>"}),
            "a你b\uFFFD");
  EXPECT_EQ(decode(R"({"type":"Replace","pattern":{"String":"_"},"content":" "})", {"_a", "_b"}), " a b");
  EXPECT_EQ(decode(R"({"type":"Strip","content":"_","start":1,"stop":0})", {"__a", "_b_"}), "_ab_");
  EXPECT_EQ(decode(R"({"type":"Strip","content":"_","start":0,"stop":5})", {"__", "a_"}), "a");
  EXPECT_EQ(decode(R"({"type":"Metaspace","replacement":"_"})", {"_a", "_b"}), "a b");
  EXPECT_EQ(
      decode(
          R"({"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]})",
          {" a", " b"}),
      "a b");
  EXPECT_EQ(Decoder().decode({"a", "b"}), "a b");
}

TEST(PostProcessor, PutsSpecialTokensAround) {
  const Json json = parse(R"({"type":"TemplateProcessing","pair":[],
      "single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"</s>","type_id":0}}],
      "special_tokens":{"<s>":{"id":"<s>","ids":[1],"tokens":["<s>"]},"</s>":{"id":"</s>","ids":[2,3],"tokens":["x","y"]}}})");
  const PostProcessor processor(JsonCursor(json, kName), 4);
  EXPECT_EQ(processor.process({0}, true), (std::vector<uint32_t>{1, 0, 2, 3}));
  EXPECT_EQ(processor.process({0}, false), (std::vector<uint32_t>{0}));
  EXPECT_EQ(processor.id_before_text(), 1u);
  EXPECT_EQ(processor.id_after_text(), 2u);
}

// The textbook algorithm, to compare with.
std::vector<uint32_t> merged_naively(const MergeMap& merges, std::vector<uint32_t> ids) {
  for (;;) {
    const Merge* best = nullptr;
    size_t best_at = 0;
    for (size_t i = 0; i + 1 < ids.size(); ++i)
      if (const Merge* m = merges.find(pair_key(ids[i], ids[i + 1])); m && (!best || m->rank < best->rank))
        best = m, best_at = i;
    if (!best) return ids;
    ids[best_at] = best->new_id;
    ids.erase(ids.begin() + static_cast<ptrdiff_t>(best_at) + 1);
  }
}

TEST(SymbolMerger, EqualsTheTextbookAlgorithmForEveryLength) {
  std::mt19937_64 random(5);
  MergeMap merges;
  for (uint32_t id = 4; id < 60; ++id)
    merges[pair_key(random() % id, random() % id)] = {static_cast<uint32_t>(random() % 1000), id};
  for (size_t length = 0; length < 300; ++length) {
    std::vector<uint32_t> ids(length);
    for (auto& id : ids) id = static_cast<uint32_t>(random() % 4);
    const auto expected = merged_naively(merges, ids);
    ids.insert(ids.begin(), {7, 7, 7});
    merge_symbols(merges, ids, 3);
    ASSERT_EQ(std::vector<uint32_t>(ids.begin() + 3, ids.end()), expected) << length;
  }
}

TEST(WordCache, RemembersAndStaysBounded) {
  WordCache cache;
  const auto hash = [](const std::string& word) { return hash_bytes(word.data(), word.size()); };
  for (uint32_t i = 0; i < 400000; ++i) {
    const std::string word = "w" + std::to_string(i);
    ASSERT_EQ(cache.find(word, hash(word)).data(), nullptr);
    cache.insert(word, hash(word), std::vector<uint32_t>{i, i + 1});
    const auto found = cache.find(word, hash(word));
    ASSERT_EQ(std::vector<uint32_t>(found.begin(), found.end()), (std::vector<uint32_t>{i, i + 1}));
  }
}

}  // namespace
}  // namespace athanor::data::tokenizer
