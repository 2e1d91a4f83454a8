#include "data/clean/privacy.h"

#include <algorithm>
#include <cstdint>

#include "data/text/ascii.h"

namespace athanor::clean {
namespace {

int number(std::string_view digits) {
  int value = 0;
  for (char c : digits) value = value * 10 + (c - '0');
  return value;
}

bool is_mobile(std::string_view digits) {
  return digits.size() == 11 && digits[0] == '1' && digits[1] >= '3';
}

// A group of digits in which single blanks or hyphens may stand.
struct DigitGroup {
  size_t end = 0;  ///< after the last digit
  std::string digits;
  std::string layout;  ///< lengths of the runs between separators, one character each: "344", or ";" for one
                       ///< run of 11
};

DigitGroup read_digits(std::string_view text, size_t at) {
  DigitGroup group;
  while (at < text.size() && group.digits.size() < 24) {
    const size_t begin = at;
    while (at < text.size() && text::is_ascii_digit(text[at]) && at - begin < 24) ++at;
    group.digits.append(text, begin, at - begin);
    group.layout.push_back(static_cast<char>('0' + (at - begin)));
    group.end = at;
    const bool is_separated =
        at + 1 < text.size() && (text[at] == ' ' || text[at] == '-') && text::is_ascii_digit(text[at + 1]);
    if (!is_separated) break;
    ++at;
  }
  return group;
}

// Cards are printed in fours, mobile numbers as 3-4-4; other groupings are rows of numbers.
bool is_card_layout(std::string_view layout) {
  return layout.size() == 1 ||
         (layout.substr(0, layout.size() - 1).find_first_not_of('4') == std::string_view::npos &&
          layout.back() <= '4');
}
bool is_mobile_layout(std::string_view layout) {
  return layout == ";" || layout == "344";
}

bool is_public_address(const int (&part)[4]) {
  const bool is_private =
      part[0] == 10 || part[0] == 127 || part[0] == 0 || (part[0] == 192 && part[1] == 168) ||
      (part[0] == 172 && part[1] >= 16 && part[1] <= 31) || (part[0] == 169 && part[1] == 254);
  return !is_private && part[0] < 224;
}

// The end of a public IPv4 address that begins at `at`, or `at`.
size_t ip_address_end(std::string_view text, size_t at) {
  int part[4];
  size_t next = at;
  for (int i = 0; i < 4; ++i) {
    const size_t begin = next;
    while (next < text.size() && next - begin < 3 && text::is_ascii_digit(text[next])) ++next;
    if (next == begin) return at;
    part[i] = number(text.substr(begin, next - begin));
    if (part[i] > 255 || (i < 3 && (next >= text.size() || text[next++] != '.'))) return at;
  }
  const bool goes_on =
      next < text.size() &&
      (text::is_ascii_letter_or_digit(text[next]) ||
       (text[next] == '.' && next + 1 < text.size() && text::is_ascii_digit(text[next + 1])));
  return goes_on || !is_public_address(part) ? at : next;
}

bool is_local_char(char c) {
  return text::is_ascii_letter_or_digit(c) || c == '.' || c == '_' || c == '%' || c == '+' || c == '-';
}
bool is_domain_char(char c) {
  return text::is_ascii_letter_or_digit(c) || c == '.' || c == '-';
}

// Rewrites a text, replacing what it recognises.
class Masker {
 public:
  Masker(const configs::CleanPrivacy& options, std::string& text) : options_(options), text_(text) {}

  PrivacyCounts run() {
    for (size_t at = 0; at < text_.size();) {
      const char c = text_[at];
      const size_t end = c == '@' ? email_end(at) : text::is_ascii_digit(c) ? number_end(at) : at;
      at = end > at ? end : c != '@' && text::is_ascii_digit(c) ? skip_digits(at) : at + 1;
    }
    if (copied_ > 0) {
      out_.append(text_, copied_);
      text_.swap(out_);
    }
    return counts_;
  }

 private:
  size_t skip_digits(size_t at) const {
    while (at < text_.size() && text::is_ascii_digit(text_[at])) ++at;
    return at;
  }

  size_t replace(size_t begin, size_t end, std::string_view tag, size_t& count) {
    out_.append(text_, copied_, begin - copied_).append(tag);
    copied_ = end;
    ++count;
    return end;
  }

  size_t email_end(size_t at) {
    if (!options_.email) return at;
    size_t begin = at, end = at + 1;
    while (begin > copied_ && at - begin < 64 && is_local_char(text_[begin - 1])) --begin;
    while (begin < at && !text::is_ascii_letter_or_digit(text_[begin])) ++begin;
    while (end < text_.size() && end - at < 254 && is_domain_char(text_[end])) ++end;
    while (end > at + 1 && !text::is_ascii_letter_or_digit(text_[end - 1])) --end;
    const auto domain = std::string_view(text_).substr(at + 1, end - at - 1);
    const size_t dot = domain.rfind('.');
    const bool has_domain =
        dot != std::string_view::npos && dot > 0 && domain.size() - dot > 2 &&
        std::all_of(domain.begin() + static_cast<ptrdiff_t>(dot) + 1, domain.end(), text::is_ascii_letter);
    return begin < at && has_domain ? replace(begin, end, "<EMAIL>", counts_.emails) : at;
  }

