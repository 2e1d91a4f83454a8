#include "data/text/line_reader.h"

#include <algorithm>
#include <cstring>

namespace athanor::text {
namespace {
constexpr size_t kLineReadBytes = size_t{1} << 18;
}

LineReader::LineReader(std::unique_ptr<ByteSource> source, uint64_t max_line_bytes)
    : source_(std::move(source)), max_line_bytes_(max_line_bytes), buffer_(kLineReadBytes, '\0') {}

bool LineReader::next(Line& line) {
  size_t searched = 0;
  for (;;) {
    const char* start = buffer_.data() + begin_;
    const auto* found =
        static_cast<const char*>(std::memchr(start + searched, '\n', end_ - begin_ - searched));
    if (found != nullptr) return finish(line, static_cast<size_t>(found - start), 1);
    searched = end_ - begin_;
    if (searched > max_line_bytes_) {
      skip_rest_of_line();
      line = {.bytes = {}, .number = ++num_lines_, .is_overlong = true};
      return true;
    }
    if (!refill()) return searched > 0 && finish(line, searched, 0);
  }
}

bool LineReader::finish(Line& line, size_t length, size_t end_length) {
  std::string_view bytes(buffer_.data() + begin_, length);
  begin_ += length + end_length;
  const bool is_overlong = length > max_line_bytes_;
  if (bytes.ends_with('\r')) bytes.remove_suffix(1);
  line = {
      .bytes = is_overlong ? std::string_view() : bytes, .number = ++num_lines_, .is_overlong = is_overlong};
  return true;
}

// Reads more behind what is pending, moving that to the front and growing the buffer when it is full.
bool LineReader::refill() {
  if (is_at_end_) return false;
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (end_ == buffer_.size()) buffer_.resize(buffer_.size() * 2);
  const size_t got = source_->read({buffer_.data() + end_, buffer_.size() - end_});
  end_ += got;
  is_at_end_ = got == 0;
  return got > 0;
}

void LineReader::skip_rest_of_line() {
  for (begin_ = end_ = 0; refill(); begin_ = end_ = 0) {
    const auto* found = static_cast<const char*>(std::memchr(buffer_.data(), '\n', end_));
    if (found == nullptr) continue;
    begin_ = static_cast<size_t>(found - buffer_.data()) + 1;
    return;
  }
}

}  // namespace athanor::text
