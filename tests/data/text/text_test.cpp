#include <algorithm>
#include <random>

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/json.h"
#include "data/text/byte_source.h"
#include "data/text/character.h"
#include "data/text/csv.h"
#include "data/text/document_reader.h"
#include "data/text/encoding.h"
#include "data/text/json_record.h"
#include "data/text/line_reader.h"
#include "data/text/text_writer.h"
#include "data/text/utf8.h"
#include "tests/data/temporary_directory.h"

namespace athanor::text {
namespace {

core::FileSystem& disk() {
  return core::posix_file_system();
}

std::string read_all(ByteSource& source) {
  std::string all, buffer(1000, '\0');
  while (const size_t got = source.read(buffer)) all.append(buffer, 0, got);
  return all;
}

std::string compress(const tests::TemporaryDirectory& directory, const std::string& name,
                     const std::string& content) {
  TextWriter writer(disk(), directory / name);
  writer.append(content);
  writer.commit();
  return directory / name;
}

std::string to_utf8(std::string_view bytes, const std::string& encoding) {
  return read_all(*make_utf8_source(make_memory_source(bytes), encoding, "test"));
}

std::vector<std::string> lines_of(std::string_view bytes, uint64_t max_bytes) {
  LineReader reader(make_memory_source(bytes), max_bytes);
  std::vector<std::string> lines;
  for (Line line; reader.next(line);)
    lines.push_back(line.is_overlong ? "OVERLONG" : std::string(line.bytes));
  return lines;
}

std::vector<std::string> records_of(const std::string& path, const ReaderOptions& options) {
  DocumentReader reader(disk(), path, options);
  std::vector<std::string> records;
  for (RawRecord record; reader.next(record);) records.push_back(record.bytes);
  return records;
}

TEST(Utf8, RepairsWhatIsIllFormedAndNothingElse) {
  struct Case {
    std::string in, out;
    size_t num_replaced;
  };
  const std::vector<Case> cases = {{"", "", 0},
                                   {"aé中😀", "aé中😀", 0},
                                   {"a\xFF"
                                    "b",
                                    "a�b", 1},
                                   {"\xE4\xB8", "�", 1},             // cut off: one sequence
                                   {"\xC0\xAF", "��", 2},            // overlong
                                   {"\xED\xA0\x80", "���", 3},       // a surrogate
                                   {"\xF4\x90\x80\x80", "����", 4},  // beyond U+10FFFF
                                   {"\xE4\xB8x", "�x", 1}};
  for (const auto& [in, out, num_replaced] : cases) {
    std::string text = in;
    EXPECT_EQ(repair_utf8(text), num_replaced) << out;
    EXPECT_EQ(text, out);
    EXPECT_TRUE(is_valid_utf8(text));
  }
}

TEST(Utf8, CountsAndCutsAtCodePoints) {
  EXPECT_EQ(count_code_points("a中😀"), 3U);
  EXPECT_EQ(prefix("中文字", 2), "中文");
  EXPECT_EQ(prefix("ab", 9), "ab");
}

TEST(Characters, ClassesAndFolding) {
  const Characters characters;
  EXPECT_TRUE(characters.classify(U'中') & kHan);
  EXPECT_TRUE(characters.classify(0x20000) & kHan);  // beyond the first plane
  EXPECT_TRUE(characters.classify(U'ё') & kCyrillic);
  EXPECT_TRUE(characters.classify(U'。') & kSentenceEnd);
  EXPECT_FALSE(characters.classify(U'，') & kSentenceEnd);
  EXPECT_EQ(characters.fold(U'É'), U'e');
  EXPECT_EQ(characters.fold(U'Ａ'), U'a');
  EXPECT_EQ(characters.fold(U'한'), U'한');
}

TEST(ByteSource, ReadsPlainGzipAndZstdByContent) {
  const tests::TemporaryDirectory directory("byte-source");
  std::string content;
  for (int i = 0; i < 100000; ++i) content += std::to_string(i) + "\n";
  for (const char* name : {"a.txt", "a.gz", "a.zst"})
    EXPECT_EQ(read_all(*open_byte_source(disk(), compress(directory, name, content))), content) << name;
  const std::string gz = directory.read("a.gz"), zst = directory.read("a.zst");
  EXPECT_EQ(read_all(*open_byte_source(disk(), directory.write("twice.gz", gz + gz))), content + content);
  EXPECT_EQ(read_all(*open_byte_source(disk(), directory.write("padded.gz", gz + std::string(512, '\0')))),
            content);
  EXPECT_EQ(read_all(*open_byte_source(disk(), directory.write("twice.zst", zst + zst))), content + content);
  EXPECT_EQ(read_all(*open_byte_source(disk(), directory.write("misnamed.txt", gz))), content);
  EXPECT_EQ(read_all(*open_byte_source(disk(), directory.write("empty.txt", ""))), "");
}

TEST(ByteSource, ReportsDamage) {
  const tests::TemporaryDirectory directory("damage");
  std::string content(300000, 'x');
  std::mt19937 random(1);
  for (char& c : content) c = static_cast<char>('a' + random() % 26);
  const std::string gz = compress(directory, "a.gz", content), zst = compress(directory, "a.zst", content);
  for (const auto& name : {"a.gz", "a.zst"}) {
    const std::string whole = directory.read(name), suffix = std::string(name).substr(1);
    for (size_t length : {whole.size() - 1, whole.size() / 2, size_t{20}}) {
      const auto path = directory.write("cut" + suffix, whole.substr(0, length));
      EXPECT_THROW(read_all(*open_byte_source(disk(), path)), core::DataError)
          << name << " cut to " << length;
    }
    std::string flipped = whole;
    flipped[whole.size() / 2] ^= 0x10;
    EXPECT_THROW(read_all(*open_byte_source(disk(), directory.write("flip" + suffix, flipped))),
                 core::DataError);
    EXPECT_THROW(read_all(*open_byte_source(disk(), directory.write("tail" + suffix, whole + "rubbish"))),
                 core::DataError);
    EXPECT_THROW(open_byte_source(disk(), directory.write("none" + suffix, "plain text")), core::DataError);
    EXPECT_THROW(open_byte_source(disk(), directory.write("zero" + suffix, "")), core::DataError);
  }
  EXPECT_THROW(open_byte_source(disk(), directory / "missing"), core::MissingInputError);
}

TEST(LineReader, CutsLinesOfAnyLength) {
  EXPECT_EQ(lines_of("a\nb\r\n\nc", 100), (std::vector<std::string>{"a", "b", "", "c"}));
  EXPECT_EQ(lines_of("", 100), std::vector<std::string>{});
  EXPECT_EQ(lines_of("\n", 100), std::vector<std::string>{""});
  const std::string huge(3 << 20, 'x');
  EXPECT_EQ(lines_of("a\n" + huge + "\nb", 1 << 20), (std::vector<std::string>{"a", "OVERLONG", "b"}));
  EXPECT_EQ(lines_of(huge, 1 << 20), std::vector<std::string>{"OVERLONG"});
  EXPECT_EQ(lines_of(huge, 4 << 20), std::vector<std::string>{huge});
  EXPECT_EQ(lines_of("12345\n1234\n", 4), (std::vector<std::string>{"OVERLONG", "1234"}));
}

TEST(Encoding, ConvertsDeclaredAndGuessedEncodings) {
  const std::string gb = "\xD6\xD0\xCE\xC4\xB5\xE7\xC4\xD4\xA3\xAC\xC4\xE3\xBA\xC3";  // 中文电脑，你好
  EXPECT_EQ(to_utf8(gb, "gb18030"), "中文电脑，你好");
  EXPECT_EQ(to_utf8("plain ascii first\n" + gb, "auto"), "plain ascii first\n中文电脑，你好");
  EXPECT_EQ(to_utf8("caf\xE9 fa\xE7"
                    "ade \x93quoted\x94",
                    "auto"),
            "café façade “quoted”");
  EXPECT_EQ(to_utf8("\xEF\xBB\xBFtext", "auto"), "text");
  EXPECT_EQ(to_utf8("\xEF\xBB\xBFtext", "utf-8"), "text");
  EXPECT_EQ(to_utf8(std::string_view("\xFF\xFEh\0i\0", 6), "auto"), "hi");
  EXPECT_EQ(to_utf8(std::string_view("\xFE\xFF\0h\0i", 6), "auto"), "hi");
  EXPECT_EQ(to_utf8("", "auto"), "");
  EXPECT_EQ(to_utf8("中文 with \xFF one bad byte in it 中文中文", "auto"),
            "中文 with \xFF one bad byte in it 中文中文");
  EXPECT_EQ(to_utf8("\xA4\xA4\xA4\xE5", "big5"), "中文");
  EXPECT_THROW(to_utf8("x", "no-such-encoding"), core::ConfigError);
}

TEST(Encoding, GuessesAtTheFirstByteThatIsNotAscii) {
  const std::string ascii(400000, 'a');  // longer than any sample
  EXPECT_TRUE(to_utf8(ascii + "\xE9t\xE9", "auto") == ascii + "été");
  EXPECT_TRUE(to_utf8(ascii + "été", "auto") == ascii + "été");
  EXPECT_EQ(guess_encoding("\xE9"), "windows-1252");
  EXPECT_EQ(guess_encoding("中文\xE4\xB8"), "utf-8");  // cut by the end of a sample
}

TEST(Json, TakesTextsAndKeepsTheOtherFields) {
  JsonRecordParser parser;
  Document document;
  EXPECT_EQ(
      parser.parse(
          R"({"id":7,"text":"a\n\"b\" \u4e2d","source":"web","meta":{"x":[1,null]},"big":123456789012345678901234567890})",
          {"text"}, true, document),
      "");
  EXPECT_EQ(document.text, "a\n\"b\" 中");
  EXPECT_EQ(document.source, "web");
  const auto fields = nlohmann::json::parse("{" + document.fields + "}");
  EXPECT_EQ(fields["id"], 7);
  EXPECT_EQ(fields["meta"]["x"].size(), 2U);
  EXPECT_EQ(parser.parse(R"({"q":"one","a":"two","k":1})", {"q", "a"}, false, document), "");
  EXPECT_EQ(document.text, "one\ntwo");
  EXPECT_EQ(document.fields, "");
}

