// A small text grammar: the content of the sample corpus is written as rules, and one engine turns them into
// documents.
//
// A grammar is text; every line `name: alternative | alternative` (continued on lines that begin with a
// blank) declares a symbol. In an alternative
//   ~name~          expands the symbol, one alternative at random
//   ~*name~         the same, without taking an alternative twice in one document while others are left
//   ~v=name~        expands it once per document and remembers the text as the variable v
//   ~!v=name~       remembers without writing it down
//   ~v=#2-9~        a whole number from 2 to 9, remembered; ~#2-9~ without remembering
//   ~v~             the variable v, when there is one (else the symbol of that name)
//   ~=a*b+2~        the value of whole-number variables and numbers under + - * /, products first
//   ~^name~         expands the symbol and makes its first letter upper case
//   \n, \\          a line end, a backslash
// A line that begins with # is a comment.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/rng.h"

namespace athanor::synth {

/// A sequence of random choices that belongs to one document: a pure function of (seed, name, document).
class Choices {
 public:
  Choices(const core::CounterRng& rng, uint64_t document) : rng_(rng), next_(document << 24) {}
  /// Uniform in [0, bound). Requires bound > 0.
  uint64_t below(uint64_t bound);
  double uniform() { return static_cast<double>(word()) * 0x1p-32; }

 private:
  uint32_t word();
  const core::CounterRng& rng_;
  uint64_t next_;
  std::array<uint32_t, 4> words_{};
  int num_left_ = 0;
};

using Variables = std::map<std::string, std::string, std::less<>>;

class Grammar {
 public:
  /// Compiles the texts. Throws InternalError for a symbol that nothing declares and for anything malformed.
  explicit Grammar(const std::vector<std::string_view>& texts);

  /// Expands `symbol`, appending to `out`. `variables` may be set before; they are added to.
  void expand(std::string_view symbol, Choices& choices, Variables& variables, std::string& out) const;

  size_t num_alternatives(std::string_view symbol) const;

 private:
  enum class Action : uint8_t { kLiteral, kSymbol, kDistinct, kNumber, kExpression, kUpperCase };
  struct Piece {
    Action action;
    std::string text;      ///< literal, expression, or the name looked up
    std::string variable;  ///< where to remember; may be empty
    int symbol = -1;
    int64_t low = 0, high = 0;
    bool is_silent = false;
  };
  using Alternative = std::vector<Piece>;
  struct Symbol {
    std::string name;
    std::vector<Alternative> alternatives;
  };
  struct Expansion;

  void declare(std::string_view line);
  Alternative compile(std::string_view text) const;
  Piece compile_slot(std::string_view slot) const;
  void link();

  std::vector<Symbol> symbols_;
  std::map<std::string, int, std::less<>> index_;
};

/// The value of an expression as described above. Throws InternalError for an unknown variable or a division
/// by zero.
int64_t evaluate(std::string_view expression, const Variables& variables);

}  // namespace athanor::synth
