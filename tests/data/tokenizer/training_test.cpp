#include <filesystem>
#include <fstream>
#include <map>
#include <sys/resource.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/json.h"
#include "core/parallel_for.h"
#include "data/tokenizer/byte_alphabet.h"
#include "data/tokenizer/merge_trainer.h"
#include "data/tokenizer/presets.h"
#include "data/tokenizer/text_blocks.h"
#include "data/tokenizer/trainer.h"
#include "tests/data/tokenizer/random_text.h"

namespace athanor::data::tokenizer {
namespace {

class TrainingTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() /
              (std::string("athanor-train-") + testing::UnitTest::GetInstance()->current_test_info()->name() +
               "-" + std::to_string(getpid()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override {
    std::filesystem::remove_all(folder_);
    core::set_num_threads(1);
  }
  std::string write(const std::string& name, const std::string& content) const {
    const std::string path = (folder_ / name).string();
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }
  std::filesystem::path folder_;
};

TrainerOptions options_for(size_t vocab_size, const char* preset = "deepseek") {
  TrainerOptions options;
  options.vocab_size = vocab_size;
  options.patterns = preset_patterns(preset);
  return options;
}

std::string json_lines(const std::vector<std::string>& texts) {
  std::string lines;
  for (const auto& text : texts)
    lines += nlohmann::json{{"id", 1}, {"meta", {{"text", "no"}}}, {"text", text}}.dump() + "\n";
  return lines;
}

std::vector<std::string> random_texts(uint64_t seed, size_t count, size_t length) {
  std::mt19937_64 random(seed);
  std::vector<std::string> texts;
  for (size_t i = 0; i < count; ++i)
    texts.push_back(
        random_text(random, {'a', 'b', 'c', 'e', ' ', ' ', '.', 0x4F60, 0x597D, 0x4E2D, '\n'}, length));
  return texts;
}

std::vector<std::string> chinese_texts(uint64_t seed, size_t count, size_t length) {
  std::mt19937_64 random(seed);
  std::vector<uint32_t> characters;
  for (uint32_t c = 0x4E00; c < 0x4E00 + 3000; ++c) characters.push_back(c);
  std::vector<std::string> texts;
  while (texts.size() < count) texts.push_back(random_text(random, characters, length));
  return texts;
}

std::vector<std::string> with_pair_joined(std::vector<std::string> parts, const std::string& left,
                                          const std::string& right) {
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    if (parts[i] != left || parts[i + 1] != right) continue;
    parts[i] += right;
    parts.erase(parts.begin() + static_cast<ptrdiff_t>(i) + 1);
  }
  return parts;
}

// Merging by counting all pairs again for every merge.
std::vector<std::pair<std::string, std::string>> naive_merges(const std::map<std::string, int64_t>& words,
                                                              size_t num_merges) {
  std::map<std::string, uint32_t> id_of;
  std::vector<std::string> symbols;
  for (int byte = 0; byte < 256; ++byte) symbols.emplace_back(1, static_cast<char>(byte));
  std::vector<std::pair<std::string, std::string>> bytes;  // by code point of the symbol
  for (const auto& symbol : symbols) bytes.emplace_back(to_byte_symbols(symbol), symbol);
  std::sort(bytes.begin(), bytes.end());
  for (const auto& [symbol, byte] : bytes) id_of.emplace(byte, static_cast<uint32_t>(id_of.size()));
  std::map<std::vector<std::string>, int64_t> split;
  for (const auto& [word, count] : words) {
    std::vector<std::string> parts;
    for (const char c : word) parts.emplace_back(1, c);
    split[parts] += count;
  }
  std::vector<std::pair<std::string, std::string>> merges;
  while (merges.size() < num_merges) {
    std::map<std::pair<uint32_t, uint32_t>, int64_t> counts;
    std::map<std::pair<uint32_t, uint32_t>, std::pair<std::string, std::string>> texts;
    for (const auto& [parts, count] : split)
      for (size_t i = 0; i + 1 < parts.size(); ++i) {
        const std::pair pair(id_of[parts[i]], id_of[parts[i + 1]]);
        counts[pair] += count;
        texts[pair] = {parts[i], parts[i + 1]};
      }
    const auto best = std::max_element(counts.begin(), counts.end(),
                                       [](const auto& a, const auto& b) { return a.second < b.second; });
    if (best == counts.end()) break;
    const auto [left, right] = texts[best->first];
    merges.emplace_back(left, right);
    id_of.emplace(left + right, static_cast<uint32_t>(id_of.size()));
    std::map<std::vector<std::string>, int64_t> merged;
    for (const auto& [parts, count] : split) merged[with_pair_joined(parts, left, right)] += count;
    split = std::move(merged);
  }
  return merges;
}

TEST(MergeTrainer, EqualsCountingAnew) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 20; ++round) {
    WordCounts counts;
    std::map<std::string, int64_t> words;
    for (int i = 0; i < 60; ++i) {
      // Few letters, not repeated at once: runs such as "aaa" count overlapping pairs, which counting anew
      // does not undo.
      std::string word;
      while (word.size() < 2 + random() % 9)
        if (const char c = static_cast<char>('a' + random() % 6); word.empty() || word.back() != c) word += c;
      const auto count = static_cast<int64_t>(1 + random() % 50);
      counts.add(word, static_cast<uint64_t>(count));
      words[word] += count;
    }
    const auto learned = learn_merges(counts, {.vocab_size = 280});
    const auto expected = naive_merges(words, learned.merges.size());
    ASSERT_GT(learned.merges.size(), 10u);
    // A token that two merges make appears under one id; the naive count knows each text once as well.
    ASSERT_EQ(std::vector(learned.merges.begin(), learned.merges.begin() + 10),
              std::vector(expected.begin(), expected.begin() + 10));
  }
}

