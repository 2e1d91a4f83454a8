#include "data/text/encoding.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include <unicode/ucnv.h>

#include "core/error.h"
#include "data/text/ascii.h"
#include "data/text/utf8.h"

namespace athanor::text {
namespace {

constexpr size_t kSampleBytes = size_t{1} << 17;

// Serves `head` first, then the rest of a source.
class PrefixedSource : public ByteSource {
 public:
  PrefixedSource(std::string head, std::unique_ptr<ByteSource> rest)
      : head_(std::move(head)), rest_(std::move(rest)) {}
  size_t read(std::span<char> out) override {
    if (at_ == head_.size()) return rest_->read(out);
    const size_t taken = head_.copy(out.data(), out.size(), at_);
    at_ += taken;
    return taken;
  }

 private:
  std::string head_;
  size_t at_ = 0;
  std::unique_ptr<ByteSource> rest_;
};

class ConvertingSource : public ByteSource {
 public:
  ConvertingSource(std::unique_ptr<ByteSource> source, const std::string& encoding, const std::string& path)
      : source_(std::move(source)), input_(size_t{1} << 16) {
    UErrorCode status = U_ZERO_ERROR;
    from_ = ucnv_open(encoding.c_str(), &status);
    if (U_FAILURE(status))
      throw core::ConfigError(
          "{}: no such encoding as {}; use auto, or a name such as utf-8, gb18030, big5, latin1", path,
          encoding);
    to_ = ucnv_open("UTF-8", &status);
    ATHANOR_CHECK(U_SUCCESS(status), "ICU cannot write UTF-8: {}", u_errorName(status));
  }
  ~ConvertingSource() override {
    ucnv_close(from_);
    ucnv_close(to_);
  }

  size_t read(std::span<char> out) override {
    char* target = out.data();
    while (target == out.data() && !is_finished_) convert(target, out.data() + out.size());
    return static_cast<size_t>(target - out.data());
  }

 private:
  void convert(char*& target, char* target_end) {
    if (next_ == end_ && !is_at_end_) {
      next_ = input_.data();
      end_ = next_ + source_->read(input_);
      is_at_end_ = next_ == end_;
    }
    UErrorCode status = U_ZERO_ERROR;
    ucnv_convertEx(to_, from_, &target, target_end, &next_, end_, pivot_.data(), &pivot_source_,
                   &pivot_target_, pivot_.data() + pivot_.size(), false, is_at_end_, &status);
    if (status == U_BUFFER_OVERFLOW_ERROR) return;
    ATHANOR_CHECK(U_SUCCESS(status), "ICU conversion: {}", u_errorName(status));
    is_finished_ = is_at_end_;
  }

  std::unique_ptr<ByteSource> source_;
  std::vector<char> input_;
  const char *next_ = nullptr, *end_ = nullptr;
  UConverter *from_ = nullptr, *to_ = nullptr;
  std::array<UChar, 4096> pivot_{};
  UChar *pivot_source_ = pivot_.data(), *pivot_target_ = pivot_.data();
  bool is_at_end_ = false, is_finished_ = false;
};

// Passes ASCII through; at the first other byte it takes a sample, guesses, and goes on with the right
// source.
class GuessingSource : public ByteSource {
 public:
  GuessingSource(std::unique_ptr<ByteSource> source, std::string path)
      : source_(std::move(source)), path_(std::move(path)) {}

  size_t read(std::span<char> out) override {
    if (decided_ != nullptr) return decided_->read(out);
    const size_t got = source_->read(out);
    const auto first = std::find_if_not(out.begin(), out.begin() + static_cast<ptrdiff_t>(got),
                                        [](char c) { return is_ascii(c); });
    const auto num_ascii = static_cast<size_t>(first - out.begin());
    if (num_ascii == got) return got;
    decide(std::string(out.data() + num_ascii, got - num_ascii));
    return num_ascii > 0 ? num_ascii : decided_->read(out);
  }

 private:
  void decide(std::string sample) {
    while (sample.size() < kSampleBytes) {
      std::array<char, 1 << 14> more;
      const size_t got = source_->read(more);
      if (got == 0) break;
      sample.append(more.data(), got);
    }
    const std::string encoding = guess_encoding(sample);
    decided_ = std::make_unique<PrefixedSource>(std::move(sample), std::move(source_));
    if (encoding != "utf-8")
      decided_ = std::make_unique<ConvertingSource>(std::move(decided_), encoding, path_);
  }

