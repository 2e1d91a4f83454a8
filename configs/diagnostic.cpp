#include "configs/diagnostic.h"

#include <algorithm>
#include <cctype>
#include <numeric>
#include <tuple>

#include <fmt/core.h>

#include "core/error.h"

namespace athanor::configs {

namespace {

constexpr size_t kMaxPrinted = 100;
constexpr size_t kMaxQuotedBytes = 60;

bool stands_before(const Diagnostic& a, const Diagnostic& b) {
  const auto place = [](const Diagnostic& d) {
    const bool is_override = d.position.line == 0 && !d.key.empty();
    return std::tuple(is_override, d.position.line, d.position.column);
  };
  return place(a) < place(b);
}

std::string lower_case(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  std::replace(lower.begin(), lower.end(), '-', '_');
  return lower;
}

// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before_last(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    std::swap(before_last, last);
    std::swap(last, row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      const bool is_swap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (is_swap) row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
  }
  return row[b.size()];
}

}  // namespace

std::string to_string(const Diagnostic& diagnostic) {
  const Position& at = diagnostic.position;
  const std::string source = at.source ? *at.source : "configuration";
  if (at.line == 0) return fmt::format("{}: error: {}", source, diagnostic.message);
  return fmt::format("{}:{}:{}: error: {}", source, at.line, at.column, diagnostic.message);
}

std::string to_string(Diagnostics diagnostics) {
  std::stable_sort(diagnostics.begin(), diagnostics.end(), stands_before);
  std::string lines;
  for (size_t i = 0; i < std::min(diagnostics.size(), kMaxPrinted); ++i) {
    lines += (i == 0 ? "" : "\n") + to_string(diagnostics[i]);
  }
  if (diagnostics.size() > kMaxPrinted) {
    lines += fmt::format("\n... and {} more errors", diagnostics.size() - kMaxPrinted);
  }
  return lines;
}

void throw_if_any(const std::string& path, const Diagnostics& diagnostics) {
  if (diagnostics.empty()) return;
  const std::string message = fmt::format("{}: {} error{}\n{}", path, diagnostics.size(),
                                          diagnostics.size() == 1 ? "" : "s", to_string(diagnostics));
  const bool is_only_missing = std::all_of(diagnostics.begin(), diagnostics.end(), [](const Diagnostic& d) {
    return d.kind == Diagnostic::Kind::kMissingInput;
  });
  if (is_only_missing) throw core::MissingInputError(message);
  throw core::ConfigError(message);
}

std::string in_backquotes(std::string_view text) {
  std::string shown = "`";
  for (const unsigned char c : text.substr(0, kMaxQuotedBytes)) {
    const bool is_control = c < 0x20 || c == 0x7f;
    shown += is_control ? fmt::format("\\x{:02x}", c) : std::string(1, static_cast<char>(c));
  }
  // A cut must not leave half a UTF-8 character behind.
  if (text.size() > kMaxQuotedBytes) {
    while ((static_cast<unsigned char>(shown.back()) & 0xc0) == 0x80) shown.pop_back();
    if (static_cast<unsigned char>(shown.back()) >= 0xc0) shown.pop_back();
    shown += "...";
  }
  return shown + "`";
}

std::string nearest_name(std::string_view name, const std::vector<std::string>& candidates) {
  constexpr size_t kLongestName = 64;
  if (name.size() > kLongestName) return "";
  const std::string wanted = lower_case(name);
  std::string nearest;
  size_t nearest_distance = std::max<size_t>(1, name.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const size_t distance = edit_distance(wanted, lower_case(candidate));
    if (distance >= nearest_distance) continue;
    nearest = candidate;
    nearest_distance = distance;
  }
  return nearest;
}

}  // namespace athanor::configs