TEST_F(TrainingTest, ThreadsDoNotChangeTheResult) {
  const auto a = write("a.jsonl", json_lines(random_texts(1, 3000, 400)));
  const auto b = write("b.txt", random_texts(2, 1, 400000)[0]);
  std::string expected;
  for (const int num_threads : {1, 2, 3, 8}) {
    core::set_num_threads(num_threads);
    auto options = options_for(600);
    options.added_tokens = deepseek_added_tokens();
    options.bos_token = options.added_tokens[0].content;
    const std::string json = train_tokenizer({a, b}, options).tokenizer.to_json();
    if (expected.empty()) expected = json;
    ASSERT_EQ(json, expected) << num_threads << " threads";
  }
}

TEST_F(TrainingTest, ThreadsDoNotChangeTheResultUnderAMemoryLimit) {
  const auto a = write("a.jsonl", json_lines(chinese_texts(3, 1000, 1000)));
  std::string expected;
  for (const int num_threads : {1, 3}) {
    core::set_num_threads(num_threads);
    auto options = options_for(500);
    options.memory_limit_bytes = uint64_t{16} << 20;
    const auto trained = train_tokenizer({a}, options);
    EXPECT_GT(trained.report.reduction.num_cut_words, 0u);
    if (expected.empty()) expected = trained.tokenizer.to_json();
    ASSERT_EQ(trained.tokenizer.to_json(), expected) << num_threads << " threads";
  }
}

uint64_t peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) << 10;
}

// Runs of Chinese without spaces or punctuation: nearly every run is new, and one is long.
TEST_F(TrainingTest, ChineseWithoutSpacesStaysWithinMemory) {
  auto texts = chinese_texts(5, 1, 1000000);
  for (auto& text : chinese_texts(6, 2000, 1100)) texts.push_back(std::move(text));
  const auto path = write("zh.jsonl", json_lines(texts));
  ASSERT_GT(std::filesystem::file_size(path), 9u << 20);
  texts.clear();
  const uint64_t before = peak_memory_bytes();
  auto options = options_for(2000);
  options.memory_limit_bytes = uint64_t{64} << 20;
  const auto trained = train_tokenizer({path}, options);
  EXPECT_EQ(trained.report.vocab_size, 2000u);
  EXPECT_GT(trained.report.reduction.num_cut_words, 0u);
  EXPECT_LT(peak_memory_bytes() - before, uint64_t{300} << 20);
}

TEST_F(TrainingTest, OneHugeWordIsLearnedWithoutALimit) {
  std::mt19937_64 random(6);
  const auto path = write("run.txt", random_text(random, {0x4F60, 0x597D, 0x4E2D, 0x6587}, 1000000));
  const auto trained = train_tokenizer({path}, options_for(1000));
  EXPECT_EQ(trained.report.num_distinct_words, 1u);
  EXPECT_EQ(trained.report.vocab_size, 1000u);
  const std::string text = random_text(random, {0x4F60, 0x597D, 0x4E2D, 0x6587}, 100000);
  EXPECT_EQ(trained.tokenizer.decode(trained.tokenizer.encode(text)), text);
}

TEST_F(TrainingTest, HonoursItsOptions) {
  const auto path = write("a.jsonl", json_lines(random_texts(7, 300, 300)));
  auto options = options_for(800);
  options.max_token_bytes = 3;
  options.min_frequency = 20;
  const auto trained = train_tokenizer({path}, options);
  EXPECT_LT(trained.report.vocab_size, 800u);  // too few pairs
  for (uint32_t id = 0; id < trained.tokenizer.vocab_size(); ++id)
    EXPECT_LE(from_byte_symbols(*trained.tokenizer.id_to_token(id))->size(), 3u);
  const auto model = nlohmann::json::parse(trained.tokenizer.to_json())["model"];
  EXPECT_EQ(model["merges"].size() + 256, trained.report.vocab_size);
}

