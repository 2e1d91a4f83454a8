#include "data/synth/grammar.h"

#include <algorithm>
#include <charconv>

#include "core/error.h"

namespace athanor::synth {
namespace {

std::string_view trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

int64_t parse_number(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  ATHANOR_CHECK(error == std::errc() && end == text.data() + text.size(), "\"{}\" in a grammar is no number",
                text);
  return value;
}

// \n is a line end, \\ a backslash.
std::string unescape(std::string_view text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    const char next = text[i] == '\\' && i + 1 < text.size() ? text[i + 1] : '\0';
    const bool is_escape = next == 'n' || next == '\\';
    result.push_back(!is_escape ? text[i] : next == 'n' ? '\n' : '\\');
    i += is_escape;
  }
  return result;
}

// Lines of a grammar, with continuation lines joined to the one they continue.
std::vector<std::string> logical_lines(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const auto line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (trim(line).empty() || line.front() == '#') continue;
    if (line.front() == ' ')
      lines.back().append(" ").append(trim(line));
    else
      lines.emplace_back(trim(line));
  }
  return lines;
}

int64_t term_value(std::string_view term, const Variables& variables) {
  if (term.find_first_not_of("0123456789") == std::string_view::npos) return parse_number(term);
  const auto found = variables.find(term);
  ATHANOR_CHECK(found != variables.end(), "the variable \"{}\" of a grammar has no value yet", term);
  return parse_number(found->second);
}

}  // namespace

uint32_t Choices::word() {
  if (num_left_ == 0) {
    words_ = rng_.words(next_++);
    num_left_ = 4;
  }
  return words_[static_cast<size_t>(--num_left_)];
}

uint64_t Choices::below(uint64_t bound) {
  return (uint64_t{word()} * bound) >> 32;
}

int64_t evaluate(std::string_view expression, const Variables& variables) {
  int64_t sum = 0, product = 0;
  char pending = '+';
  for (size_t at = 0; at <= expression.size();) {
    const size_t end = std::min(expression.find_first_of("+-*/", at), expression.size());
    const int64_t value = term_value(expression.substr(at, end - at), variables);
    ATHANOR_CHECK(pending != '/' || value != 0, "division by zero in \"{}\"", expression);
    if (pending == '*')
      product *= value;
    else if (pending == '/')
      product /= value;
    else {
      sum += product;
      product = pending == '-' ? -value : value;
    }
    if (end == expression.size()) break;
    pending = expression[end];
    at = end + 1;
  }
  return sum + product;
}

Grammar::Grammar(const std::vector<std::string_view>& texts) {
  for (auto text : texts)
    for (const auto& line : logical_lines(text)) declare(line);
  link();
}

void Grammar::declare(std::string_view line) {
  const size_t colon = line.find(':');
  ATHANOR_CHECK(colon != std::string_view::npos, "no symbol in the grammar line \"{}\"", line);
  const std::string name(trim(line.substr(0, colon)));
  ATHANOR_CHECK(index_.emplace(name, static_cast<int>(symbols_.size())).second,
                "the symbol {} is declared twice", name);
  symbols_.push_back({name, {}});
  for (auto rest = line.substr(colon + 1);;) {
    const size_t bar = std::min(rest.find('|'), rest.size());
    symbols_.back().alternatives.push_back(compile(trim(rest.substr(0, bar))));
    if (bar == rest.size()) break;
    rest.remove_prefix(bar + 1);
  }
}

Grammar::Alternative Grammar::compile(std::string_view text) const {
  Alternative pieces;
  for (bool is_slot = false; !text.empty() || is_slot; is_slot = !is_slot) {
    const size_t tilde = text.find('~');
    ATHANOR_CHECK(!is_slot || tilde != std::string_view::npos, "an open slot in a grammar: \"{}\"", text);
    const auto part = text.substr(0, tilde);
    if (is_slot)
      pieces.push_back(compile_slot(part));
    else if (!part.empty())
      pieces.push_back({Action::kLiteral, unescape(part), ""});
    text.remove_prefix(std::min(part.size() + 1, text.size()));
    if (text.empty() && tilde == std::string_view::npos) break;
  }
  return pieces;
}

