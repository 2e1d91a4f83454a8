#include "data/clean/lines.h"

#include <algorithm>
#include <array>
#include <xxhash.h>

#include "data/text/character.h"
#include "data/text/utf8.h"

namespace athanor::clean {
namespace {

constexpr std::array<std::string_view, 8> kBullets = {"•", "‣", "●", "◦", "▪", "■", "- ", "* "};

bool is_ascii_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

std::string_view trim(std::string_view line) {
  while (!line.empty() && is_ascii_space(line.front())) line.remove_prefix(1);
  while (!line.empty() && is_ascii_space(line.back())) line.remove_suffix(1);
  return line;
}

char32_t last_code_point(std::string_view line) {
  size_t at = line.size() - 1;
  while (at > 0 && (line[at] & 0xC0) == 0x80) --at;
  return text::decode(line.data(), at);
}

LineFacts facts_of(std::string_view line, std::string_view text, const text::Characters& characters) {
  const auto starts = [&](std::string_view bullet) { return line.starts_with(bullet); };
  const auto begin = static_cast<uint32_t>(line.data() - text.data());
  return {.begin_byte = begin,
          .end_byte = begin + static_cast<uint32_t>(line.size()),
          .num_chars = static_cast<uint32_t>(text::count_code_points(line)),
          .hash = XXH3_64bits(line.data(), line.size()),
          .starts_with_bullet = std::any_of(kBullets.begin(), kBullets.end(), starts),
          .ends_in_ellipsis = line.ends_with("...") || line.ends_with("…"),
          .ends_in_punctuation = (characters.classify(last_code_point(line)) & text::kSentenceEnd) != 0,
          .follows_blank = false};
}

}  // namespace

void cut_into_lines(std::string_view text, Lines& lines) {
  const text::Characters characters;
  lines.all.clear();
  lines.num_newlines = lines.num_chars = 0;
  bool follows_blank = true;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    lines.num_newlines += end < text.size() ? 1 : 0;
    const auto line = trim(text.substr(at, end - at));
    at = end + 1;
    if (line.empty()) {
      follows_blank = true;
      continue;
    }
    lines.all.push_back(facts_of(line, text, characters));
    lines.all.back().follows_blank = follows_blank;
    lines.num_chars += lines.all.back().num_chars;
    follows_blank = false;
  }
}

}  // namespace athanor::clean