TEST_F(TrainingTest, PutsSpecialTokensFirst) {
  const auto path = write("a.txt", "abc abc abc");
  auto options = options_for(266);
  options.added_tokens = deepseek_added_tokens();
  options.bos_token = "<｜begin▁of▁sentence｜>";
  const Tokenizer tokenizer = train_tokenizer({path}, options).tokenizer;
  EXPECT_EQ(tokenizer.bos_id(), 0u);
  EXPECT_EQ(tokenizer.eos_id(), 1u);
  EXPECT_EQ(tokenizer.pad_id(), 2u);
  EXPECT_EQ(tokenizer.encode("<think>", true), (std::vector<uint32_t>{0, *tokenizer.token_to_id("<think>")}));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("a<｜User｜>b", true), true), "a<｜User｜>b");
}

TEST_F(TrainingTest, RefusesOptionsThatDoNotFit) {
  const auto path = write("a.txt", "abc");
  const std::function<void(TrainerOptions&)> kChanges[] = {
      [](auto& o) { o.vocab_size = 255; },
      [](auto& o) { o.vocab_size = size_t{1} << 40; },
      [](auto& o) { o.memory_limit_bytes = 5; },
      [](auto& o) { o.max_token_bytes = 1; },
      [](auto& o) { o.bos_token = "<s>"; },
      [](auto& o) { o.added_tokens = {{.content = ""}}; },
      [](auto& o) {
        o.added_tokens = {{.content = "x"}, {.content = "x"}};
      },
  };
  for (const auto& change : kChanges) {
    auto options = options_for(400);
    change(options);
    EXPECT_THROW(train_tokenizer({path}, options), core::UsageError);
  }
  EXPECT_THROW(preset_patterns("gpt9"), core::UsageError);
  auto options = options_for(400);
  options.patterns = {"("};
  EXPECT_THROW(train_tokenizer({path}, options), core::DataError);
}

TEST_F(TrainingTest, BadInputIsNamedByFileAndLine) {
  const std::pair<std::string, std::string> kCases[] = {
      {"a.jsonl", "{\"text\":\"x\"}\n\n[1]\n"},
      {"b.jsonl", "{\"text\":\"x\"}\n\n{\"text\":1}\n"},
      {"c.jsonl", "{\"text\":\"x\"}\n\n{\"text\":"},
      {"d.jsonl", "\n\n{\"a\":{\"text\":\"x\"}}"},
      {"e.jsonl", "\n\n\"text\""},
      {"f.jsonl", std::string("\n\n\0\xFF", 4)},
  };
  for (const auto& [name, content] : kCases) {
    const auto path = write(name, content);
    try {
      train_tokenizer({path}, options_for(300));
      ADD_FAILURE() << name;
    } catch (const core::DataError& error) {
      EXPECT_NE(std::string(error.what()).find(name + ":3: "), std::string::npos) << error.what();
    }
  }
  EXPECT_THROW(train_tokenizer({(folder_ / "none.jsonl").string()}, options_for(300)),
               core::MissingInputError);
  EXPECT_THROW(train_tokenizer({write("a.bin", "x")}, options_for(300)), core::DataError);
  EXPECT_THROW(train_tokenizer({write("empty.jsonl", ""), write("empty.txt", "")}, options_for(300)),
               core::DataError);
}

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const core::Error& error) {
    return error.what();
  }
  return "no error";
}

