#include <map>
#include <regex>
#include <set>
#include <sstream>

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/json.h"
#include "core/parallel_for.h"
#include "data/clean/code_rules.h"
#include "data/clean/privacy.h"
#include "data/synth/corpus.h"
#include "data/synth/dirt.h"
#include "data/synth/generator.h"
#include "data/text/utf8.h"
#include "tests/data/temporary_directory.h"

namespace athanor::synth {
namespace {

using tests::TemporaryDirectory;

core::FileSystem& disk() {
  return core::posix_file_system();
}

std::string expand(std::string_view grammar, Variables variables = {}) {
  const core::CounterRng rng(1, "test");
  Choices choices(rng, 0);
  std::string out;
  Grammar({grammar}).expand("root", choices, variables, out);
  return out;
}

TEST(Grammar, ExpandsSlots) {
  EXPECT_EQ(expand("root: a ~b~\nb: c"), "a c");
  EXPECT_EQ(expand("root: ~x=b~ ~x~ ~^x~\nb: word"), "word word Word");
  EXPECT_EQ(expand("root: ~n=#7-7~ + 1 = ~=n+1~, ~=2*n-4/2~"), "7 + 1 = 8, 12");
  EXPECT_EQ(expand("root: ~!x=b~[~x~]\nb: hidden"), "[hidden]");
  EXPECT_EQ(expand("root: ~v~", {{"v", "given"}}), "given");
  EXPECT_EQ(expand("root: line\\nnext \\\\n"), "line\nnext \\n");
  const std::string all = expand("root: ~*b~~*b~~*b~\nb: x|y|z");
  EXPECT_EQ(std::set<char>(all.begin(), all.end()), (std::set<char>{'x', 'y', 'z'}));
}

TEST(Grammar, RefusesWhatIsMalformed) {
  for (const char* bad : {"root ~x~", "root: ~open", "root: a\nroot: b", "root: ~#a-b~", "root: ~=n+1~",
                          "root: ~nobody~", "root: ~n=#0-0~~=5/n~"})
    EXPECT_THROW(expand(bad), core::InternalError) << bad;
}

TEST(World, NamesAreUniqueAndTheSameInBothTongues) {
  const World world(5);
  std::set<std::string> towns, people;
  for (uint64_t i = 0; i < kNumTowns; ++i) towns.insert(world.town_name(i, Tongue::kChinese));
  for (uint64_t i = 0; i < kNumPeople; ++i) people.insert(world.person_name(i, Tongue::kChinese));
  EXPECT_EQ(towns.size(), kNumTowns);
  EXPECT_EQ(people.size(), kNumPeople);
  Variables zh, en, again;
  world.describe_town(7, Tongue::kChinese, "t_", zh);
  world.describe_town(7, Tongue::kEnglish, "t_", en);
  World(5).describe_town(7, Tongue::kChinese, "t_", again);
  EXPECT_EQ(zh["t_founded"], en["t_founded"]);
  EXPECT_EQ(zh, again);
}

TEST(Generator, DocumentsDependOnSeedAndIndexOnly) {
  const Generator a(1, 0.3), same(1, 0.3), other(2, 0.3);
  size_t num_equal = 0;
  for (uint64_t i = 200; i-- > 0;) {
    EXPECT_EQ(a.document(i).text, same.document(i).text);
    num_equal += a.document(i).text == other.document(i).text;
  }
  EXPECT_LE(num_equal, 1U);
}

TEST(Generator, CoversEveryKindAndDirt) {
  const Generator generator(3, 0.5);
  std::set<std::string_view> kinds;
  std::map<Dirt, int> dirts;
  for (uint64_t i = 0; i < 3000; ++i) {
    const auto document = generator.document(i);
    kinds.insert(document.kind);
    ++dirts[document.dirt];
    EXPECT_TRUE(text::is_valid_utf8(document.text));
    EXPECT_EQ(document.text.find('~'), std::string::npos);
    EXPECT_FALSE(document.text.empty());
    if (document.dirt == Dirt::kNone) {
      EXPECT_EQ(document.text, generator.clean_document(i).text);
    }
    if (document.dirt == Dirt::kNearDuplicate) {
      EXPECT_NE(document.text, generator.clean_document(i).text);
    }
  }
  EXPECT_EQ(kinds.size(), std::size(kKinds));
  EXPECT_EQ(dirts.size(), static_cast<size_t>(kNumDirts));
  EXPECT_NEAR(dirts[Dirt::kNone], 1500, 120);
  for (const auto& [dirt, count] : dirts) EXPECT_GT(count, 100) << dirt_name(dirt);
}

TEST(Generator, DuplicatesRepeatAnEarlierCleanDocument) {
  const Generator generator(3, 0.5);
  std::set<std::string> clean;
  for (uint64_t i = 0; i < 2000; ++i) {
    const auto document = generator.document(i);
    if (document.dirt == Dirt::kExactDuplicate) {
      EXPECT_EQ(clean.count(document.text), 1U) << i;
    }
    if (document.dirt == Dirt::kNone) clean.insert(document.text);
  }
}

TEST(Generator, CodeIsBalancedAndBrokenCodeIsNot) {
  const Generator generator(8, 0);
  const core::CounterRng rng(8, "test");
  size_t num_code = 0, num_found = 0;
  for (uint64_t i = 0; i < 1500; ++i) {
    const auto document = generator.document(i);
    if (document.kind != "python" && document.kind != "cpp") continue;
    ++num_code;
    EXPECT_EQ(clean::first_unbalanced_line(document.text), 0U) << document.text;
    Choices choices(rng, i);
    num_found += clean::first_unbalanced_line(break_code(document.text, choices)) != 0;
  }
  EXPECT_GT(num_code, 50U);
  EXPECT_EQ(num_found, num_code);
}

TEST(Generator, ArithmeticIsRight) {
  const Generator generator(2, 0);
  const std::regex equation("([0-9]+) ?(\\+|-|\\*|×|÷|/) ?([0-9]+) ?= ?([0-9]+)");
  size_t num_equations = 0;
  for (uint64_t i = 0; i < 500; ++i) {
    const auto document = generator.document(i);
    if (!document.kind.ends_with("_math")) continue;
    for (std::sregex_iterator found(document.text.begin(), document.text.end(), equation), end; found != end;
         ++found) {
      const long a = std::stol((*found)[1]), b = std::stol((*found)[3]);
      const std::string op = (*found)[2];
      const long expected = op == "+" ? a + b : op == "-" ? a - b : op == "*" || op == "×" ? a * b : a / b;
      EXPECT_EQ(expected, std::stol((*found)[4])) << found->str();
      ++num_equations;
    }
  }
  EXPECT_GT(num_equations, 100U);
}

TEST(Dirt, PersonalDataIsValidAndMaskable) {
  const core::CounterRng rng(4, "test");
  for (uint64_t i = 0; i < 200; ++i) {
    Choices choices(rng, i);
    std::string text = personal_sentence(i % 2 == 0, choices);
    const std::string before = text;
    clean::mask_personal_data({}, text);
    size_t num_tags = 0;
    for (const char* tag : {"<PHONE>", "<ID_CARD>", "<BANK_CARD>", "<EMAIL>", "<IP>"})
      num_tags += text.find(tag) != std::string::npos;
    EXPECT_EQ(num_tags, 2U) << before << " -> " << text;
  }
}

TEST(Corpus, SharesAndSizes) {
  const TemporaryDirectory directory("corpus");
  const auto summary = write_corpus(
      {.output = directory / "a.jsonl", .num_bytes = 3000000, .seed = 6, .dirt_share = 0}, disk());
  const auto share = [&](uint64_t bytes) {
    return static_cast<double>(bytes) / static_cast<double>(summary.num_bytes);
  };
  EXPECT_NEAR(share(summary.chinese_bytes), 0.67, 0.02);
  EXPECT_GT(share(summary.code_bytes), 0.05);
  EXPECT_GT(share(summary.math_bytes), 0.08);
  EXPECT_GE(summary.num_bytes, 3000000U);
  EXPECT_LT(summary.num_bytes, 3010000U);
  std::istringstream lines(directory.read("a.jsonl"));
  uint64_t num_documents = 0;
  for (std::string line; std::getline(lines, line); ++num_documents) {
    const auto json = nlohmann::json::parse(line);
    EXPECT_EQ(json["source"], "synth");
    EXPECT_EQ(json["dirt"], "none");
    EXPECT_TRUE(json["text"].is_string() && json["kind"].is_string());
  }
  EXPECT_EQ(num_documents, summary.num_documents);
}

TEST(Corpus, TheSameBytesForAnyThreadsAndFiles) {
  const TemporaryDirectory directory("threads");
  SynthOptions options{.output = directory / "a.jsonl", .num_documents = 700, .seed = 6, .dirt_share = 0.2};
  write_corpus(options, disk());
  core::set_num_threads(4);
  options.output = directory / "b.jsonl";
  write_corpus(options, disk());
  core::set_num_threads(1);
  EXPECT_TRUE(directory.read("a.jsonl") == directory.read("b.jsonl"));
  options.output = directory / "parts";
  options.file_bytes = 100000;
  std::string joined;
  for (const auto& file : write_corpus(options, disk()).files)
    joined += core::read_text_file(disk(), file, 1 << 30);
  EXPECT_TRUE(joined == directory.read("a.jsonl"));
  options.num_documents = 100;
  options.output = directory / "c.jsonl";
  write_corpus(options, disk());
  EXPECT_TRUE(directory.read("a.jsonl").starts_with(directory.read("c.jsonl")));
}

TEST(Corpus, TextFormAndRefusals) {
  const TemporaryDirectory directory("text");
  write_corpus(
      {.output = directory / "a.txt", .num_documents = 30, .dirt_share = 0, .format = SynthFormat::kText},
      disk());
  const std::string text = directory.read("a.txt");
  size_t num_breaks = 0;
  for (size_t at = text.find("\n\n"); at != std::string::npos; at = text.find("\n\n", at + 2)) ++num_breaks;
  EXPECT_EQ(num_breaks, 30U);
  EXPECT_THROW(write_corpus({.output = "x"}, disk()), core::UsageError);
  EXPECT_THROW(write_corpus({.output = "x", .num_documents = 1, .num_bytes = 1}, disk()), core::UsageError);
  EXPECT_THROW(write_corpus({.output = "x", .num_documents = 1, .dirt_share = 1.5}, disk()),
               core::UsageError);
  EXPECT_THROW(write_corpus({.output = "", .num_documents = 1}, disk()), core::UsageError);
}

}  // namespace
}  // namespace athanor::synth
