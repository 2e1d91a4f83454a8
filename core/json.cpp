#include "core/json.h"

#include <string_view>

template class nlohmann::basic_json<>;

namespace athanor::core {
namespace {

constexpr size_t kMaxQuotedBytes = 60;

void remove_prefix(std::string& text, std::string_view prefix) {
  if (text.starts_with(prefix)) text.erase(0, prefix.size());
}

// What was read last, which may be a whole document in one string: its end is where the problem is.
void shorten_quote(std::string& text) {
  static constexpr std::string_view kQuote = "last read: '";
  const size_t found = text.find(kQuote), end = text.rfind('\'');
  if (found == std::string::npos || end < found + kQuote.size() + kMaxQuotedBytes) return;
  const size_t begin = found + kQuote.size();
  size_t kept = end - kMaxQuotedBytes;
  while (kept < end && (static_cast<unsigned char>(text[kept]) & 0xC0) == 0x80) ++kept;  // whole characters
  text.replace(begin, kept - begin, "…");
}

}  // namespace

std::string json_problem(const nlohmann::json::exception& error) {
  std::string text = error.what();
  if (const size_t end = text.find("] "); text.starts_with("[json.exception.") && end != std::string::npos)
    text.erase(0, end + 2);
  remove_prefix(text, "parse error at ");
  remove_prefix(text, "line 1, ");
  shorten_quote(text);
  return text;
}

}  // namespace athanor::core