bool mentions(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_F(TrainingTest, PlainTextThatIsNotUtf8IsRefused) {
  const std::string many_lines = [] {
    std::string lines;
    for (int i = 0; i < 400000; ++i) lines += "line\n";
    return lines;
  }();
  const struct {
    const char* name;
    std::string content;
    const char* expected;
  } kCases[] = {
      {"gb.txt", "plain\n\xD6\xD0\xCE\xC4\n", "gb.txt:2: not UTF-8 text (byte 0xd6)"},
      {"utf16.txt", std::string("\xFF\xFEh\0i\0\n\0", 8), "utf16.txt:1: not UTF-8 text (byte 0xff)"},
      {"no-mark.txt", std::string("h\0i\0\n\0", 6), "no-mark.txt:1: not UTF-8 text (byte 0x00)"},
      {"elf.txt",
       std::string("\x7F"
                   "ELF\2\1\1\0\xFF",
                   9),
       "elf.txt:1: not UTF-8 text (byte 0x00)"},
      {"late.txt", many_lines + "\xE4\xBD", "late.txt:400001: not UTF-8 text (byte 0xe4)"},
      {"one-line.txt", std::string(3 << 20, 'x') + "\xFF\n", "one-line.txt:1: not UTF-8 text (byte 0xff)"},
  };
  for (const auto& c : kCases) {
    const auto path = write(c.name, c.content);
    const std::string message = message_of([&] { train_tokenizer({path}, options_for(300)); });
    EXPECT_TRUE(mentions(message, c.expected) && mentions(message, "athanor clean")) << message;
  }
  // A character across the border of what is read at once is no fault.
  EXPECT_NO_THROW(
      train_tokenizer({write("good.txt", std::string((1 << 20) - 1, 'x') + "中文")}, options_for(300)));
}

TEST_F(TrainingTest, LinesHaveALimit) {
  EXPECT_EQ(text::kMaxLineBytes, uint64_t{256} << 20);
  const auto blocks = [&](const std::string& name, const std::string& content) {
    TextBlockReader reader(core::posix_file_system(), {write(name, content)}, TextFormat::kByName, 10);
    size_t num_blocks = 0;
    for (TextBlock block; reader.next(block);) ++num_blocks;
    return std::to_string(num_blocks);
  };
  const auto outcome = [&](const std::string& name, const std::string& content) {
    std::string blocks_read;
    const std::string message = message_of([&] { blocks_read = blocks(name, content); });
    return blocks_read.empty() ? message : blocks_read;
  };
  EXPECT_EQ(outcome("a.jsonl", "1234567890\n1234567890"), "2");
  EXPECT_TRUE(mentions(outcome("b.jsonl", "1\n12345678901\n"), "b.jsonl:2: a line has more than 10 bytes"));
  EXPECT_EQ(outcome("c.txt", " 123456\n 123456\n 123456\n"), "3");  // no line starts with a visible character
  EXPECT_TRUE(mentions(outcome("d.txt", "1\n12345678901"), "d.txt:2: a line has more than 10 bytes"));
}

TEST_F(TrainingTest, MessagesNameTheOptionAndTheColumn) {
  const auto path = write("a.jsonl", "{\"text\": \"x\"}\n");
  const auto refusal = [&](auto change) {
    auto options = options_for(400);
    change(options);
    return message_of([&] { train_tokenizer({path}, options); });
  };
  EXPECT_TRUE(mentions(refusal([](auto& o) { o.vocab_size = 10; }), "--vocab-size 10"));
  EXPECT_TRUE(mentions(refusal([](auto& o) { o.max_token_bytes = 1; }), "--max-token-bytes 1"));
  EXPECT_TRUE(mentions(refusal([](auto& o) { o.bos_token = "<s>"; }), "--bos-token"));
  EXPECT_TRUE(mentions(message_of([] {
                         check_regexes({"a+", "("});
                       }),
                       "--regex: the regular expression \"(\""));
  EXPECT_THROW(check_regexes({"("}), core::UsageError);
  EXPECT_NO_THROW(check_regexes({"a+", R"(\p{L})"}));
  EXPECT_THROW(train_tokenizer({"-", path, "-"}, options_for(300)), core::UsageError);

  const auto bad = write("bad.jsonl", "{\"text\": \"x\"}\n{\"text\": 1e}\n");
  const std::string message = message_of([&] { train_tokenizer({bad}, options_for(300)); });
  EXPECT_TRUE(mentions(message, "bad.jsonl:2: not valid JSON: column 12: ")) << message;
  EXPECT_FALSE(mentions(message, "json.exception") || mentions(message, "line 1")) << message;
}

TEST_F(TrainingTest, LongTextsAreCutInMessages) {
  const std::string pattern = std::string(79, 'a') + "中" + std::string(200000, 'b') + "(";
  const std::string message = message_of([&] { check_regexes({pattern}); });
  EXPECT_LT(message.size(), 300u);
  EXPECT_TRUE(mentions(message, "aa中…\" is not valid")) << message;
  const auto bad = write("long.jsonl", "{\"text\": \"" + std::string(200000, 'c') + "中\xFF\"}\n");
  const std::string problem = message_of([&] { train_tokenizer({bad}, options_for(300)); });
  EXPECT_LT(problem.size(), 500u) << problem;
}

TEST_F(TrainingTest, BlocksAreWholeLinesAndCoverTheFiles) {
  std::mt19937_64 random(8);
  std::string text;
  while (text.size() < (5u << 20)) text += random_text(random, {'a', ' ', '\n', 0x4F60}, 1000) + "\n";
  const auto path = write("a.txt", text), empty = write("b.txt", "");
  TextBlockReader reader(core::posix_file_system(), {empty, path, empty, path});
  std::string all;
  size_t num_blocks = 0;
  for (TextBlock block; reader.next(block); ++num_blocks) {
    EXPECT_TRUE(all.empty() || all.size() == text.size() || all.back() == '\n');
    all += block.bytes;
  }
  EXPECT_EQ(all, text + text);
  EXPECT_GT(num_blocks, 8u);
}

}  // namespace
}  // namespace athanor::data::tokenizer