TEST(Json, KeepsOtherFieldsAsTheyAreWritten) {
  JsonRecordParser parser;
  Document document;
  for (const char* fields :
       {R"("id":123456789012345678901)", R"("x":1e400,"y":-1E+999,"z":[-0,1.10,1e-400])",
        R"("k\u0065y":"\u4e2d\/","a":{"b":[{},[],"} ] , \" \\"]})", R"("n":1,"n":2)", R"("t":"1e400 ")"}) {
    const std::string line = fmt::format("{{\"text\":\"a\",{}}}", fields);
    EXPECT_EQ(parser.parse(line, {"text"}, true, document), "") << line;
    EXPECT_EQ(document.fields, fields);
  }
  EXPECT_EQ(
      parser.parse("\t{ \"a\" : [ 1 ,\r 2 ] , \"text\" : \"x y\" , \"b\" : { } } ", {"text"}, true, document),
      "");
  EXPECT_EQ(document.fields, R"("a":[1,2],"b":{})");
  EXPECT_EQ(document.text, "x y");
  for (const char* bad : {"1e", "01", "1.", "-", ".5", "+1", "1e400x", "1 2", "--1e400"})
    EXPECT_NE(parser.parse(fmt::format("{{\"text\":\"a\",\"x\":[1e400,{}]}}", bad), {"text"}, true, document),
              "")
        << bad;
  EXPECT_EQ(parser.parse(R"({"x":1e400,"y":tru})", {"text"}, true, document), "not JSON at byte 19");
}

