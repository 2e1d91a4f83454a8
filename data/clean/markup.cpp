#include "data/clean/markup.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "data/clean/markdown_code.h"
#include "data/text/ascii.h"
#include "data/text/utf8.h"

namespace athanor::clean {
namespace {

const std::unordered_set<std::string_view>& block_tags() {
  static const std::unordered_set<std::string_view> tags = {
      "p",     "div",   "br",   "hr",     "table",  "tr",      "ul",       "ol",      "li",
      "h1",    "h2",    "h3",   "h4",     "h5",     "h6",      "body",     "html",    "head",
      "title", "form",  "nav",  "header", "footer", "section", "article",  "aside",   "blockquote",
      "pre",   "dl",    "dt",   "dd",     "main",   "figure",  "iframe",   "script",  "style",
      "tbody", "thead", "meta", "link",   "option", "select",  "textarea", "noscript"};
  return tags;
}

const std::unordered_set<std::string_view>& inline_tags() {
  static const std::unordered_set<std::string_view> tags = {
      "span",   "a",          "img",     "b",   "i",   "u",    "s",     "em",      "strong", "font",
      "center", "small",      "sup",     "sub", "td",  "th",   "input", "button",  "label",  "code",
      "cite",   "q",          "mark",    "del", "ins", "abbr", "video", "audio",   "source", "svg",
      "path",   "figcaption", "picture", "big", "tt",  "kbd",  "var",   "details", "summary"};
  return tags;
}

const std::unordered_map<std::string_view, char32_t>& named_references() {
  static const std::unordered_map<std::string_view, char32_t> names = {
      {"amp", '&'},      {"lt", '<'},       {"gt", '>'},       {"quot", '"'},     {"apos", '\''},
      {"nbsp", ' '},     {"ensp", ' '},     {"emsp", ' '},     {"thinsp", ' '},   {"copy", 0xA9},
      {"reg", 0xAE},     {"trade", 0x2122}, {"middot", 0xB7},  {"bull", 0x2022},  {"hellip", 0x2026},
      {"mdash", 0x2014}, {"ndash", 0x2013}, {"lsquo", 0x2018}, {"rsquo", 0x2019}, {"ldquo", 0x201C},
      {"rdquo", 0x201D}, {"laquo", 0xAB},   {"raquo", 0xBB},   {"times", 0xD7},   {"divide", 0xF7},
      {"deg", 0xB0},     {"plusmn", 0xB1},  {"yen", 0xA5},     {"euro", 0x20AC},  {"pound", 0xA3},
      {"cent", 0xA2},    {"sect", 0xA7},    {"para", 0xB6},    {"eacute", 0xE9},  {"egrave", 0xE8},
      {"agrave", 0xE0},  {"ccedil", 0xE7},  {"ouml", 0xF6},    {"uuml", 0xFC},    {"auml", 0xE4},
      {"szlig", 0xDF},   {"rarr", 0x2192},  {"larr", 0x2190},  {"le", 0x2264},    {"ge", 0x2265}};
  return names;
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(), text::to_ascii_lower);
  return result;
}

struct Tag {
  std::string name;  ///< lower case; empty: this is no tag
  size_t end = 0;    ///< the byte after '>'
  bool is_closing = false;
};

// The tag that begins at `at`, if its name is HTML's and it closes within 2,000 bytes.
Tag read_tag(std::string_view html, size_t at) {
  Tag tag;
  tag.is_closing = at + 1 < html.size() && html[at + 1] == '/';
  const size_t begin = at + 1 + (tag.is_closing ? 1 : 0);
  size_t end = begin;
  while (end < html.size() && end - begin < 12 &&
         (text::is_ascii_letter(html[end]) || (end > begin && text::is_ascii_digit(html[end]))))
    ++end;
  const std::string name = lower(html.substr(begin, end - begin));
  if (block_tags().count(name) + inline_tags().count(name) == 0) return {};
  if (end >= html.size() || std::string_view(" \t\n/>").find(html[end]) == std::string_view::npos) return {};
  char quote = 0;
  for (size_t i = end; i < html.size() && i - at < 2000; ++i) {
    if (quote != 0)
      quote = html[i] == quote ? char{0} : quote;
    else if (html[i] == '"' || html[i] == '\'')
      quote = html[i];
    else if (html[i] == '>')
      return {name, i + 1, tag.is_closing};
    else if (html[i] == '<')
      return {};
  }
  return {};
}

bool is_scalar_value(uint32_t c) {
  return c >= 0x20 && c <= 0x10FFFF && (c < 0xD800 || c > 0xDFFF);
}

// Decodes the reference that begins at `at`, an '&'; returns the byte after it, or `at`.
size_t decode_reference(std::string_view html, size_t at, std::string& out) {
  const size_t end = html.substr(at, 12).find(';');
  if (end == std::string_view::npos || end < 2) return at;
  const auto name = html.substr(at + 1, end - 1);
  uint32_t value = 0;
  if (name[0] == '#') {
    const bool is_hex = name.size() > 2 && (name[1] == 'x' || name[1] == 'X');
    const auto digits = name.substr(is_hex ? 2 : 1);
    for (char c : digits) {
      const int digit = text::is_ascii_digit(c)                                 ? c - '0'
                        : is_hex && text::is_ascii_letter(c) && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                                                : -1;
      if (digit < 0 || digits.size() > 7) return at;
      value = value * (is_hex ? 16 : 10) + static_cast<uint32_t>(digit);
    }
  } else if (const auto found = named_references().find(name); found != named_references().end()) {
    value = found->second;
  }
  if (!is_scalar_value(value)) return at;
  text::append_utf8(out, value);
  return at + end + 1;
}

// Walks over a text once, copying all but markup. Code of Markdown is copied as it is.
class HtmlRemover {
 public:
  explicit HtmlRemover(std::string_view text)
      : text_(text), blocks_(find_fenced_blocks(text)), spans_(text) {}