  std::unique_ptr<ByteSource> source_, decided_;
  std::string path_;
};

struct ByteOrderMark {
  std::string_view bytes;
  const char* encoding;
};
// The UTF-32 mark begins with that of UTF-16, so it comes first.
constexpr std::array<ByteOrderMark, 5> kByteOrderMarks = {{{"\xEF\xBB\xBF", "utf-8"},
                                                           {{"\xFF\xFE\0\0", 4}, "utf-32le"},
                                                           {{"\0\0\xFE\xFF", 4}, "utf-32be"},
                                                           {"\xFF\xFE", "utf-16le"},
                                                           {"\xFE\xFF", "utf-16be"}}};

std::string read_head(ByteSource& source) {
  std::string head;
  std::array<char, 4> some;
  while (head.size() < some.size()) {
    const size_t got = source.read(std::span(some).first(some.size() - head.size()));
    if (got == 0) break;
    head.append(some.data(), got);
  }
  return head;
}

bool is_utf8_name(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
  return name == "utf-8" || name == "utf8";
}

struct Score {
  size_t good = 0, bad = 0;
};

// True when nothing but continuation bytes follows a lead byte at `at`: the end of the sample may have cut
// it.
bool may_be_cut(std::string_view sample, size_t at) {
  const auto is_continuation = [](char c) { return (c & 0xC0) == 0x80; };
  const auto rest = sample.substr(at + 1);
  return rest.size() < 3 && static_cast<uint8_t>(sample[at]) >= 0xC2 &&
         std::all_of(rest.begin(), rest.end(), is_continuation);
}

Score score_utf8(std::string_view sample) {
  Score score;
  for (size_t at = 0; at < sample.size();) {
    const size_t length = sequence_length(sample, at);
    if (length > 1) ++score.good;
    if (length == 0) {
      if (score.good > 0 && may_be_cut(sample, at)) break;  // the end of the sample cut a character
      ++score.bad;
    }
    at += std::max<size_t>(length, 1);
  }
  return score;
}

// Good: two-byte characters of GB 2312's rows, which hold nearly all of modern text. Western text in Latin-1
// seldom has two high bytes in a row, and then seldom from these rows.
Score score_gb18030(std::string_view sample) {
  const auto byte = [&](size_t i) { return i < sample.size() ? static_cast<uint8_t>(sample[i]) : 0; };
  Score score;
  for (size_t at = 0; at < sample.size();) {
    const int lead = byte(at), second = byte(at + 1);
    if (lead < 0x80) {
      ++at;
    } else if (lead >= 0x81 && lead <= 0xFE && second >= 0x40 && second != 0x7F && second != 0xFF) {
      const bool is_common =
          second >= 0xA1 && ((lead >= 0xB0 && lead <= 0xF7) || (lead >= 0xA1 && lead <= 0xA3));
      ++(is_common ? score.good : score.bad);
      at += 2;
    } else if (lead >= 0x81 && lead <= 0xFE && second >= 0x30 && second <= 0x39 && byte(at + 2) >= 0x81) {
      ++score.good;
      at += 4;
    } else {
      ++score.bad;
      ++at;
    }
  }
  return score;
}

}  // namespace

std::string guess_encoding(std::string_view sample) {
  const Score utf8 = score_utf8(sample);
  if (utf8.bad == 0 || utf8.good >= 4 * utf8.bad) return "utf-8";
  const Score gb18030 = score_gb18030(sample);
  return gb18030.good > 4 * gb18030.bad ? "gb18030" : "windows-1252";
}

std::unique_ptr<ByteSource> make_utf8_source(std::unique_ptr<ByteSource> source, const std::string& encoding,
                                             const std::string& path) {
  std::string head = read_head(*source);
  const auto has_mark = [&](const ByteOrderMark& mark) {
    return std::string_view(head).starts_with(mark.bytes);
  };
  const auto mark = std::find_if(kByteOrderMarks.begin(), kByteOrderMarks.end(), has_mark);
  const bool is_auto = encoding == "auto";
  const bool is_marked =
      mark != kByteOrderMarks.end() && (is_auto || (is_utf8_name(encoding) && is_utf8_name(mark->encoding)));
  if (is_marked) head.erase(0, mark->bytes.size());
  auto whole = std::make_unique<PrefixedSource>(std::move(head), std::move(source));
  const std::string name = is_auto && is_marked ? mark->encoding : encoding;
  if (is_utf8_name(name)) return whole;
  if (name == "auto") return std::make_unique<GuessingSource>(std::move(whole), path);
  return std::make_unique<ConvertingSource>(std::move(whole), name, path);
}

}  // namespace athanor::text