TEST(Json, LeavesTheOutputsOwnKeysOut) {
  JsonRecordParser parser;
  Document document;
  struct Case {
    const char *json, *text, *source;
  };
  for (const auto& [json, text, source] :
       {Case{R"({"text":"a","source":null,"id":1})", "a", ""},
        Case{R"({"text":"a","source":5,"id":1})", "a", ""},
        Case{R"({"source":[1],"text":"a","id":1})", "a", ""},
        Case{R"({"text":"a","sourc\u0065":{"x":1},"id":1})", "a", ""},
        Case{R"({"source":"one","text":"a","id":1,"source":"two"})", "a", "two"},
        Case{R"({"source":"one","text":"a","id":1,"source":null})", "a", ""},
        Case{R"({"text":"a","t\u0065xt":"b","id":1,"language":"x","\u006canguage":null})", "b", ""}}) {
    EXPECT_EQ(parser.parse(json, {"text"}, true, document), "") << json;
    EXPECT_EQ(document.text, text) << json;
    EXPECT_EQ(document.source, source) << json;
    EXPECT_EQ(document.fields, "\"id\":1") << json;
  }
  EXPECT_EQ(parser.parse(R"({"q":"a","text":1,"source":null,"id":1})", {"q"}, true, document), "");
  EXPECT_EQ(document.fields, "\"id\":1");
}

TEST(Json, SaysWhatIsWrong) {
  JsonRecordParser parser;
  Document document;
  for (const char* bad : {"", "{", "[1]", "\"text\"", "{\"text\":1}", "{\"other\":\"x\"}",
                          "{\"text\":\"a\"} x", "{\"text\":\"\x01\"}", "nul"})
    EXPECT_NE(parser.parse(bad, {"text"}, true, document), "") << bad;
  EXPECT_NE(parser.parse(std::string(5000, '[') + std::string(5000, ']'), {"text"}, true, document), "");
  EXPECT_EQ(parser.parse(R"({"text":"fine"})", {"text"}, true, document), "");
}