Grammar::Piece Grammar::compile_slot(std::string_view slot) const {
  if (slot.starts_with('=')) return {Action::kExpression, std::string(slot.substr(1)), ""};
  Piece piece{Action::kSymbol, "", ""};
  piece.is_silent = slot.starts_with('!');
  if (piece.is_silent) slot.remove_prefix(1);
  if (const size_t equals = slot.find('='); equals != std::string_view::npos) {
    piece.variable = slot.substr(0, equals);
    slot.remove_prefix(equals + 1);
  }
  if (slot.starts_with('#')) {
    const size_t dash = slot.find('-');
    piece.action = Action::kNumber;
    piece.low = parse_number(slot.substr(1, dash - 1));
    piece.high = parse_number(slot.substr(dash + 1));
    return piece;
  }
  if (slot.starts_with('*')) piece.action = Action::kDistinct;
  if (slot.starts_with('^')) piece.action = Action::kUpperCase;
  piece.text = slot.substr(piece.action == Action::kSymbol ? 0 : 1);
  return piece;
}

// A name that no line declares must be a variable; whether it has a value shows when it is used.
void Grammar::link() {
  for (auto& symbol : symbols_)
    for (auto& alternative : symbol.alternatives)
      for (auto& piece : alternative)
        if (const auto found = index_.find(piece.text); found != index_.end()) piece.symbol = found->second;
}

size_t Grammar::num_alternatives(std::string_view symbol) const {
  const auto found = index_.find(symbol);
  return found == index_.end() ? 0 : symbols_[static_cast<size_t>(found->second)].alternatives.size();
}

// One document being written.
struct Grammar::Expansion {
  const Grammar& grammar;
  Choices& choices;
  Variables& variables;
  std::string& out;
  std::map<int, uint64_t> used;  ///< by symbol: a bit per alternative taken

  void expand(int symbol, bool is_distinct) {
    const auto& alternatives = grammar.symbols_[static_cast<size_t>(symbol)].alternatives;
    size_t picked = choices.below(alternatives.size());
    if (is_distinct && alternatives.size() <= 64) picked = next_unused(symbol, picked, alternatives.size());
    for (const Piece& piece : alternatives[picked]) write(piece);
  }

  size_t next_unused(int symbol, size_t picked, size_t num_alternatives) {
    uint64_t& taken = used[symbol];
    const uint64_t all = num_alternatives == 64 ? ~uint64_t{0} : (uint64_t{1} << num_alternatives) - 1;
    if (taken == all) taken = 0;
    while ((taken >> picked & 1) != 0) picked = (picked + 1) % num_alternatives;
    taken |= uint64_t{1} << picked;
    return picked;
  }

  void write(const Piece& piece) {
    const size_t begin = out.size();
    if (piece.action == Action::kLiteral) {
      out.append(piece.text);
    } else if (piece.action == Action::kExpression) {
      out.append(std::to_string(evaluate(piece.text, variables)));
    } else if (!write_known(piece)) {
      write_new(piece);
    }
    const bool raises =
        piece.action == Action::kUpperCase && begin < out.size() && out[begin] >= 'a' && out[begin] <= 'z';
    if (raises) out[begin] = static_cast<char>(out[begin] - 32);
  }

  bool write_known(const Piece& piece) {
    const auto found = variables.find(piece.variable.empty() ? piece.text : piece.variable);
    if (found == variables.end()) return false;
    out.append(found->second);
    return true;
  }

  void write_new(const Piece& piece) {
    const size_t begin = out.size();
    if (piece.action == Action::kNumber) {
      const auto range = static_cast<uint64_t>(piece.high - piece.low + 1);
      out.append(std::to_string(piece.low + static_cast<int64_t>(choices.below(range))));
    } else {
      ATHANOR_CHECK(piece.symbol >= 0, "neither symbol nor variable: \"{}\"", piece.text);
      expand(piece.symbol, piece.action == Action::kDistinct);
    }
    if (!piece.variable.empty()) variables[piece.variable] = out.substr(begin);
    if (piece.is_silent) out.resize(begin);
  }
};

void Grammar::expand(std::string_view symbol, Choices& choices, Variables& variables,
                     std::string& out) const {
  const auto found = index_.find(symbol);
  ATHANOR_CHECK(found != index_.end(), "no symbol {} in the grammar", symbol);
  Expansion{*this, choices, variables, out, {}}.expand(found->second, false);
}

}  // namespace athanor::synth
