#include "data/tokenizer/added_tokens.h"

#include <algorithm>
#include <utf8proc.h>

#include "data/tokenizer/unicode_class.h"

namespace athanor::data::tokenizer {
namespace {

// What \w means: letters, marks, decimal and letter numbers, connectors, joiners and circled letters.
bool is_word_character(uint32_t c) {
  const ClassBits bits = unicode_classes()[c];
  if (bits & (kLetter | kMark)) return true;
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  if (category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_NL ||
      category == UTF8PROC_CATEGORY_PC)
    return true;
  return c == 0x200C || c == 0x200D || (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
         (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189);
}

size_t last_character(std::string_view text, size_t end) {
  do --end;
  while (is_continuation_byte(text[end]));
  return end;
}

bool touches_word(std::string_view text, size_t begin, size_t end) {
  const auto is_word_at = [&](size_t at) {
    return is_word_character(decode_code_point(text.data() + at).value);
  };
  return (begin > 0 && is_word_at(last_character(text, begin))) || (end < text.size() && is_word_at(end));
}

bool is_whitespace_at(std::string_view text, size_t at) {
  return unicode_classes()[decode_code_point(text.data() + at).value] & kWhitespace;
}

size_t whitespace_begin(std::string_view text, size_t end) {
  while (end > 0 && is_whitespace_at(text, last_character(text, end))) end = last_character(text, end);
  return end;
}

size_t whitespace_end(std::string_view text, size_t begin) {
  while (begin < text.size() && is_whitespace_at(text, begin))
    begin += decode_code_point(text.data() + begin).num_bytes;
  return begin;
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(std::vector<AddedToken> tokens, const std::vector<std::string>& patterns)
    : tokens_(std::move(tokens)), nodes_(1) {
  for (size_t i = 0; i < tokens_.size(); ++i)
    if (!patterns[i].empty()) insert(patterns[i], static_cast<int32_t>(i));
}

void AddedTokenMatcher::insert(std::string_view pattern, int32_t token) {
  can_start_[static_cast<unsigned char>(pattern[0])] = true;
  uint32_t node = 0;
  for (const char c : pattern) {
    const auto byte = static_cast<unsigned char>(c);
    uint32_t next = child(node, byte);
    if (next == 0) {
      next = static_cast<uint32_t>(nodes_.size());
      nodes_.push_back({0, nodes_[node].first_child, -1, byte});
      nodes_[node].first_child = next;
    }
    node = next;
  }
  nodes_[node].token = token;
}

uint32_t AddedTokenMatcher::child(uint32_t node, unsigned char byte) const {
  uint32_t next = nodes_[node].first_child;
  while (next != 0 && nodes_[next].byte != byte) next = nodes_[next].next_sibling;
  return next;
}

std::optional<AddedTokenMatcher::Match> AddedTokenMatcher::find(std::string_view text, size_t from) const {
  for (size_t begin = from; begin < text.size(); ++begin) {
    if (!can_start_[static_cast<unsigned char>(text[begin])]) continue;
    std::optional<Match> longest;
    uint32_t node = 0;
    for (size_t at = begin; at < text.size(); ++at) {
      if ((node = child(node, static_cast<unsigned char>(text[at]))) == 0) break;
      if (nodes_[node].token >= 0)
        longest = Match{begin, at + 1, &tokens_[static_cast<size_t>(nodes_[node].token)]};
    }
    if (longest) return longest;
  }
  return std::nullopt;
}

std::vector<AddedTokenSplit> AddedTokenMatcher::split(std::string_view text) const {
  std::vector<AddedTokenSplit> parts;
  const auto add = [&](size_t begin, size_t end, std::optional<uint32_t> id) {
    if (begin < end) parts.push_back({text.substr(begin, end - begin), id});
  };
  size_t covered = 0, search_from = 0;
  while (!tokens_.empty()) {
    const auto match = find(text, search_from);
    if (!match) break;
    search_from = match->end;
    if (match->token->single_word && touches_word(text, match->begin, match->end)) continue;
    const size_t begin =
        match->token->lstrip ? std::max(whitespace_begin(text, match->begin), covered) : match->begin;
    add(covered, begin, std::nullopt);
    covered = match->token->rstrip ? whitespace_end(text, match->end) : match->end;
    add(begin, covered, match->token->id);
  }
  add(covered, text.size(), std::nullopt);
  return parts;
}

}  // namespace athanor::data::tokenizer
