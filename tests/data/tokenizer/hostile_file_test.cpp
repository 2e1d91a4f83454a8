// Files that are damaged, hostile or beyond what is supported: always one DataError that says where.
#include <gtest/gtest.h>

#include "core/error.h"
#include "data/tokenizer/tokenizer.h"
#include "tests/data/tokenizer/tiny_tokenizer.h"

namespace athanor::data::tokenizer {
namespace {

std::string error_of(const std::string& text) {
  try {
    Tokenizer::from_json(text, "bad.json");
  } catch (const core::DataError& error) {
    return error.what();
  }
  return "no error";
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// At a place of the tiny tokenizer stands something else (or nothing, for an empty value).
struct Defect {
  const char* place;
  const char* value;
  const char* expected;  ///< part of the message
};

constexpr Defect kDefects[] = {
    {"/version", R"("2.0")", R"(version: expected "1.0", found "2.0")"},
    {"/model", "", R"("model")"},
    {"/model/vocab", "", R"("vocab", which is missing)"},
    {"/model/merges", "", R"("merges", which is missing)"},
    {"/model/vocab", "3", "model.vocab must be an object"},
    {"/model/type", R"("Unigram")", R"(model.type: expected "BPE")"},
    {"/model/dropout", "0.1", "model.dropout"},
    {"/model/continuing_subword_prefix", R"("##")", "model.continuing_subword_prefix"},
    {"/model/end_of_word_suffix", R"("</w>")", "model.end_of_word_suffix"},
    {"/model/vocab/ab", "-1", R"(model.vocab["ab"]: expected an id)"},
    {"/model/vocab/ab", R"("x")", R"(model.vocab["ab"]: expected an id)"},
    {"/model/vocab/ab", "[1]", R"(model.vocab["ab"]: expected an id)"},
    {"/model/vocab/ab", "5000000000", R"(model.vocab["ab"]: expected an id)"},
    {"/model/vocab/ab", "97", "the id 97 belongs to both"},
    {"/model/vocab/ab", "4294967295", R"(model.vocab["ab"]: expected an id)"},
    {"/model/vocab/ab", "4294967294", "no token has the id 256"},
    {"/added_tokens/0/id", "4000000000", "no token has the id 259"},
    {"/added_tokens/0/content", R"("ab")", "model.vocab gives it the id 256"},
    {"/added_tokens/0/id", "256", "the id 256 belongs to both"},
    {"/added_tokens/1", R"({"id": 259, "content": "<other>"})", "the id 259 belongs to both"},
    {"/added_tokens/1", R"({"id": 1048837, "content": "<far>"})", "no token has the id 260"},
    {"/added_tokens/0/content", R"("")", "added_tokens[0].content: expected a text"},
    {"/added_tokens/0/id", "null", "added_tokens[0].id"},
    {"/added_tokens/0/special", "1", "added_tokens[0].special: expected true or false"},
    {"/added_tokens", "{}", "added_tokens: expected an array"},
    {"/model/merges/1", R"(["ab", "zz"])", "model.merges[1]"},
    {"/model/merges/0", R"(["b", "a"])", R"(the result "ba" is not a token)"},
    {"/model/merges/1", R"(["ab"])", "model.merges"},
    {"/model/merges/1", R"(["a", "b", "c"])", "model.merges"},
    {"/model/merges/1", R"([["a"], "b"])", "model.merges"},
    {"/model/merges/1", "7", "model.merges"},
    {"/model/merges/1", R"("a b")", "model.merges"},
    {"/model/merges", R"(["a b", "a  b"])", "model.merges"},
    {"/model/merges", R"([["", "a"]])", R"(model.merges[0] of "")"},
    {"/normalizer", R"({"type": "Nope"})", "normalizer.type: expected a normalizer"},
    {"/normalizer", R"("NFC")", "normalizer: expected an object"},
    {"/normalizer", "{}", R"(normalizer: expected an object with the key "type")"},
    {"/pre_tokenizer", R"({"type": "Sequence", "pretokenizers": [{"type": "Bert"}]})",
     "pre_tokenizer.pretokenizers[0].type"},
    {"/pre_tokenizer", R"({"type": "Split", "pattern": {"String": "a"}, "behavior": "x"})",
     "behavior: expected a behavior"},
    {"/pre_tokenizer", R"({"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated"})",
     "pattern.Regex: the regular expression"},
    {"/pre_tokenizer", R"({"type": "Metaspace", "replacement": "_", "prepend_scheme": "x"})",
     "prepend_scheme"},
    {"/pre_tokenizer", R"({"type": "Metaspace", "replacement": "__"})",
     "replacement: expected a string of one"},
    {"/decoder", R"({"type": "CTC"})", "decoder.type: expected a decoder"},
    {"/post_processor", R"({"type": "BertProcessing"})", "post_processor.type"},
    {"/post_processor",
     R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x", "type_id": 0}}],
         "special_tokens": {"x": {"ids": [260]}}})",
     "ids[0]: expected a whole number from 0 to 259"},
};

TEST(HostileFile, EachDefectIsNamed) {
  for (const Defect& defect : kDefects) {
    TinyJson json = tiny_byte_level();
    const TinyJson::json_pointer place(defect.place);
    if (*defect.value)
      json[place] = TinyJson::parse(defect.value);
    else
      json[place.parent_pointer()].erase(place.back());
    const std::string error = error_of(json.dump());
    EXPECT_TRUE(contains(error, "bad.json") && contains(error, defect.expected))
        << defect.expected << "\n  " << error;
  }
}

TEST(HostileFile, AnUnknownTokenMustBeInTheVocabularyWhereItIsNeeded) {
  TinyJson json = tiny_byte_level();
  json["model"]["unk_token"] = "?!";
  EXPECT_EQ(error_of(json.dump()), "no error");  // all bytes have tokens
  json["pre_tokenizer"] = nullptr;
  EXPECT_TRUE(contains(error_of(json.dump()), "model.unk_token"));
}

TEST(HostileFile, AHugeIdAllocatesNothing) {
  EXPECT_TRUE(contains(error_of(R"({"model":{"vocab":{"a":4000000000},"merges":[]}})"),
                       "no token has the id 0, and 3999999999 more"));
}

TEST(HostileFile, DuplicateTokensAreRefused) {
  std::string text = tiny_byte_level().dump();
  text.replace(text.find("\"ab\":256"), 8, "\"ab\":256,\"ab\":256");
  EXPECT_TRUE(contains(error_of(text), "\"ab\" stands there twice"));
}

TEST(HostileFile, EveryTruncationIsRefused) {
  const std::string text = tiny_byte_level().dump();
  for (size_t size = 0; size < text.size(); size += 1 + size / 100)
    EXPECT_TRUE(contains(error_of(text.substr(0, size)), "bad.json")) << size;
}

TEST(HostileFile, GarbageIsRefused) {
  const std::string deep(200000, '['), wide = [] {
    std::string keys = "{\"model\":{";
    for (int i = 0; i < 6000; ++i) keys += "\"k" + std::to_string(i) + "\":0,";
    return keys + "\"z\":0}}";
  }();
  for (const std::string& text :
       {std::string(), std::string("\0\0\0", 3), std::string("{\"model\":\0}", 11), std::string("[]"),
        std::string("null"), std::string("7"), std::string("{}"), std::string("{\"model\":[]}"),
        std::string("\xFF\xFE{}"), std::string("{\"model\":{\"vocab\":{\"\xFF\":0},\"merges\":[]}}"),
        std::string("{\"model\":{\"vocab\":{},\"merges\":[") + deep, deep, "{\"a\":" + deep, wide})
    EXPECT_TRUE(contains(error_of(text), "bad.json")) << text.substr(0, 40) << " ... " << error_of(text);
}

TEST(HostileFile, EveryFlippedByteLoadsOrIsRefused) {
  const std::string text = tiny_byte_level().dump();
  for (size_t i = 0; i < text.size(); i += 3)
    for (const char bits : {0x01, 0x20, -0x80}) {
      std::string damaged = text;
      damaged[i] = static_cast<char>(damaged[i] ^ bits);
      error_of(damaged);  // must return, not crash, hang or throw another type
    }
}

TEST(HostileFile, AnEmptyVocabularyIsHarmless) {
  const auto tokenizer = Tokenizer::from_json(R"({"model":{"vocab":{},"merges":[]}})", "empty.json");
  EXPECT_EQ(tokenizer.vocab_size(), 0u);
  EXPECT_TRUE(tokenizer.encode("abc").empty());
  EXPECT_EQ(tokenizer.decode(std::vector<uint32_t>{0, 1}), "");
}

}  // namespace
}  // namespace athanor::data::tokenizer
