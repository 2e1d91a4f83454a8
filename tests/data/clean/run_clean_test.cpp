// The whole of `clean`: files in, files out.
#include "data/clean/run_clean.h"

#include <map>
#include <set>
#include <sstream>

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/json.h"
#include "core/parallel_for.h"
#include "data/synth/corpus.h"
#include "data/synth/generator.h"
#include "data/text/text_writer.h"
#include "tests/data/temporary_directory.h"

namespace athanor::clean {
namespace {

using tests::TemporaryDirectory;

core::FileSystem& disk() {
  return core::posix_file_system();
}

configs::CleanConfig config_for(const TemporaryDirectory& directory, const std::vector<std::string>& inputs) {
  configs::CleanConfig config;
  for (const auto& path : inputs) {
    config.inputs.emplace_back();
    config.inputs.back().path = path;
  }
  config.output = directory / "out.jsonl";
  return config;
}

std::vector<nlohmann::json> lines_of(const TemporaryDirectory& directory, const std::string& name) {
  std::vector<nlohmann::json> lines;
  std::istringstream content(directory.read(name));
  for (std::string line; std::getline(content, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

std::string synthesize(const TemporaryDirectory& directory, const std::string& name, uint64_t num_documents,
                       double dirt) {
  synth::write_corpus(
      {.output = directory / name, .num_documents = num_documents, .seed = 21, .dirt_share = dirt}, disk());
  return directory / name;
}

TEST(RunClean, TheSameBytesForAnyShardsAndThreads) {
  const TemporaryDirectory directory("shards");
  const auto a = synthesize(directory, "a.jsonl", 5000, 0.4);  // more than one block
  const auto b = synthesize(directory, "b.jsonl.zst", 300, 0.4);
  auto config = config_for(directory, {a, b, a});
  config.report = directory / "report.json";
  run_clean(config, disk());
  const std::string expected = directory.read("out.jsonl");
  auto facts = nlohmann::json::parse(directory.read("report.json"));
  facts.erase("seconds");
  EXPECT_FALSE(disk().exists(config.output + ".stages"));
  for (const int num_shards : {2, 3, 8}) {
    core::set_num_threads(num_shards == 3 ? 3 : 1);
    for (int i = num_shards - 1; i >= 0; --i) clean_shard(config, disk(), {i, num_shards});
    merge_shards(config, disk(), num_shards);
    EXPECT_TRUE(directory.read("out.jsonl") == expected) << num_shards << " shards";
    auto found = nlohmann::json::parse(directory.read("report.json"));
    found.erase("seconds");
    EXPECT_EQ(found, facts) << num_shards << " shards";
  }
  core::set_num_threads(1);
}

TEST(RunClean, ManyFilesAreDividedByFile) {
  const TemporaryDirectory directory("files");
  std::vector<std::string> inputs;
  for (int i = 0; i < 12; ++i)
    inputs.push_back(
        synthesize(directory, "in" + std::to_string(i) + ".jsonl", 20 + 5 * static_cast<uint64_t>(i), 0.2));
  auto config = config_for(directory, {directory / "in*.jsonl"});
  run_clean(config, disk());
  const std::string expected = directory.read("out.jsonl");
  for (int i = 0; i < 3; ++i) clean_shard(config, disk(), {i, 3});
  merge_shards(config, disk(), 3);
  EXPECT_TRUE(directory.read("out.jsonl") == expected);
}

TEST(RunClean, RemovesDirtAndKeepsTheRest) {
  const TemporaryDirectory directory("dirt");
  const auto config = config_for(directory, {synthesize(directory, "in.jsonl", 3000, 0.4)});
  run_clean(config, disk());
  std::map<std::string, double> in, out;
  for (const auto& line : lines_of(directory, "in.jsonl")) ++in[line["dirt"]];
  const synth::Generator generator(21, 0.4);
  std::set<std::string> originals;
  for (uint64_t i = 0; i < 3000; ++i) originals.insert(generator.clean_document(i).text);
  size_t num_mojibake = 0;
  for (const auto& line : lines_of(directory, "out.jsonl")) {
    const std::string text = line["text"], dirt = line["dirt"];
    ++out[dirt];
    if (dirt == "mojibake") num_mojibake += originals.count(text) == 0;  // repaired is as good as removed
    EXPECT_EQ(text.find("<p>"), std::string::npos);
    if (dirt == "advertisement_lines") {
      EXPECT_TRUE(text.find("包邮") == std::string::npos && text.find("free shipping") == std::string::npos)
          << text;
    }
    if (dirt == "personal_data") {
      EXPECT_NE(text.find(">"), std::string::npos) << text;
    }
  }
  for (const char* dirt : {"exact_duplicate", "near_duplicate", "advertisement", "keyword_repetition",
                           "truncated_lines", "broken_code"})
    EXPECT_LE(out[dirt], 0.05 * in[dirt]) << dirt;
  EXPECT_LE(static_cast<double>(num_mojibake), 0.05 * in["mojibake"]);
  for (const char* kept : {"none", "markup", "personal_data", "advertisement_lines"})
    EXPECT_GE(out[kept], 0.97 * in[kept]) << kept;
}

TEST(RunClean, KeepsFieldsAndNamesSourceAndLanguage) {
  const TemporaryDirectory directory("fields");
  const std::string text = synth::Generator(1, 0).document(3).text;
  nlohmann::json record = {{"text", text}, {"id", 7}, {"meta", {{"url", "x"}}}, {"language", "xx"}};
  const auto path = directory.write("page.jsonl", record.dump());  // no newline at the end
  auto config = config_for(directory, {path});
  run_clean(config, disk());
  auto line = lines_of(directory, "out.jsonl").at(0);
  EXPECT_EQ(line["id"], 7);
  EXPECT_EQ(line["meta"]["url"], "x");
  EXPECT_EQ(line["source"], "page");
  EXPECT_NE(line["language"], "xx");
  config.keep_fields = false;
  config.inputs[0].source = "mine";
  run_clean(config, disk());
  line = lines_of(directory, "out.jsonl").at(0);
  EXPECT_EQ(line.size(), 3U);
  EXPECT_EQ(line["source"], "mine");
}

TEST(RunClean, WritesEveryKeyOnce) {
  const TemporaryDirectory directory("keys");
  const std::string text = nlohmann::json(synth::Generator(1, 0).document(3).text).dump();
  const std::string rest =
      R"("language":5,"source":null,"id":123456789012345678901,"x":1e400,"sourc\u0065":[1])";
  auto config = config_for(
      directory,
      {directory.write("page.jsonl", fmt::format(R"({{"source":"web","text":{},{}}})", text, rest))});
  for (const std::string source : {"mine", ""}) {
    config.inputs[0].source = source;
    run_clean(config, disk());
    const std::string line = directory.read("out.jsonl");
    EXPECT_TRUE(line.ends_with("\"id\":123456789012345678901,\"x\":1e400}\n")) << line;
    for (const char* key : {"\"text\":", "\"source\":", "\"language\":"})
      EXPECT_EQ(line.find(key), line.rfind(key)) << key;
    const std::string named = source.empty() ? "page" : source;
    EXPECT_NE(line.find("\"source\":\"" + named + "\""), std::string::npos) << line;
  }
}

TEST(RunClean, CountsGarbageInsteadOfFailing) {
  const TemporaryDirectory directory("garbage");
  const std::string good = R"({"text":"fine"})", huge = "{\"text\":\"" + std::string(5000, 'x') + "\"}";
  directory.write("a.jsonl", good + "\n{broken\n\n[]\n" + huge + "\n{\"text\":\"\\ud800 \xFF\"}\n" +
                                 std::string(100, '\0') + "\n");
  auto config = config_for(directory, {directory / "a.jsonl"});
  config.inputs[0].encoding = "utf-8";
  config.max_line_bytes = 2000;
  config.invalid_text = "drop";
  const CleanReport report = run_clean(config, disk());
  const auto removed = [&](Rule rule) { return report.funnel.removed[static_cast<size_t>(rule)].documents; };
  EXPECT_EQ(report.funnel.read.documents, 6U);
  EXPECT_EQ(removed(Rule::kOverlongRecord), 1U);
  EXPECT_EQ(removed(Rule::kInvalidRecord), 3U);
  EXPECT_EQ(removed(Rule::kInvalidText), 1U);
  EXPECT_EQ(removed(Rule::kMinWords), 1U);
  EXPECT_EQ(report.funnel.examples[static_cast<size_t>(Rule::kInvalidRecord)].at(0).line_number, 2U);
  EXPECT_EQ(directory.read("out.jsonl"), "");
  const std::string table = report_table(report), html = report_html(report);
  EXPECT_NE(table.find("read.invalid_record"), std::string::npos);
  EXPECT_NE(html.find("</html>"), std::string::npos);
}

TEST(RunClean, DamagedFilesStopOrAreReported) {
  const TemporaryDirectory directory("damaged");
  const std::string path = synthesize(directory, "a.jsonl.gz", 600, 0);
  const std::string whole = directory.read("a.jsonl.gz");
  directory.write("a.jsonl.gz", whole.substr(0, whole.size() * 2 / 3));
  auto config = config_for(directory, {path});
  try {
    run_clean(config, disk());
    ADD_FAILURE() << "a damaged file went unnoticed";
  } catch (const core::DataError& error) {
    EXPECT_NE(std::string(error.what()).find("clean.damaged_files=keep_readable"), std::string::npos);
  }
  EXPECT_FALSE(disk().exists(config.output));
  config.damaged_files = "keep_readable";
  const CleanReport report = run_clean(config, disk());
  EXPECT_EQ(report.funnel.damaged_files.size(), 1U);
  EXPECT_GT(report.funnel.left().documents, 100U);
}

// The message of the DataError that cleaning in `num_shards` parts ends with.
std::string data_error_of(const configs::CleanConfig& config, int num_shards) {
  for (int i = 0; i < num_shards; ++i) clean_shard(config, disk(), {i, num_shards});
  try {
    merge_shards(config, disk(), num_shards);
  } catch (const core::DataError& error) {
    return error.what();
  }
  return "none";
}

TEST(RunClean, AFileWithoutAReadableRecordIsDamaged) {
  struct FileCase {
    const char* name;
    std::string content, counts, advice;
  };
  const std::string binary(
      "\x7F"
      "ELF\x02\0\x01\n\xFF\xFE\0\nrest",
      15);
  std::string many;  // several blocks, which the shards share
  for (int i = 0; i < 20000; ++i) many += "{\"text\":\n";
  for (const auto& [name, content, counts, advice] : std::vector<FileCase>{
           {"a.jsonl", binary, "3 of 3 lines", "JSON lines are expected"},
           {"a.jsonl", many, "20000 of 20000 lines", "JSON lines are expected"},
           {"a.json", R"([{"text":"one"},{"text":"two"}])", "1 of 1 lines", "JSON array"},
           {"a.json", "[\n  {\n    \"text\": \"one\"\n  }\n]\n", "5 of 5 lines", "JSON array"},
           {"a.json", "[\n{\"text\":\"one\"},\n{\"text\":\"two\"}\n]\n", "3 of 4 lines", "JSON array"},
           {"a.jsonl", R"({"body":"one"})", "1 of 1 lines", "text_fields"},
           {"a.csv", "text,id\none\n", "1 of 1 records", "CSV is expected"}}) {
    const TemporaryDirectory directory("unreadable");
    const auto good = synthesize(directory, "good.jsonl", 30, 0);
    auto config = config_for(directory, {good, directory.write(name, content)});
    config.inputs[1].encoding = "utf-8";
    const std::string message = data_error_of(config, 1);
    for (const std::string& part :
         {std::string(name), counts, advice, std::string(":1: "), std::string("keep_readable")})
      if (!(part == ":1: " && message.find(".csv:2: ") != std::string::npos)) {
        EXPECT_NE(message.find(part), std::string::npos) << part << " in " << message;
      }
    for (const int num_shards : {2, 5}) EXPECT_EQ(data_error_of(config, num_shards), message);
    EXPECT_FALSE(disk().exists(config.output));
    config.damaged_files = "keep_readable";
    const CleanReport report = run_clean(config, disk());
    ASSERT_EQ(report.funnel.damaged_files.size(), 1U);
    EXPECT_NE(report.funnel.damaged_files[0].find(counts), std::string::npos);
    EXPECT_GT(report.funnel.left().documents, 20U);
  }
}

TEST(RunClean, FilesWithoutRecordsAndWithSomeAreNotDamaged) {
  const TemporaryDirectory directory("readable");
  const auto config = config_for(
      directory, {directory.write("a.jsonl", "\n\n"), directory.write("b.jsonl", "{bad\n{\"text\":\"x\"}\n"),
                  directory.write("c.txt", std::string("\0\1\2", 3))});
  EXPECT_EQ(run_clean(config, disk()).funnel.damaged_files.size(), 0U);
}

TEST(RunClean, AMissingColumnIsAConfigurationError) {
  const TemporaryDirectory directory("column");
  auto config = config_for(directory, {directory.write("a.csv", "title,body\nx,y\n")});
  for (const char* damaged_files : {"stop", "keep_readable"}) {
    config.damaged_files = damaged_files;
    try {
      run_clean(config, disk());
      ADD_FAILURE() << "a missing column went unnoticed";
    } catch (const core::ConfigError& error) {
      EXPECT_NE(std::string(error.what()).find("text_fields"), std::string::npos);
      EXPECT_EQ(std::string(error.what()).find("keep_readable"), std::string::npos);
    }
  }
}

TEST(RunClean, SecondsAreOfBothStages) {
  const TemporaryDirectory directory("seconds");
  const auto config = config_for(directory, {synthesize(directory, "a.jsonl", 50, 0)});
  for (int i = 0; i < 2; ++i) {
    clean_shard(config, disk(), {i, 2});
    const std::string name = fmt::format("out.jsonl.stages/shard-{:05}-of-00002.funnel.json", i);
    auto funnel = nlohmann::json::parse(directory.read(name));
    EXPECT_GT(funnel["seconds"].get<double>(), 0);
    funnel["seconds"] = i == 0 ? 50000 : 30000;
    directory.write(name, funnel.dump());
  }
  const CleanReport report = merge_shards(config, disk(), 2);
  EXPECT_GT(report.seconds, 50000);
  EXPECT_LT(report.seconds, 60000);
  EXPECT_EQ(nlohmann::json::parse(directory.read("out.report.json"))["seconds"], report.seconds);
}

TEST(RunClean, RemovesWhatKilledRunsLeft) {
  const TemporaryDirectory directory("killed");
  auto config = config_for(directory, {synthesize(directory, "a.jsonl", 20, 0)});
  const std::string stages = config.output + ".stages";
  const auto leave = [&](const std::string& where, const std::string& name) {
    disk().create_directories(directory / where);
    directory.write(where + "/" + name, "x");
  };
  for (const char* name :
       {"shard-00000-of-00001.jsonl.zst.4711.tmp", "shard-00000-of-00001.signatures.4711.tmp",
        "shard-00000-of-00001.funnel.json.4711.tmp", "shard-00003-of-00004.jsonl.zst",
        "shard-00002-of-00004.signatures.12.tmp"})
    leave("out.jsonl.stages", name);
  run_clean(config, disk());
  EXPECT_FALSE(disk().exists(stages));
  leave("out.jsonl.stages", "notes.jsonl.zst.1.tmp");
  run_clean(config, disk());
  EXPECT_EQ(disk().list(stages), std::vector<std::string>{"notes.jsonl.zst.1.tmp"});
  config.work_dir = directory / "shared";  // another run may be at work here, in other parts
  leave("shared", "shard-00000-of-00001.jsonl.zst.4711.tmp");
  leave("shared", "shard-00002-of-00004.signatures.12.tmp");
  run_clean(config, disk());
  EXPECT_EQ(disk().list(config.work_dir), std::vector<std::string>{"shard-00002-of-00004.signatures.12.tmp"});
}

TEST(RunClean, RefusesStageFilesThatDoNotFit) {
  const TemporaryDirectory directory("stages");
  auto config = config_for(directory, {synthesize(directory, "a.jsonl", 50, 0)});
  EXPECT_THROW(merge_shards(config, disk(), 1), core::MissingInputError);
  clean_shard(config, disk(), {0, 1});
  EXPECT_THROW(merge_shards(config, disk(), 2), core::MissingInputError);
  auto other = config;
  other.duplicates.seed = 2;
  EXPECT_THROW(merge_shards(other, disk(), 1), core::DataError);
  const std::string name = "out.jsonl.stages/shard-00000-of-00001.signatures", whole = directory.read(name);
  for (const size_t length : {size_t{0}, size_t{30}, whole.size() / 2, whole.size() - 1}) {
    directory.write(name, whole.substr(0, length));
    EXPECT_THROW(merge_shards(config, disk(), 1), core::DataError) << length;
  }
  std::string flipped = whole;
  flipped[whole.size() / 2] ^= 1;
  directory.write(name, flipped);
  EXPECT_THROW(merge_shards(config, disk(), 1), core::DataError);
  directory.write(name, whole);
  EXPECT_NO_THROW(merge_shards(config, disk(), 1));
}

TEST(RunClean, SplitsItsOutput) {
  const TemporaryDirectory directory("split");
  auto config = config_for(directory, {synthesize(directory, "a.jsonl", 300, 0)});
  run_clean(config, disk());
  config.output_file_bytes = 50000;
  directory.write("out-00099.jsonl", "kept: not in a row with ours");
  const CleanReport report = run_clean(config, disk());
  ASSERT_GT(report.outputs.size(), 2U);
  std::string joined;
  for (size_t i = 0; i < report.outputs.size(); ++i)
    joined += directory.read(fmt::format("out-{:05}.jsonl", i));
  EXPECT_TRUE(joined == directory.read("out.jsonl"));
}

TEST(RunClean, ReportsConfigurationErrorsTogether) {
  const TemporaryDirectory directory("config");
  configs::CleanConfig config;
  config.output = "";
  config.duplicates.bands = 0;
  try {
    run_clean(config, disk());
    FAIL();
  } catch (const core::ConfigError& error) {
    for (const char* part : {"inputs", "output", "bands"})
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << part;
  }
  EXPECT_THROW(run_clean(config_for(directory, {directory / "none-*.jsonl"}), disk()),
               core::MissingInputError);
  EXPECT_THROW(clean_shard(config_for(directory, {synthesize(directory, "a.jsonl", 5, 0)}), disk(), {2, 2}),
               core::ConfigError);
}

TEST(RunClean, RefusesToWriteOverItsInputs) {
  const TemporaryDirectory directory("over");
  const std::string path = synthesize(directory, "a.jsonl", 5, 0), text = directory.read("a.jsonl");
  auto config = config_for(directory, {directory / "*.jsonl"});
  config.output = path;
  EXPECT_THROW(run_clean(config, disk()), core::ConfigError);
  config.output = directory / "out.txt";
  config.report = directory / "./out.txt";
  EXPECT_THROW(run_clean(config, disk()), core::ConfigError);
  EXPECT_EQ(directory.read("a.jsonl"), text);
}

// The real texts beside the checkout, where they are there.
TEST(RunClean, RunsOverRealTexts) {
  const std::string data = std::string(ATHANOR_SOURCE_DIR) + "/../shared/data";
  if (!disk().exists(data)) GTEST_SKIP() << "no shared data beside the checkout";
  const TemporaryDirectory directory("real");
  auto config = config_for(
      directory, {data + "/zh/medical_qa_gb18030.csv", data + "/en/gutenberg_sherlock_holmes_latin1.txt",
                  data + "/zh/web_reviews_pos.txt", data + "/web/*.jsonl", data + "/zh/textbook_d2l.jsonl",
                  data + "/code/humaneval_x_*.jsonl.gz"});
  config.inputs[0].text_fields = {"ask", "answer"};
  config.inputs[1].documents = "paragraph";
  config.inputs[2].documents = "line";
  config.inputs[5].text_fields = {"prompt", "canonical_solution"};
  const CleanReport report = run_clean(config, disk());
  EXPECT_EQ(report.funnel.edited[static_cast<size_t>(Edit::kEncodingRepaired)], 0U);
  std::map<std::string, int> languages, sources;
  bool has_accent = false;
  int num_replaced = 0;  // documents that hold a byte or two that were no text in their source
  for (const auto& line : lines_of(directory, "out.jsonl")) {
    ++languages[line["language"]];
    ++sources[line["source"]];
    has_accent |= line["text"].get<std::string>().find("é") != std::string::npos;
    num_replaced += line["text"].get<std::string>().find("\uFFFD") != std::string::npos;
  }
  EXPECT_TRUE(has_accent);
  EXPECT_LE(num_replaced, 5);
  EXPECT_GT(languages["zh"], 1500);
  EXPECT_GT(languages["en"], 300);
  EXPECT_GT(sources["medical_qa_gb18030"], 1000);
  EXPECT_LE(report.funnel.removed[static_cast<size_t>(Rule::kCodeUnbalanced)].documents,
            15U);  // published solutions are balanced, but for brackets in their comments
}

}  // namespace
}  // namespace athanor::clean