  bool touches_on_the_left(size_t at) const {
    if (at == 0) return false;
    const char before = text_[at - 1];
    const bool is_decimal = before == '.' && at > 1 && text::is_ascii_digit(text_[at - 2]);
    return text::is_ascii_letter_or_digit(before) || before == '_' || is_decimal;
  }
  bool touches_on_the_right(size_t end) const {
    if (end >= text_.size()) return false;
    const bool is_decimal =
        text_[end] == '.' && end + 1 < text_.size() && text::is_ascii_digit(text_[end + 1]);
    return text::is_ascii_letter_or_digit(text_[end]) || text_[end] == '_' || is_decimal;
  }

  size_t number_end(size_t at) {
    if (touches_on_the_left(at)) return at;
    if (options_.ip_address)
      if (const size_t end = ip_address_end(text_, at); end > at)
        return replace(at, end, "<IP>", counts_.ip_addresses);
    const DigitGroup group = read_digits(text_, at);
    if (group.digits.size() < 11) return at;
    if (const size_t end = long_number_end(at, group); end > at) return end;
    return at;
  }

  size_t long_number_end(size_t at, const DigitGroup& group) {
    const std::string_view run(text_.data() + at, static_cast<size_t>(group.layout[0] - '0'));
    const bool ends_in_x =
        run.size() == 17 && at + 17 < text_.size() && (text_[at + 17] == 'X' || text_[at + 17] == 'x');
    const std::string_view id(text_.data() + at, run.size() + (ends_in_x ? 1 : 0));
    if (options_.id_card && is_id_card(id) && !touches_on_the_right(at + id.size()))
      return replace(at, at + id.size(), "<ID_CARD>", counts_.id_cards);
    if (options_.mobile_number && is_mobile(run) && !touches_on_the_right(at + 11))
      return replace(at, at + 11, "<PHONE>", counts_.mobile_numbers);
    if (touches_on_the_right(group.end)) return at;
    if (options_.bank_card && is_card_layout(group.layout) && is_bank_card(group.digits))
      return replace(at, group.end, "<BANK_CARD>", counts_.bank_cards);
    return options_.mobile_number ? mobile_end(at, group) : at;
  }

  size_t mobile_end(size_t at, const DigitGroup& group) {
    std::string_view digits = group.digits, layout = group.layout;
    const bool has_country =
        digits.size() == 13 && digits.starts_with("86") && (layout == "=" || layout[0] == '2');
    if (has_country) digits.remove_prefix(2);
    if (has_country) layout = layout == "=" ? ";" : layout.substr(1);
    if (!is_mobile(digits) || !is_mobile_layout(layout)) return at;
    const size_t begin = has_country && at > 0 && text_[at - 1] == '+' ? at - 1 : at;
    return replace(begin, group.end, "<PHONE>", counts_.mobile_numbers);
  }

  const configs::CleanPrivacy& options_;
  std::string& text_;
  std::string out_;
  size_t copied_ = 0;
  PrivacyCounts counts_;
};

}  // namespace

bool is_id_card(std::string_view id) {
  static constexpr int kWeights[17] = {7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2};
  if (id.size() != 18 || !std::all_of(id.begin(), id.end() - 1, text::is_ascii_digit) || id[0] == '0' ||
      id[0] == '9')
    return false;
  const int year = number(id.substr(6, 4)), month = number(id.substr(10, 2)), day = number(id.substr(12, 2));
  if (year < 1900 || year > 2100 || month < 1 || month > 12 || day < 1 || day > 31) return false;
  int sum = 0;
  for (size_t i = 0; i < 17; ++i) sum += (id[i] - '0') * kWeights[i];
  const char expected = "10X98765432"[sum % 11];
  return expected == (id[17] == 'x' ? 'X' : id[17]);
}

bool is_bank_card(std::string_view digits) {
  if (digits.size() < 16 || digits.size() > 19 || digits[0] < '3' || digits[0] > '6') return false;
  int sum = 0;
  for (size_t i = 0; i < digits.size(); ++i) {
    const int digit = digits[digits.size() - 1 - i] - '0';
    sum += i % 2 == 0 ? digit : digit * 2 - (digit > 4 ? 9 : 0);
  }
  return sum % 10 == 0;
}

PrivacyCounts mask_personal_data(const configs::CleanPrivacy& options, std::string& text) {
  return Masker(options, text).run();
}

}  // namespace athanor::clean
