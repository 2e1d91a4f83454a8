#include "data/synth/dirt.h"

#include <algorithm>
#include <array>

#include <fmt/core.h>

#include "data/text/ascii.h"

namespace athanor::synth {
namespace {

bool is_continuation(char c) {
  return (c & 0xC0) == 0x80;
}

void append_utf8(std::string& out, char32_t c) {
  if (c < 0x80) {
    out.push_back(static_cast<char>(c));
  } else if (c < 0x800) {
    out.append({static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 0x3F))});
  } else {
    out.append({static_cast<char>(0xE0 | c >> 12), static_cast<char>(0x80 | (c >> 6 & 0x3F)),
                static_cast<char>(0x80 | (c & 0x3F))});
  }
}

// The nearest beginning of a character at or before `at`.
size_t character_begin(std::string_view text, size_t at) {
  while (at > 0 && is_continuation(text[at])) --at;
  return at;
}

size_t character_end(std::string_view text, size_t at) {
  for (++at; at < text.size() && is_continuation(text[at]);) ++at;
  return at;
}

std::string replace_one(std::string text, Choices& choices) {
  static constexpr std::array<std::string_view, 6> kWords = {"some", "other", "many", "small", "new", "such"};
  static constexpr std::array<std::string_view, 6> kCharacters = {"很", "再", "又", "也", "还", "都"};
  size_t begin = character_begin(text, choices.below(text.size()));
  size_t end = character_end(text, begin);
  if (!text::is_ascii_letter(text[begin])) {
    const bool is_wide = static_cast<signed char>(text[begin]) < 0;
    return is_wide ? text.replace(begin, end - begin, kCharacters[choices.below(6)]) : text;
  }
  while (begin > 0 && text::is_ascii_letter(text[begin - 1])) --begin;
  while (end < text.size() && text::is_ascii_letter(text[end])) ++end;
  return text.replace(begin, end - begin, kWords[choices.below(6)]);
}

std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

// What Windows-1252 shows for 0x80-0x9F; Latin-1's control characters where it has nothing.
constexpr std::array<char32_t, 32> kWindows1252 = {
    0x20AC, 0x81,   0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160,
    0x2039, 0x0152, 0x8D,   0x017D, 0x8F,   0x90,   0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
    0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x9D,   0x017E, 0x0178};

std::string read_as_windows1252(std::string_view text, bool is_lossy, Choices& choices) {
  std::string out;
  for (char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    const bool is_lost = is_lossy && byte >= 0x80 && choices.below(12) == 0;
    if (is_lost)
      out.push_back('?');
    else
      append_utf8(out, byte >= 0x80 && byte < 0xA0 ? kWindows1252[byte - 0x80U] : byte);
  }
  return out;
}

std::string replace_characters(std::string_view text, std::string_view by, uint64_t one_in,
                               Choices& choices) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = character_end(text, at);
    const bool is_chosen = text[at] != '\n' && choices.below(one_in) == 0;
    out.append(is_chosen ? by : text.substr(at, end - at));
    at = end;
  }
  return out;
}

std::string digits(size_t count, Choices& choices) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out.push_back(static_cast<char>('0' + choices.below(10)));
  return out;
}

std::string id_card(Choices& choices) {
  static constexpr int kWeights[17] = {7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2};
  std::string id =
      fmt::format("{}{}{:04}{:02}{:02}{}", 1 + choices.below(6), digits(5, choices), 1940 + choices.below(65),
                  1 + choices.below(12), 1 + choices.below(28), digits(3, choices));
  int sum = 0;
  for (size_t i = 0; i < 17; ++i) sum += (id[i] - '0') * kWeights[i];
  return id + "10X98765432"[sum % 11];
}

std::string bank_card(Choices& choices) {
  std::string card = "62" + digits(13, choices);
  int sum = 0;
  for (size_t i = 0; i < card.size(); ++i) {
    const int digit = card[card.size() - 1 - i] - '0';
    sum += i % 2 == 1 ? digit : digit * 2 - (digit > 4 ? 9 : 0);
  }
  return card + static_cast<char>('0' + (10 - sum % 10) % 10);
}

std::string mobile(Choices& choices) {
  return fmt::format("1{}{}", 3 + choices.below(7), digits(9, choices));
}
std::string email(Choices& choices) {
  return fmt::format("user{}@mail{}.example.org", digits(4, choices), choices.below(90));
}
std::string address(Choices& choices) {
  return fmt::format("{}.{}.{}.{}", 20 + choices.below(80), choices.below(256), choices.below(256),
                     1 + choices.below(254));
}

std::string to_html_text(std::string_view line) {
  std::string out;
  for (char c : line) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&quot;";
    else
      out.push_back(c);
  }
  return out;
}

}  // namespace

