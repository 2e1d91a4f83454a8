// Whatever a file holds, reading it ends, soon, with a tree or with diagnostics.
#include <chrono>
#include <random>

#include <gtest/gtest.h>

#include "configs/templates.h"
#include "configs/yaml_tree.h"
#include "tests/configs/config_text.h"

namespace athanor::configs {
namespace {

std::string repeated(std::string_view text, size_t count) {
  std::string all;
  for (size_t i = 0; i < count; ++i) all += text;
  return all;
}

TEST(HostileYaml, IsRefusedWithAReason) {
  const std::pair<std::string, std::string> cases[] = {
      {repeated("[", 10'000), "nested more than 64 levels deep"},
      {repeated("{a: ", 10'000), "nested more than 64 levels deep"},
      {repeated("- ", 10'000), "nested more than 64 levels deep"},
      {"# " + std::string(2 << 20, 'x'),
       "run.yaml: error: 2097154 bytes long; a configuration has at most 1048576 bytes"},
      {"a: [" + repeated("1,", 300'000) + "]", "more than 100000 values; a configuration has far fewer"},
      {std::string("run: {name: a\0b}", 16),
       "run.yaml:1:14: error: not a text file: byte 0x00 (expected UTF-8)"},
      {"run:\n  name: \xff\xfe", "run.yaml:2:9: error: not a text file: byte 0xff (expected UTF-8)"},
      {"run:\n  name: \xc0\xaf", "run.yaml:2:9: error: not a text file: byte 0xc0 (expected UTF-8)"},
      {"run:\n  name: \xed\xa0\x80", "run.yaml:2:9: error: not a text file: byte 0xed (expected UTF-8)"},
      {"run:\n  name: \xe4\xb8", "run.yaml:2:9: error: not a text file: byte 0xe4 (expected UTF-8)"},
      {"\x7f"
       "ELF\x02\x01\x01",
       "run.yaml:1:1: error: not a text file: byte 0x7f (expected UTF-8)"},
      {"run: \x1b[31m", "run.yaml:1:6: error: not a text file: byte 0x1b (expected UTF-8)"},
  };
  for (const auto& [yaml, expected] : cases) {
    const std::string report = to_string(check_yaml(yaml));
    EXPECT_NE(report.find(expected), std::string::npos) << yaml.substr(0, 40) << "\n" << report;
    EXPECT_EQ(report.find('\n'), std::string::npos) << report.substr(0, 1000);
  }
}

TEST(HostileYaml, AliasBombIsNotExpanded) {
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 30; ++i) {
    const std::string below = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + repeated(below + ", ", 8) + below +
            "]\n";
  }
  const Diagnostics diagnostics = check_yaml(bomb);
  EXPECT_GE(diagnostics.size(), 29u * 9u);
  EXPECT_NE(to_string(diagnostics).find("aliases (*name) are not allowed"), std::string::npos);
}

TEST(HostileYaml, LongInputsEndSoon) {
  const std::string inputs[] = {
      repeated("[]:\n", 200'000),       repeated("? ", 400'000),   repeated("a: {", 200'000),
      repeated("- - ", 200'000),        repeated("\n", 1'000'000), repeated("%TAG ! x\n", 100'000),
      repeated("a", 1'000'000),         repeated("'", 1'000'000),  repeated("\"\\", 500'000),
      repeated("k: |\n  t\n", 100'000), repeated(" ", 1'000'000),  repeated("&a ", 300'000),
      repeated("- a\n", 90'000),        repeated("}", 1'000'000),  repeated("---\n", 200'000),
  };
  for (const std::string& input : inputs) {
    const auto begin = std::chrono::steady_clock::now();
    check_yaml(input);
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begin;
    // Generous: what it must not be is quadratic, which would be minutes.
    EXPECT_LT(spent.count(), 20.0) << input.substr(0, 20);
  }
}

TEST(HostileYaml, TruncationAtEveryByteIsSurvived) {
  const std::string good(config_templates().front().values);
  for (size_t size = 0; size < good.size(); ++size) {
    for (const Diagnostic& diagnostic : check_yaml(good.substr(0, size)))
      EXPECT_FALSE(diagnostic.message.empty());
  }
  EXPECT_TRUE(check_yaml(good).empty());
}

TEST(HostileYaml, RandomMutationsAreSurvived) {
  const std::string good =
      "run: {name: x, seed: 1}\nmodel: {hidden_size: 256, mlp_only_layers: [1, 2]}\n"
      "optimizer:\n  betas:\n    - 0.9\n    - 0.95\n" +
      std::string(kSmallestConfig);
  const std::string pieces[] = {"{",
                                "}",
                                "[",
                                "]",
                                ":",
                                ",",
                                "\n",
                                "  ",
                                "- ",
                                "? ",
                                "&a",
                                "*a",
                                "!",
                                "|",
                                ">",
                                "\"",
                                "'",
                                "%",
                                "#",
                                "<<: ",
                                "---\n",
                                "...\n",
                                "\t",
                                "~",
                                "1e9",
                                "\xef\xbb\xbf",
                                "@",
                                "`",
                                "9999999999999999999",
                                "\\u0000",
                                "\r"};
  std::mt19937 random(20240607);
  const auto draw = [&](size_t count) { return random() % count; };
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(1500);
  int num_inputs = 0;
  for (; std::chrono::steady_clock::now() < end; ++num_inputs) {
    std::string text = good;
    for (size_t i = 0; i < 1 + draw(8); ++i) {
      const size_t at = draw(text.size() + 1);
      switch (draw(4)) {
        case 0:
          text.erase(at, draw(5));
          break;
        case 1:
          text.insert(at, pieces[draw(std::size(pieces))]);
          break;
        case 2:
          text.insert(at, text.substr(draw(text.size() + 1), draw(30)));
          break;
        default:
          text.insert(at, 1, static_cast<char>(draw(256)));
          break;
      }
    }
    RunConfig config;
    const Diagnostics diagnostics = check_text("run.yaml", text, {}, {}, config);
    if (!diagnostics.empty()) continue;
    // What passes must be printable and mean the same again.
    RunConfig again;
    EXPECT_EQ(to_string(check_text("again.yaml", to_yaml(config), {}, {}, again)), "") << text;
    EXPECT_EQ(again, config) << text;
  }
  EXPECT_GT(num_inputs, 100);
}

TEST(YamlTree, RemembersWhereEverythingStands) {
  Diagnostics diagnostics;
  const YamlNode root = read_yaml("f", "a:\n  b: [1, x]\n", diagnostics);
  ASSERT_TRUE(diagnostics.empty());
  const YamlNode* list = root.find("a")->find("b");
  EXPECT_EQ(list->items[1].text, "x");
  EXPECT_EQ(list->items[1].position.line, 2);
  EXPECT_EQ(list->items[1].position.column, 10);
  EXPECT_EQ(root.find("c"), nullptr);
}

TEST(YamlTree, ByteOrderMarkAndCarriageReturnsAreFine) {
  const std::string yaml =
      "\xef\xbb\xbf"
      "data:\r\n  train: [{path: a.h5}]\r\ntraining:\r\n  max_steps: 10\r\n";
  EXPECT_EQ(to_string(check_yaml(yaml)), "");
}

}  // namespace
}  // namespace athanor::configs