TEST(Json, ReplacesLoneSurrogatesOnly) {
  JsonRecordParser parser;
  Document document;
  struct Case {
    const char *json, *text;
  };
  for (const auto& [json, text] :
       {Case{R"({"text":"a\ud800b"})", "a�b"}, Case{R"({"text":"\udc00"})", "�"},
        Case{R"({"text":"\ud83d\ude00"})", "😀"}, Case{R"({"text":"\\ud800"})", "\\ud800"},
        Case{R"({"text":"\uD800\uD800\uDC00"})", "�𐀀"}}) {
    EXPECT_EQ(parser.parse(json, {"text"}, true, document), "") << json;
    EXPECT_EQ(document.text, text);
  }
}

TEST(Json, WrittenStringsReadBack) {
  std::string text = "quote\" back\\slash\ttab\nline\r\x01\x7F 中文 😀";
  std::string json;
  append_json_string(json, text);
  EXPECT_EQ(nlohmann::json::parse(json).get<std::string>(), text);
}

TEST(Csv, SplitsQuotedFieldsAndRecordsOverLines) {
  EXPECT_EQ(split_csv("a,\"b,\"\"c\"\"\",,d"), (std::vector<std::string>{"a", "b,\"c\"", "", "d"}));
  EXPECT_EQ(split_csv(""), std::vector<std::string>{""});
  const tests::TemporaryDirectory directory("csv");
  const auto path = directory.write("a.csv", "title,text,n\nx,\"two\nlines\",1\r\ny,plain,2\nbad,row\n");
  ReaderOptions options{.format = FileFormat::kCsv};
  DocumentReader reader(disk(), path, options);
  RecordParser parser(options, reader.header());
  Document document;
  RawRecord record;
  size_t num_replaced = 0;
  ASSERT_TRUE(reader.next(record));
  EXPECT_EQ(record.line_number, 2U);
  EXPECT_EQ(parser.parse(record.bytes, document, num_replaced), "");
  EXPECT_EQ(document.text, "two\nlines");
  EXPECT_EQ(document.fields, R"("title":"x","n":"1")");
  ASSERT_TRUE(reader.next(record));
  EXPECT_EQ(record.line_number, 4U);
  ASSERT_TRUE(reader.next(record));
  EXPECT_EQ(parser.parse(record.bytes, document, num_replaced), "2 columns, the header has 3");
  EXPECT_FALSE(reader.next(record));
  options.text_fields = {"missing"};
  EXPECT_THROW(DocumentReader(disk(), path, options), core::ConfigError);
}

TEST(DocumentReader, CutsTextIntoDocuments) {
  const tests::TemporaryDirectory directory("units");
  const auto path = directory.write("a.txt", "\nfirst\nline\n\n \nsecond\n\n");
  EXPECT_EQ(records_of(path, {.format = FileFormat::kText, .unit = TextUnit::kFile}),
            (std::vector<std::string>{"first\nline\n\n \nsecond\n"}));
  EXPECT_EQ(records_of(path, {.format = FileFormat::kText, .unit = TextUnit::kLine}),
            (std::vector<std::string>{"first", "line", "second"}));
  EXPECT_EQ(records_of(path, {.format = FileFormat::kText, .unit = TextUnit::kParagraph}),
            (std::vector<std::string>{"first\nline", "second"}));
  EXPECT_EQ(records_of(path, {.format = FileFormat::kText, .unit = TextUnit::kFile, .max_record_bytes = 8}),
            (std::vector<std::string>{""}));
  EXPECT_EQ(records_of(directory.write("empty.txt", ""), {.format = FileFormat::kText}),
            std::vector<std::string>{});
}

TEST(DocumentReader, SurvivesRandomBytes) {
  const tests::TemporaryDirectory directory("random");
  std::mt19937 random(7);
  for (int round = 0; round < 60; ++round) {
    std::string bytes(random() % 3000, '\0');
    for (char& c : bytes)
      c = static_cast<char>(round % 2 == 0 ? random() : "{}[]\",:\\u\n d8"[random() % 14]);
    const auto path = directory.write("x", bytes);
    for (const auto format : {FileFormat::kJsonLines, FileFormat::kText}) {
      const ReaderOptions options{.format = format, .unit = TextUnit::kLine};
      DocumentReader reader(disk(), path, options);
      RecordParser parser(options, {});
      Document document;
      size_t num_replaced = 0;
      for (RawRecord record; reader.next(record);)
        if (parser.parse(record.bytes, document, num_replaced).empty()) {
          EXPECT_TRUE(is_valid_utf8(document.text));
        }
    }
  }
}

TEST(TextWriter, LeavesNothingWithoutCommit) {
  const tests::TemporaryDirectory directory("writer");
  {
    TextWriter writer(disk(), directory / "a.jsonl.zst");
    writer.append("x");
  }
  EXPECT_EQ(directory.num_files(), 0U);
  EXPECT_THROW(TextWriter(disk(), "/proc/none/a"), core::Error);
}

}  // namespace
}  // namespace athanor::text
