#include "data/tokenizer/text_blocks.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "core/error.h"
#include "core/json.h"
#include "data/text/utf8.h"
#include "data/tokenizer/utf8.h"

namespace athanor::data::tokenizer {
namespace {

using core::DataError;

constexpr size_t kBlockBytes = size_t{1} << 20;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

bool is_json_lines(const std::string& path, TextFormat format) {
  if (format != TextFormat::kByName) return format == TextFormat::kJsonLines;
  std::filesystem::path name = path;
  if (name.extension() == ".gz" || name.extension() == ".zst") name.replace_extension();
  const std::string suffix = name.extension().string();
  if (suffix == ".jsonl" || suffix == ".ndjson" || suffix == ".json") return true;
  if (suffix == ".txt") return false;
  throw DataError(
      "{}: expected a file named .jsonl (one {{\"text\": ...}} per line) or .txt, also with .gz or .zst; say "
      "what another one holds with --format",
      path);
}

// Finds the member "text" of the outermost object, without building the rest.
class TextFinder : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return scalar(); }
  bool boolean(bool) override { return scalar(); }
  bool number_integer(number_integer_t) override { return scalar(); }
  bool number_unsigned(number_unsigned_t) override { return scalar(); }
  bool number_float(number_float_t, const string_t&) override { return scalar(); }
  bool binary(binary_t&) override { return scalar(); }
  bool string(string_t& value) override {
    if (depth_ == 1 && is_text_) text = std::move(value), found = true, is_text_ = false;
    return depth_ > 0;
  }
  bool start_object(size_t) override { return is_text_ = false, ++depth_, true; }
  bool end_object() override { return --depth_, true; }
  bool start_array(size_t) override { return is_text_ = false, ++depth_ > 1; }
  bool end_array() override { return --depth_, true; }
  bool key(string_t& name) override {
    is_text_ = depth_ == 1 && name == "text";
    return true;
  }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) override {
    problem = core::json_problem(error);
    return false;
  }

  std::string text, problem;
  bool found = false;

 private:
  bool scalar() { return is_text_ = false, depth_ > 0; }
  int depth_ = 0;
  bool is_text_ = false;
};

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

// Calls visit(line, number) for every line, without its line feed.
template <typename Visit>
void for_each_line(const TextBlock& block, Visit visit) {
  uint64_t number = block.first_line;
  for (size_t begin = 0; begin < block.bytes.size(); ++number) {
    const size_t end = std::min(block.bytes.find('\n', begin), block.bytes.size());
    visit(std::string_view(block.bytes).substr(begin, end - begin), number);
    begin = end + 1;
  }
}

// Not the start of a whitespace character: in UTF-8 those start with C2, E1, E2 or E3.
bool starts_visible_character(char first_byte) {
  const auto byte = static_cast<unsigned char>(first_byte);
  return byte > ' ' && byte != 0xC2 && (byte < 0xE1 || byte > 0xE3);
}

// Where `text` stops being UTF-8 text; nothing when all of it is. `goes_on`: more bytes follow, which may
// complete its last character. A NUL is in no text, but in every second byte of UTF-16.
std::optional<size_t> first_bad_byte(std::string_view text, bool goes_on) {
  std::optional<size_t> bad;
  if (!text::is_valid_utf8(text)) {
    const Utf8Prefix prefix = valid_utf8_prefix(text);
    if (!(goes_on && prefix.is_truncated)) bad = prefix.num_valid_bytes;
  }
  const size_t nul = text.substr(0, bad.value_or(text.size())).find('\0');
  return nul == std::string_view::npos ? bad : nul;
}

// Where a block of `text` may end at the latest: behind a line feed; 0 when there is no such place.
size_t last_cut(std::string_view text, bool at_any_line) {
  for (size_t end = text.size(); end > 0;) {
    const size_t line_feed = text.rfind('\n', end - 1);
    if (line_feed == std::string_view::npos) return 0;
    const size_t next = line_feed + 1;
    if (at_any_line || (next < text.size() && starts_visible_character(text[next]))) return next;
    end = line_feed;
  }
  return 0;
}

}  // namespace

