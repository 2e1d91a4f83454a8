#include "data/tokenizer/text_blocks.h"

#include <algorithm>
#include <filesystem>

#include "core/error.h"
#include "core/json.h"
#include "data/tokenizer/utf8.h"

namespace athanor::data::tokenizer {
namespace {

using core::DataError;

constexpr size_t kBlockBytes = size_t{1} << 20;
constexpr size_t kMaxLineBytes = size_t{1} << 30;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

bool is_json_lines(const std::string& path) {
  const std::string suffix = std::filesystem::path(path).extension().string();
  if (suffix == ".jsonl" || suffix == ".ndjson" || suffix == ".json") return true;
  if (suffix == ".txt") return false;
  throw DataError("{}: expected a file named .jsonl (one {{\"text\": ...}} per line) or .txt", path);
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
    problem = error.what();
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
    throw DataError("{}: expected a JSON object with a string \"text\", found {}", where,
                    to_valid_utf8(line.substr(0, 60)));
  return std::move(finder.text);
}

void for_each_text(const TextBlock& block, const std::function<void(std::string_view)>& visit) {
  if (!block.is_json_lines) return visit(to_valid_utf8(block.bytes));
  for_each_line(block, [&](std::string_view line, uint64_t number) {
    if (!is_blank(line)) visit(text_of_json_line(line, fmt::format("{}:{}", block.path, number)));
  });
}

TextBlockReader::TextBlockReader(core::FileSystem& fs, std::vector<std::string> paths)
    : fs_(fs), paths_(std::move(paths)) {
  for (const auto& path : paths_) {
    is_json_lines(path);
    fs_.open(path);
  }
}

void TextBlockReader::open_next_file() {
  file_ = fs_.open(paths_[next_path_++]);
  offset_ = 0;
  next_line_ = 1;
}

// Reads on until `rest_` holds `wanted_bytes`; false when the file ends before.
bool TextBlockReader::fill(size_t wanted_bytes) {
  const size_t before = rest_.size();
  if (before >= wanted_bytes) return true;
  const auto num_bytes =
      static_cast<size_t>(std::min<uint64_t>(wanted_bytes - before, file_->size() - offset_));
  rest_.resize(before + num_bytes);
  file_->read(offset_, std::as_writable_bytes(std::span(rest_.data() + before, num_bytes)));
  if (offset_ == 0 && std::string_view(rest_).substr(0, 3) == kByteOrderMark) rest_.erase(0, 3);
  offset_ += num_bytes;
  return offset_ < file_->size();
}

bool TextBlockReader::next(TextBlock& block) {
  while (rest_.empty() && (!file_ || offset_ >= file_->size())) {
    if (next_path_ == paths_.size()) return false;
    open_next_file();
  }
  block.path = paths_[next_path_ - 1];
  block.is_json_lines = is_json_lines(block.path);
  size_t end = 0;
  for (size_t wanted = kBlockBytes; end == 0; wanted *= 2) {
    if (wanted > kMaxLineBytes)
      throw DataError("{}:{}: a line has more than {} bytes", block.path, next_line_, kMaxLineBytes);
    const bool has_more = fill(wanted);
    end = has_more ? last_cut(rest_, block.is_json_lines) : rest_.size();
    if (!has_more && rest_.empty()) return next(block);
  }
  block.bytes = rest_.substr(0, end);
  rest_.erase(0, end);
  block.first_line = next_line_;
  next_line_ += static_cast<uint64_t>(std::count(block.bytes.begin(), block.bytes.end(), '\n'));
  return true;
}

}  // namespace athanor::data::tokenizer
