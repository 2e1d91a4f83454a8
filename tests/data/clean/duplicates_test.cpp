#include "data/clean/duplicates.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include <gtest/gtest.h>

#include "core/parallel_for.h"
#include "core/rng.h"
#include "data/clean/minhash.h"
#include "data/clean/minhash_kernel.h"
#include "data/synth/dirt.h"
#include "data/synth/generator.h"

namespace athanor::clean {
namespace {

std::set<uint64_t> shingles_of(const std::string& text, bool is_chinese) {
  Units units;
  cut_into_units(text, units);
  std::vector<uint64_t> kept;
  for (const Unit& unit : units.all)
    if (unit.kind != UnitKind::kSymbol) kept.push_back(unit.hash);
  std::set<uint64_t> shingles;
  const size_t width = std::min<size_t>(5, kept.size());
  for (size_t i = 0; i + width <= kept.size(); ++i) {
    uint64_t hash = is_chinese;
    for (size_t k = 0; k < width; ++k) hash = (hash ^ kept[i + k]) * 0x9E3779B97F4A7C15 + 1;
    shingles.insert(hash);
  }
  return shingles;
}

double jaccard(const std::set<uint64_t>& a, const std::set<uint64_t>& b) {
  std::vector<uint64_t> both;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(both));
  return static_cast<double>(both.size()) / static_cast<double>(a.size() + b.size() - both.size());
}

Signature sign(const MinHasher& hasher, const std::string& text, Language language) {
  Units units;
  cut_into_units(text, units);
  MinHasher::Scratch scratch;
  Signature signature;
  hasher.sign(text, units, language, scratch, signature);
  return signature;
}

void append(SignatureTable& table, const Signature& signature, uint64_t digest) {
  table.num_bands = signature.bands.size();
  table.num_hashes = signature.sketch.size();
  table.digests.push_back({digest, digest});
  table.bands.insert(table.bands.end(), signature.bands.begin(), signature.bands.end());
  table.sketches.insert(table.sketches.end(), signature.sketch.begin(), signature.sketch.end());
}

TEST(MinHash, KernelEqualsThePlainLoop) {
  const core::CounterRng rng(1, "test/kernel");
  std::vector<uint32_t> shingles(37), multipliers(48), addends(48), found(48), expected(48, 0xFFFFFFFF);
  for (size_t i = 0; i < shingles.size(); ++i) shingles[i] = static_cast<uint32_t>(rng.bits(i));
  for (size_t i = 0; i < 48; ++i)
    multipliers[i] = static_cast<uint32_t>(rng.bits(100 + i)) | 1,
    addends[i] = static_cast<uint32_t>(rng.bits(200 + i));
  for (size_t i = 0; i < 48; ++i)
    for (uint32_t s : shingles) expected[i] = std::min(expected[i], s * multipliers[i] + addends[i]);
  min_hash_kernel(shingles, multipliers, addends, found);
  EXPECT_EQ(found, expected);
  min_hash_kernel({}, multipliers, addends, found);
  EXPECT_EQ(found, std::vector<uint32_t>(48, 0xFFFFFFFF));
}

TEST(MinHash, EstimatesJaccardSimilarity) {
  const MinHasher hasher({});
  const synth::Generator generator(3, 0);
  double worst = 0;
  for (uint64_t i = 0; i < 60; ++i) {
    const auto document = generator.document(i);
    const bool is_chinese = document.kind.starts_with("zh");
    const Language language = is_chinese ? Language::kChinese : Language::kEnglish;
    const std::string half = document.text + generator.document(i + 1000).text;
    const double estimate = estimate_similarity(sign(hasher, document.text, language).sketch,
                                                sign(hasher, half, language).sketch);
    worst = std::max(worst, std::abs(estimate - jaccard(shingles_of(document.text, is_chinese),
                                                        shingles_of(half, is_chinese))));
  }
  EXPECT_LT(worst, 0.2);  // four standard deviations of 112 hashes
}

TEST(MinHash, OptionsDoWhatTheySay) {
  const std::string a = "room 101 has 7 chairs and 2 tables in it",
                    b = "room 202 has 9 chairs and 4 tables in it";
  EXPECT_NE(sign(MinHasher({}), a, Language::kEnglish).bands,
            sign(MinHasher({}), b, Language::kEnglish).bands);
  EXPECT_EQ(sign(MinHasher({.mask_digits = true}), a, Language::kEnglish).bands,
            sign(MinHasher({.mask_digits = true}), b, Language::kEnglish).bands);
  EXPECT_EQ(sign(MinHasher({}), "Hello, World!", Language::kEnglish).bands,
            sign(MinHasher({}), "hello world", Language::kEnglish).bands);
  EXPECT_NE(sign(MinHasher({}), a, Language::kEnglish).bands,
            sign(MinHasher({.seed = 2}), a, Language::kEnglish).bands);
  const std::string zh = "今天天气很好，我们去公园散步，大家都很高兴";
  EXPECT_NE(sign(MinHasher({}), zh, Language::kChinese).bands,
            sign(MinHasher({.chinese_unit = "phrase"}), zh, Language::kChinese).bands);
  EXPECT_EQ(sign(MinHasher({}), "", Language::kOther).bands.size(), 14U);
}

// Originals and edited copies: the keep-set is that of comparing every pair.
TEST(Duplicates, KeepWhatTheBruteForceOracleKeeps) {
  const synth::Generator generator(9, 0);
  const core::CounterRng rng(9, "test/edits");
  std::vector<synth::SynthDocument> documents;
  for (uint64_t i = 0; i < 150; ++i) documents.push_back(generator.document(i));
  for (uint64_t i = 0; i < 60; ++i) {
    synth::Choices choices(rng, i);
    auto copy = documents[i * 2];
    copy.text = synth::edit_slightly(copy.text, choices);
    documents.push_back(copy);
  }
  const MinHasher hasher({});
  SignatureTable table;
  std::vector<std::set<uint64_t>> shingles;
  for (size_t i = 0; i < documents.size(); ++i) {
    const bool is_chinese = documents[i].kind.starts_with("zh");
    append(table, sign(hasher, documents[i].text, is_chinese ? Language::kChinese : Language::kEnglish), i);
    shingles.push_back(shingles_of(documents[i].text, is_chinese));
  }
  UnionFind oracle(documents.size());
  size_t num_between = 0;  // pairs so near the limit that an estimate may fall on either side
  for (uint32_t i = 0; i < documents.size(); ++i)
    for (uint32_t k = i + 1; k < documents.size(); ++k) {
      const double similarity = jaccard(shingles[i], shingles[k]);
      if (similarity > 0.8) oracle.join(i, k);
      num_between += similarity > 0.5 && similarity <= 0.85;
    }
  ASSERT_EQ(num_between, 0U) << "choose another seed: the oracle is not sharp";
  const Duplicates found = find_duplicates(table, {});
  for (uint32_t i = 0; i < documents.size(); ++i)
    EXPECT_EQ(found.near_of[i] == i, oracle.find(i) == i) << i << " " << documents[i].text;
}

TEST(Duplicates, ExactByDigestKeepsTheFirst) {
  SignatureTable table;
  const MinHasher hasher({});
  for (uint64_t digest : {5, 7, 5, 9, 7, 5})
    append(table, sign(hasher, "text number " + std::to_string(digest * 1000003), Language::kEnglish),
           digest);
  configs::CleanDuplicates options;
  options.near = false;
  EXPECT_EQ(find_duplicates(table, options).exact_of, (std::vector<uint32_t>{0, 1, 0, 3, 1, 0}));
  options.exact = false;
  EXPECT_EQ(find_duplicates(table, options).exact_of, (std::vector<uint32_t>{0, 1, 2, 3, 4, 5}));
  EXPECT_TRUE(find_duplicates({}, {}).exact_of.empty());
}

TEST(Duplicates, AreTheSameForAnyNumberOfThreads) {
  const synth::Generator generator(4, 0.5);
  const MinHasher hasher({});
  SignatureTable table;
  for (uint64_t i = 0; i < 400; ++i)
    append(table, sign(hasher, generator.document(i).text, Language::kChinese), i);
  core::set_num_threads(1);
  const auto one = find_duplicates(table, {});
  core::set_num_threads(4);
  const auto four = find_duplicates(table, {});
  core::set_num_threads(1);
  EXPECT_EQ(one.near_of, four.near_of);
  EXPECT_NE(one.near_of, [&] {
    std::vector<uint32_t> all(400);
    std::iota(all.begin(), all.end(), 0);
    return all;
  }());
}

TEST(UnionFind, RepresentativeIsTheSmallestWhateverTheOrder) {
  UnionFind sets(6);
  sets.join(5, 4), sets.join(4, 3), sets.join(1, 2), sets.join(3, 2);
  for (uint32_t i = 1; i < 6; ++i) EXPECT_EQ(sets.find(i), 1U);
  EXPECT_EQ(sets.find(0), 0U);
}

}  // namespace
}  // namespace athanor::clean