std::string text_of_json_line(std::string_view line, const std::string& where) {
  TextFinder finder;
  const bool is_complete = nlohmann::json::sax_parse(line.begin(), line.end(), &finder);
  if (!finder.problem.empty()) throw DataError("{}: not valid JSON: {}", where, finder.problem);
  if (!is_complete || !finder.found)
    throw DataError("{}: expected a JSON object with a string \"text\", found {}", where, excerpt(line));
  return std::move(finder.text);
}

void for_each_text(const TextBlock& block, const std::function<void(std::string_view)>& visit) {
  if (!block.is_json_lines) return visit(block.bytes);
  for_each_line(block, [&](std::string_view line, uint64_t number) {
    if (!is_blank(line)) visit(text_of_json_line(line, fmt::format("{}:{}", block.path, number)));
  });
}

TextBlockReader::TextBlockReader(core::FileSystem& fs, std::vector<std::string> paths, TextFormat format,
                                 uint64_t max_line_bytes)
    : fs_(fs), paths_(std::move(paths)), format_(format), max_line_bytes_(max_line_bytes) {
  for (const auto& path : paths_) {
    is_json_lines(path, format_);
    const bool is_there = path == "-" || (fs_.exists(path) && !fs_.is_directory(path));
    if (!is_there) fs_.open(path);  // says what is wrong
  }
}

void TextBlockReader::open_next_file() {
  source_ = text::open_byte_source(fs_, paths_[next_path_++]);
  next_line_ = 1;
  fill(kByteOrderMark.size());
  if (rest_.starts_with(kByteOrderMark)) rest_.erase(0, kByteOrderMark.size());
}

// Reads on until `rest_` holds `wanted_bytes`, or the file has ended.
void TextBlockReader::fill(size_t wanted_bytes) {
  while (source_ && rest_.size() < wanted_bytes) {
    const size_t before = rest_.size();
    rest_.resize(wanted_bytes);
    const size_t got = source_->read(std::span(rest_).subspan(before));
    rest_.resize(before + got);
    if (got == 0) source_.reset();
  }
}

void TextBlockReader::check_is_text() const {
  const auto bad = first_bad_byte(rest_, source_ != nullptr);
  if (!bad) return;
  const auto line =
      static_cast<size_t>(next_line_) +
      static_cast<size_t>(std::count(rest_.begin(), rest_.begin() + static_cast<ptrdiff_t>(*bad), '\n'));
  throw DataError(
      "{}:{}: not UTF-8 text (byte 0x{:02x}); convert the file to UTF-8 first (`athanor clean` reads other "
      "encodings)",
      paths_[next_path_ - 1], line, static_cast<unsigned char>(rest_[*bad]));
}

// Reads on until there is a place to cut. Within the longest line there must be a line end, if not one before
// a visible character.
size_t TextBlockReader::find_block_end(bool is_json_lines) {
  const size_t longest = static_cast<size_t>(max_line_bytes_) + 1;  // with its line feed
  for (size_t wanted = kBlockBytes;; wanted *= 2) {
    const bool is_last_try = wanted >= longest;
    fill(std::min(wanted, longest));
    if (!is_json_lines) check_is_text();
    if (!source_) return rest_.size();
    if (const size_t end = last_cut(rest_, is_json_lines || is_last_try); end > 0) return end;
    if (is_last_try)
      throw DataError("{}:{}: a line has more than {} bytes", paths_[next_path_ - 1], next_line_,
                      max_line_bytes_);
  }
}

bool TextBlockReader::next(TextBlock& block) {
  for (fill(1); rest_.empty(); fill(1)) {
    if (next_path_ == paths_.size()) return false;
    open_next_file();
  }
  block.path = paths_[next_path_ - 1];
  block.is_json_lines = is_json_lines(block.path, format_);
  const size_t end = find_block_end(block.is_json_lines);
  block.bytes = rest_.substr(0, end);
  rest_.erase(0, end);
  block.first_line = next_line_;
  next_line_ += static_cast<uint64_t>(std::count(block.bytes.begin(), block.bytes.end(), '\n'));
  return true;
}

}  // namespace athanor::data::tokenizer
