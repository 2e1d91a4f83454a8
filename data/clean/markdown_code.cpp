#include "data/clean/markdown_code.h"

#include <algorithm>
#include <optional>

namespace athanor::clean {
namespace {

// A line that begins with three or more of one mark.
struct Fence {
  size_t begin, end;  ///< from the first mark to the end of the line
  char mark;
  size_t length;
  bool may_open, may_close;
};

std::optional<Fence> read_fence(std::string_view text, size_t line, size_t end) {
  const size_t begin = text.find_first_not_of(" \t>", line);
  if (begin == std::string_view::npos || begin + 3 > end) return {};
  const char mark = text[begin];
  if (mark != '`' && mark != '~') return {};
  const auto fence = text.substr(begin, end - begin);
  const size_t length = std::min(fence.find_first_not_of(mark), fence.size());
  if (length < 3) return {};
  const auto info = fence.substr(length);
  return Fence{.begin = begin,
               .end = end,
               .mark = mark,
               .length = length,
               .may_open = mark == '~' || info.find('`') == std::string_view::npos,
               .may_close = info.find_first_not_of(" \t\r") == std::string_view::npos};
}

std::vector<Fence> find_fences(std::string_view text) {
  std::vector<Fence> fences;
  for (size_t line = 0; line < text.size();) {
    const size_t end = std::min(text.find('\n', line), text.size());
    if (const auto fence = read_fence(text, line, end)) fences.push_back(*fence);
    line = end + 1;
  }
  return fences;
}

// For every fence the next one of the same mark that is no shorter and may close it, or the number of fences.
// Walks backwards; a shorter closing fence behind another can close nothing that this one does not.
std::vector<size_t> match_fences(const std::vector<Fence>& fences) {
  std::vector<size_t> closing(fences.size(), fences.size());
  std::vector<size_t> ticks, tildes;  // closing fences behind, nearest last and shortest
  for (size_t i = fences.size(); i-- > 0;) {
    auto& behind = fences[i].mark == '`' ? ticks : tildes;
    const auto is_shorter = [&](size_t other) { return fences[other].length < fences[i].length; };
    const auto nearest = std::partition_point(behind.rbegin(), behind.rend(), is_shorter);
    if (nearest != behind.rend()) closing[i] = *nearest;
    if (!fences[i].may_close) continue;
    behind.erase(nearest.base(), behind.end());
    behind.push_back(i);
  }
  return closing;
}

}  // namespace

std::vector<FencedBlock> find_fenced_blocks(std::string_view text) {
  if (text.find("```") == std::string_view::npos && text.find("~~~") == std::string_view::npos) return {};
  const std::vector<Fence> fences = find_fences(text);
  const std::vector<size_t> closing = match_fences(fences);
  std::vector<FencedBlock> blocks;
  for (size_t i = 0; i < fences.size(); ++i) {
    if (!fences[i].may_open || closing[i] == fences.size()) continue;
    blocks.push_back({fences[i].begin, fences[closing[i]].end});
    i = closing[i];
  }
  return blocks;
}

size_t CodeSpans::run_end(size_t at) const {
  return std::min(text_.find_first_not_of('`', at), text_.size());
}

void CodeSpans::index_line(size_t at) {
  line_end_ = std::min(text_.find('\n', at), text_.size());
  last_run_.clear();
  const auto line = text_.substr(0, line_end_);
  for (; at != std::string_view::npos; at = line.find('`', run_end(at))) last_run_[run_end(at) - at] = at;
}

size_t CodeSpans::skip(size_t at) {
  if (at >= line_end_) index_line(at);
  const size_t opened = run_end(at), length = opened - at;
  const bool is_escaped = at > 0 && text_[at - 1] == '\\';
  const auto last = last_run_.find(length);
  if (is_escaped || last == last_run_.end() || last->second <= at) return opened;
  size_t closing = text_.find('`', opened);
  while (run_end(closing) - closing != length) closing = text_.find('`', run_end(closing));
  return closing + length;
}

}  // namespace athanor::clean
