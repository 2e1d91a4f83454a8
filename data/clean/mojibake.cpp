#include "data/clean/mojibake.h"

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include <unicode/ucnv.h>

#include "core/error.h"
#include "data/text/utf8.h"

namespace athanor::clean {
namespace {

// What Windows-1252 shows for the bytes 0x80-0x9F; 0 where it has nothing (Latin-1's control character is
// used then).
constexpr std::array<char32_t, 32> kWindows1252 = {
    0x20AC, 0,      0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160,
    0x2039, 0x0152, 0,      0x017D, 0,      0,      0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
    0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0,      0x017E, 0x0178};

// The byte that Windows-1252 or Latin-1 shows as a character; 0 for those that neither shows and for ASCII.
using ByteOfCharacter = std::array<uint8_t, 0x2200>;
constexpr ByteOfCharacter kByteOfCharacter = [] {
  ByteOfCharacter table{};
  for (size_t byte = 0x80; byte < 0x100; ++byte) table[byte] = static_cast<uint8_t>(byte);
  for (size_t i = 0; i < kWindows1252.size(); ++i)
    if (kWindows1252[i] != 0) table[kWindows1252[i]] = static_cast<uint8_t>(0x80 + i);
  return table;
}();

int western_byte(char32_t c) {
  const int byte = c < kByteOfCharacter.size() ? kByteOfCharacter[c] : 0;
  return byte != 0 ? byte : -1;
}

// A run of characters that stand for bytes above 0x7F.
struct Run {
  size_t begin, end;
  size_t num_chars;
  std::string bytes;
};

bool is_western_lead(char c) {
  const auto lead = static_cast<uint8_t>(c);
  return lead == 0xC2 || lead == 0xC3 || lead == 0xC5 || lead == 0xC6 || lead == 0xCB || lead == 0xE2;
}

std::vector<Run> find_runs(std::string_view text) {
  std::vector<Run> runs;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    if (!is_western_lead(text[at])) {
      ++at;
      continue;
    }
    Run run{begin, begin, 0, ""};
    while (at < text.size() && is_western_lead(text[at])) {
      size_t next = at;
      const int byte = western_byte(text::decode(text.data(), next));
      if (byte < 0) break;
      run.bytes.push_back(static_cast<char>(byte));
      ++run.num_chars;
      at = run.end = next;
    }
    if (at == begin) text::decode(text.data(), at);
    if (run.num_chars > 1) runs.push_back(std::move(run));
  }
  return runs;
}

bool is_well_formed(const Run& run) {
  return text::is_valid_utf8(run.bytes);
}

bool repair_western_once(std::string& text) {
  const auto runs = find_runs(text);
  const auto num_good = static_cast<size_t>(std::count_if(runs.begin(), runs.end(), is_well_formed));
  const bool has_long = std::any_of(runs.begin(), runs.end(),
                                    [](const Run& r) { return r.num_chars >= 3 && is_well_formed(r); });
  if ((num_good < 2 && !has_long) || num_good * 10 < runs.size() * 9) return false;
  std::string repaired;
  size_t copied = 0;
  for (const Run& run : runs) {
    if (!is_well_formed(run)) continue;
    repaired.append(text, copied, run.begin - copied).append(run.bytes);
    copied = run.end;
  }
  text = repaired.append(text, copied);
  return true;
}

// The commonest characters that two or three bytes of Chinese UTF-8 turn into when read as GB18030.
constexpr std::u32string_view kGarbled =
    U"鐨勬槸涓鍦锛銆浜鏄浠鏈鍜鎴鍒璇鏃涔闂绔鍏涜鐞炴湁杩欎釜浠栫殑鎵瑰緢屽彲埌鎬";

// One bit per ideograph.
const std::vector<bool>& garbled_ideographs() {
  static const std::vector<bool> table = [] {
    std::vector<bool> bits(0x10000);
    for (char32_t c : kGarbled) bits[c] = true;
    return bits;
  }();
  return table;
}

struct ConverterCloser {
  void operator()(UConverter* converter) const { ucnv_close(converter); }
};

bool is_han(char32_t c) {
  return c >= 0x4E00 && c <= 0x9FFF;
}

double garbled_share(std::string_view text) {
  const auto& garbled = garbled_ideographs();
  size_t num_han = 0, num_garbled = 0;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = text::decode(text.data(), at);
    if (!is_han(c)) continue;
    ++num_han;
    num_garbled += garbled[c];
  }
  return num_han < 8 ? 0 : static_cast<double>(num_garbled) / static_cast<double>(num_han);
}

double replaced_share(std::string_view text) {
  static constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
  size_t num_replaced = 0;
  for (size_t at = text.find(kReplacement); at != std::string_view::npos;
       at = text.find(kReplacement, at + 3))
    ++num_replaced;
  return num_replaced == 0
             ? 0
             : static_cast<double>(num_replaced) / static_cast<double>(text::count_code_points(text));
}

// The text as GB18030 bytes, or empty when a character has none of two bytes.
std::string to_gb18030(std::string_view text) {
  UErrorCode status = U_ZERO_ERROR;
  const std::unique_ptr<UConverter, ConverterCloser> gb(ucnv_open("gb18030", &status)),
      utf8(ucnv_open("UTF-8", &status));
  ATHANOR_CHECK(U_SUCCESS(status), "ICU has no GB18030: {}", u_errorName(status));
  std::string bytes(text.size() * 2 + 16, '\0');
  char* target = bytes.data();
  const char* source = text.data();
  ucnv_convertEx(gb.get(), utf8.get(), &target, bytes.data() + bytes.size(), &source,
                 text.data() + text.size(), nullptr, nullptr, nullptr, nullptr, true, true, &status);
  bytes.resize(U_SUCCESS(status) ? static_cast<size_t>(target - bytes.data()) : 0);
  return bytes;
}

bool repair_gb18030(std::string& text) {
  if (garbled_share(text) < 0.15) return false;
  std::string bytes = to_gb18030(text);
  if (bytes.empty() || !text::is_valid_utf8(bytes)) return false;
  text.swap(bytes);
  return true;
}

// Letters that open a garbled sequence: Â Ã â ä å æ ç è é followed by a character that stands for 0x80-0xBF.
bool is_western_garbled(std::string_view text) {
  size_t num_pairs = 0, num_letters = 0;
  int previous = -1;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = text::decode(text.data(), at);
    const int byte = western_byte(c);
    num_letters += c > 0x20;
    num_pairs += previous >= 0xC2 && previous <= 0xF4 && byte >= 0x80 && byte <= 0xBF;
    previous = byte;
  }
  return num_pairs >= 4 && num_pairs * 20 > num_letters;
}

bool contains(std::string_view text, std::string_view what) {
  return text.find(what) != std::string_view::npos;
}

}  // namespace

bool repair_mojibake(std::string& text) {
  bool has_changed = false;
  for (int layer = 0; layer < 3 && repair_western_once(text); ++layer) has_changed = true;
  return repair_gb18030(text) || has_changed;
}

bool is_mojibake(std::string_view text, double max_replaced_share) {
  return replaced_share(text) > max_replaced_share || contains(text, "锟斤拷") || contains(text, "烫烫烫") ||
         contains(text, "屯屯屯屯") || garbled_share(text) > 0.25 || is_western_garbled(text);
}

}  // namespace athanor::clean
