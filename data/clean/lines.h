// The lines of a text and what the rules ask of them.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace athanor::clean {

struct LineFacts {
  uint32_t begin_byte;  ///< without leading white space
  uint32_t end_byte;    ///< without trailing white space
  uint32_t num_chars;   ///< code points between the two
  uint64_t hash;        ///< of these bytes
  bool starts_with_bullet;
  bool ends_in_ellipsis;
  bool ends_in_punctuation;
  bool follows_blank;  ///< the first line, or a blank line stands before it: it starts a paragraph
};

struct Lines {
  std::vector<LineFacts> all;  ///< lines that are not blank
  uint64_t num_newlines = 0;
  uint64_t num_chars = 0;  ///< over `all`
};

/// Fills `lines` (its memory is reused). `text` is well-formed UTF-8 of less than 4 GiB.
void cut_into_lines(std::string_view text, Lines& lines);

}  // namespace athanor::clean
