// Where a Markdown text holds code: fenced blocks and code spans (CommonMark 0.31, sections 4.5 and 6.1).
#pragma once

#include <cstddef>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace athanor::clean {

/// From the opening fence's first mark to the end of the closing fence's line, without its newline.
struct FencedBlock {
  size_t begin, end;
};

/// The blocks between a line of at least three ` or ~ and the next one that closes it, in order. A fence may
/// be indented or quoted (`> `) to any depth; one that never closes opens no block.
std::vector<FencedBlock> find_fenced_blocks(std::string_view text);

/// Finds code spans for a walk over a text from its start. Unlike CommonMark's they end on their line: with
/// quotation marks made of backticks, a page would lose its structure between two of them.
class CodeSpans {
 public:
  explicit CodeSpans(std::string_view text) : text_(text) {}

  /// `at` is the first of a run of backticks, behind all that were asked for before. The byte after the code
  /// span that it opens, or after the run when it opens none.
  size_t skip(size_t at);

 private:
  size_t run_end(size_t at) const;
  void index_line(size_t at);

  std::string_view text_;
  size_t line_end_ = 0;                          ///< of the line that `last_run_` knows
  std::unordered_map<size_t, size_t> last_run_;  ///< by length: where the line's last run of it begins
};

}  // namespace athanor::clean