  /// The text without markup, when there was any.
  bool run(std::string& out) {
    while (at_ < text_.size()) {
      prose_ = text_.substr(0, next_block_begin());
      copy_until(std::min(prose_.find_first_of("<&`", at_), prose_.size()));
      if (at_ < prose_.size())
        take_special();
      else if (at_ < text_.size())
        copy_until(blocks_[next_block_].end);
    }
    out.swap(out_);
    return has_changed_;
  }

 private:
  // Blocks that begin in what was removed, such as a comment, went with it.
  size_t next_block_begin() {
    while (next_block_ < blocks_.size() && blocks_[next_block_].begin < at_) ++next_block_;
    return next_block_ < blocks_.size() ? blocks_[next_block_].begin : text_.size();
  }

  void copy_until(size_t end) {
    out_.append(text_, at_, end - at_);
    at_ = end;
  }

  void take_special() {
    if (text_[at_] == '`') return copy_until(spans_.skip(at_));
    const size_t next = text_[at_] == '<' ? skip_markup() : decode_reference(prose_, at_, out_);
    if (next == at_) return copy_until(at_ + 1);
    has_changed_ = true;
    at_ = next;
  }

  // Where the text goes on when markup begins here, at a '<'; here when none does.
  size_t skip_markup() {
    const auto rest = prose_.substr(at_);
    if (rest.starts_with("<!--")) return comment_end();
    if (rest.starts_with("<?xml") || lower(rest.substr(0, 9)) == "<!doctype") {
      const size_t end = rest.substr(0, 300).find('>');
      return end == std::string_view::npos ? at_ : at_ + end + 1;
    }
    const Tag tag = read_tag(prose_, at_);
    if (tag.name.empty()) return at_;
    if (block_tags().count(tag.name) != 0 && !out_.empty() && out_.back() != '\n') out_.push_back('\n');
    if (tag.name == "td" || tag.name == "th") out_.push_back(' ');
    const bool is_raw = !tag.is_closing && (tag.name == "script" || tag.name == "style");
    const size_t end = is_raw ? end_of_raw_element(tag) : tag.end;
    const bool is_block = block_tags().count(tag.name) != 0 && tag.name != "pre";
    return is_block ? std::min(prose_.find_first_not_of(" \t\r\n", end), prose_.size()) : end;
  }

  // The byte after the comment; it may hold whole blocks of code, but not end in one.
  size_t comment_end() {
    if (is_comment_open_) return at_;
    size_t end = text_.find("-->", at_);
    for (size_t i = next_block_;
         i < blocks_.size() && end != std::string_view::npos && blocks_[i].begin < end; ++i)
      if (end < blocks_[i].end) end = text_.find("-->", blocks_[i].end);
    is_comment_open_ = end == std::string_view::npos;
    return is_comment_open_ ? at_ : end + 3;
  }

  // The byte after the element whose content is no text, or after its opening tag when it does not close
  // before the next block of code.
  size_t end_of_raw_element(const Tag& tag) {
    size_t& open_before = tag.name == "script" ? script_open_before_ : style_open_before_;
    if (open_before == prose_.size()) return tag.end;
    for (size_t at = prose_.find("</", tag.end); at != std::string_view::npos;
         at = prose_.find("</", at + 2)) {
      const Tag closing = read_tag(prose_, at);
      if (closing.name == tag.name) return closing.end;
    }
    open_before = prose_.size();
    return tag.end;
  }

  std::string_view text_, prose_;  ///< all; up to the next block of code
  std::vector<FencedBlock> blocks_;
  CodeSpans spans_;
  size_t at_ = 0, next_block_ = 0;
  std::string out_;
  bool has_changed_ = false;
  // What a search did not find from here on is not looked for again: time is linear.
  bool is_comment_open_ = false;
  size_t script_open_before_ = 0, style_open_before_ = 0;  ///< length of the prose without a closing tag
};

}  // namespace

bool remove_html(std::string& text) {
  if (text.find_first_of("<&") == std::string::npos) return false;
  std::string out;
  if (!HtmlRemover(text).run(out)) return false;
  text.swap(out);
  return true;
}

}  // namespace athanor::clean