std::string edit_slightly(std::string_view text, Choices& choices) {
  std::string edited(text);
  const size_t num_edits = 1 + std::min<size_t>(2, text.size() / 1200);
  for (size_t i = 0; i < num_edits; ++i)
    for (int attempt = 0; attempt < 8; ++attempt) {
      std::string next = replace_one(edited, choices);
      if (next == edited) continue;
      edited.swap(next);
      break;
    }
  return edited;
}

std::string insert_lines(std::string_view text, const std::vector<std::string>& lines, Choices& choices) {
  const auto own = split_lines(text);
  const size_t after = choices.below(own.size());
  std::string out;
  for (size_t i = 0; i < own.size(); ++i) {
    out.append(own[i]).append("\n");
    if (i == after)
      for (const auto& line : lines) out.append(line).append("\n");
  }
  out.pop_back();
  return out;
}

std::string wrap_in_html(std::string_view text, Choices& choices) {
  std::string html =
      "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><style>p { margin: 0; color: #333 "
      "}</style></head>\n<body>";
  html += fmt::format("<div class=\"article\" id=\"a{}\">\n", choices.below(100000));
  for (auto line : split_lines(text)) {
    if (line.empty()) continue;
    const bool is_bold = choices.below(4) == 0;
    html += fmt::format("<p>{}{}{}</p>\n", is_bold ? "<b>" : "", to_html_text(line), is_bold ? "</b>" : "");
  }
  return html + fmt::format(
                    "</div>\n<script>var id = {}; if (id < 9) {{ load(id); }}</script>\n<!-- end of page "
                    "-->\n</body></html>",
                    choices.below(1000));
}

std::string garble(std::string_view text, Choices& choices) {
  const auto is_wide = [](char c) { return static_cast<signed char>(c) < 0; };
  const auto num_wide = static_cast<size_t>(std::count_if(text.begin(), text.end(), is_wide));
  if (num_wide * 10 < text.size()) return replace_characters(text, "\xEF\xBF\xBD", 25, choices);
  const uint64_t way = choices.below(3);
  return way == 2 ? replace_characters(text, "锟斤拷", 10, choices)
                  : read_as_windows1252(text, way == 1, choices);
}

std::string personal_sentence(bool is_chinese, Choices& choices) {
  const std::string phone = mobile(choices), id = id_card(choices), card = bank_card(choices),
                    mail = email(choices), ip = address(choices);
  switch (choices.below(3)) {
    case 0:
      return is_chinese
                 ? fmt::format("登记时留下的手机号码是{}，身份证号码是{}。", phone, id)
                 : fmt::format("The mobile number in the register is {} and the identity number is {}.",
                               phone, id);
    case 1:
      return is_chinese ? fmt::format("他把银行卡号{}写在纸上，又留下邮箱{}。", card, mail)
                        : fmt::format("The bank card was {} and the address was {}.", card, mail);
    default:
      return is_chinese ? fmt::format("服务器记录显示，来自{}的用户{}登录过。", ip, mail)
                        : fmt::format("According to the server, {} logged in from {}.", mail, ip);
  }
}

std::string break_code(std::string_view code, Choices& choices) {
  std::string broken(code);
  static constexpr std::string_view kClosing = ")]}";
  const size_t start = choices.below(broken.size());
  const size_t closing = broken.find_first_of(kClosing, start);
  const size_t at = closing != std::string::npos ? closing : broken.find_first_of(kClosing);
  if (at == std::string::npos) return broken + "(";
  return choices.below(2) == 0 ? broken.erase(at, 1) : broken.replace(at, 1, broken[at] == ')' ? "]" : ")");
}

std::string repeat_keyword(std::string_view text, Choices& choices) {
  const size_t begin = character_begin(text, choices.below(text.size() / 2 + 1));
  const size_t end = character_begin(text, std::min(begin + 12 + choices.below(18), text.size() - 1));
  std::string phrase(text.substr(begin, std::max(end, begin + 1) - begin));
  std::replace(phrase.begin(), phrase.end(), '\n', ' ');
  std::string out;
  for (uint64_t i = 0, count = 40 + choices.below(40); i < count; ++i) out.append(phrase).append(" ");
  return out + ".";
}

std::string truncate_lines(std::string_view text, Choices& choices) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    size_t end = at;
    const uint64_t length = 14 + choices.below(16);
    for (uint64_t i = 0; i < length && end < text.size() && text[end] != '\n'; ++i)
      end = character_end(text, end);
    auto line = text.substr(at, end - at);
    while (!line.empty() && !text::is_ascii_letter(line.back()) && static_cast<signed char>(line.back()) >= 0)
      line.remove_suffix(1);
    while (line.size() >= 3 &&
           (line.ends_with("。") || line.ends_with("”") || line.ends_with("！") || line.ends_with("？")))
      line.remove_suffix(3);
    out.append(line).append("\n");
    at = std::max(end, at + 1);
    while (at < text.size() && is_continuation(text[at])) ++at;
  }
  return out;
}

}  // namespace athanor::synth
