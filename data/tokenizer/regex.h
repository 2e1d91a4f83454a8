// The general path for splitting and replacing rules: Oniguruma's (Ruby's) syntax, which tokenizer.json files
// use, run by PCRE2. The rules of the well-known models do not come here, see piece_scanner.h.
//
// PCRE2 brings its own Unicode version for \p{...}, so characters assigned after it may be classed otherwise
// here.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace athanor::data::tokenizer {

/// Bytes [begin, end) of a text.
struct Span {
  size_t begin;
  size_t end;
};

/// A compiled pattern, literal or regular expression. Immutable and thread-safe.
class Pattern {
 public:
  /// Matches exactly this text; an empty one matches between all characters.
  static Pattern literal(std::string text);
  /// `where` names the place of the pattern in errors. Throws DataError: bad syntax, or a construct that the
  /// two engines read differently (set intersection, nested sets, \h, inline m).
  static Pattern regex(std::string_view oniguruma, const std::string& where);

  /// The matches in `text` (valid UTF-8), leftmost first, without overlap; an empty match right after another
  /// match is not one. Throws DataError when matching takes more than the engine's limit of steps or memory.
  std::vector<Span> find_all(std::string_view text) const;
  /// `text` with every match replaced by `content`, which is taken literally.
  std::string replace_all(std::string_view text, std::string_view content) const;

 private:
  struct Compiled;
  std::vector<Span> find_literals(std::string_view text) const;

  std::string literal_;
  std::shared_ptr<const Compiled> compiled_;  ///< null: literal
};

/// `pattern` rewritten for PCRE2 with UTF, UCP and MULTILINE. Throws DataError as `Pattern::regex` does.
std::string oniguruma_to_pcre2(std::string_view pattern, const std::string& where);

}  // namespace athanor::data::tokenizer
