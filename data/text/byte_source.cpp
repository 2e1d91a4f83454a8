#include "data/text/byte_source.h"

#include <algorithm>
#include <string_view>
#include <vector>
#include <zlib.h>
#include <zstd.h>

#include "core/error.h"

namespace athanor::text {
namespace {

constexpr size_t kReadBytes = size_t{1} << 20;

class PlainSource : public ByteSource {
 public:
  explicit PlainSource(std::unique_ptr<core::InputStream> stream) : stream_(std::move(stream)) {}

  /// The first bytes, which `read` still gives: fewer than asked for when there are no more.
  std::string_view peek(size_t num_bytes) {
    while (head_.size() < num_bytes) {
      const size_t before = head_.size();
      head_.resize(num_bytes);
      const size_t got = stream_->read(std::as_writable_bytes(std::span(head_).subspan(before)));
      head_.resize(before + got);
      if (got == 0) break;
    }
    return head_;
  }

  size_t read(std::span<char> out) override {
    if (head_.empty()) return stream_->read(std::as_writable_bytes(out));
    const size_t taken = head_.copy(out.data(), out.size());
    head_.erase(0, taken);
    return taken;
  }

 private:
  std::unique_ptr<core::InputStream> stream_;
  std::string head_;
};

class MemorySource : public ByteSource {
 public:
  explicit MemorySource(std::string_view bytes) : rest_(bytes) {}
  size_t read(std::span<char> out) override {
    const size_t taken = rest_.copy(out.data(), out.size());
    rest_.remove_prefix(taken);
    return taken;
  }

 private:
  std::string_view rest_;
};

// Compressed bytes of a file, a buffer at a time, and how many the decoder has used.
class CompressedInput {
 public:
  CompressedInput(std::unique_ptr<ByteSource> source, std::string path)
      : source_(std::move(source)), path_(std::move(path)), buffer_(kReadBytes) {}

  /// What has not been used yet, refilled when empty; empty at the end of the file.
  std::span<const char> available() {
    if (begin_ == end_) {
      begin_ = 0;
      end_ = source_->read(buffer_);
    }
    return {buffer_.data() + begin_, end_ - begin_};
  }
  void use(size_t num_bytes) {
    begin_ += num_bytes;
    used_ += num_bytes;
  }
  [[noreturn]] void fail(std::string_view format, std::string_view reason) const {
    throw core::DataError("{}: damaged {} data after byte {}: {}; fetch the file again", path_, format, used_,
                          reason);
  }

 private:
  std::unique_ptr<ByteSource> source_;
  std::string path_;
  std::vector<char> buffer_;
  size_t begin_ = 0, end_ = 0;
  uint64_t used_ = 0;
};

class GzipSource : public ByteSource {
 public:
  explicit GzipSource(CompressedInput input) : input_(std::move(input)) {
    if (inflateInit2(&stream_, 15 + 16) != Z_OK) throw core::IoError("zlib: out of memory");
  }
  ~GzipSource() override { inflateEnd(&stream_); }

  size_t read(std::span<char> out) override {
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(std::min<size_t>(out.size(), size_t{1} << 30));
    const uInt wanted = stream_.avail_out;
    while (stream_.avail_out == wanted) {
      const auto bytes = input_.available();
      if (bytes.empty()) {
        if (is_inside_member_) input_.fail("gzip", "the file ends in the middle of a member");
        return 0;
      }
      if (!is_inside_member_ && !begin_member(bytes)) return 0;
      inflate_some(bytes);
    }
    return wanted - stream_.avail_out;
  }

 private:
  // False when only padding is left: zeros after the last member are what tape archivers write.
  bool begin_member(std::span<const char> bytes) {
    if (num_members_ > 0 && bytes[0] == 0) {
      skip_zero_padding();
      return false;
    }
    if (num_members_++ > 0) inflateReset(&stream_);
    is_inside_member_ = true;
    return true;
  }

  void skip_zero_padding() {
    for (auto bytes = input_.available(); !bytes.empty(); bytes = input_.available()) {
      if (std::any_of(bytes.begin(), bytes.end(), [](char c) { return c != 0; }))
        input_.fail("gzip", "something that is no gzip member follows the last one");
      input_.use(bytes.size());
    }
  }

  void inflate_some(std::span<const char> bytes) {
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream_.avail_in = static_cast<uInt>(bytes.size());
    const int status = inflate(&stream_, Z_NO_FLUSH);
    input_.use(bytes.size() - stream_.avail_in);
    if (status == Z_STREAM_END) {
      is_inside_member_ = false;
    } else if (status != Z_OK) {
      input_.fail("gzip", stream_.msg != nullptr ? stream_.msg : "inflate failed");
    }
  }

  CompressedInput input_;
  z_stream stream_{};
  bool is_inside_member_ = false;
  uint64_t num_members_ = 0;
};

class ZstdSource : public ByteSource {
 public:
  explicit ZstdSource(CompressedInput input) : input_(std::move(input)), context_(ZSTD_createDCtx()) {
    if (context_ == nullptr) throw core::IoError("zstd: out of memory");
    ZSTD_DCtx_setParameter(context_, ZSTD_d_windowLogMax, 27);  // 128 MiB: a hostile header may ask for 2 GiB
  }
  ~ZstdSource() override { ZSTD_freeDCtx(context_); }

  size_t read(std::span<char> out) override {
    ZSTD_outBuffer output{out.data(), out.size(), 0};
    while (output.pos == 0) {
      const auto bytes = input_.available();
      ZSTD_inBuffer pending{bytes.data(), bytes.size(), 0};
      if (bytes.empty() && !is_inside_frame_) return 0;
      const size_t status = ZSTD_decompressStream(context_, &output, &pending);
      input_.use(pending.pos);
      if (ZSTD_isError(status)) input_.fail("zstd", ZSTD_getErrorName(status));
      if (bytes.empty() && output.pos == 0) input_.fail("zstd", "the file ends in the middle of a frame");
      is_inside_frame_ = status != 0;
    }
    return output.pos;
  }

 private:
  CompressedInput input_;
  ZSTD_DCtx* context_;
  bool is_inside_frame_ = false;
};

enum class Compression { kNone, kGzip, kZstd };

Compression compression_of(std::string_view first_bytes, const std::string& path) {
  if (first_bytes.starts_with("\x1f\x8b")) return Compression::kGzip;
  if (first_bytes.starts_with("\x28\xb5\x2f\xfd")) return Compression::kZstd;
  if (path.ends_with(".gz") || path.ends_with(".zst"))
    throw core::DataError(
        "{}: the name says it is compressed, but it does not begin as gzip or zstd do; fetch it again or "
        "rename it",
        path);
  return Compression::kNone;
}

}  // namespace

std::unique_ptr<ByteSource> open_byte_source(core::FileSystem& fs, const std::string& path) {
  auto plain = std::make_unique<PlainSource>(fs.open_stream(path));
  switch (compression_of(plain->peek(4), path)) {
    case Compression::kGzip:
      return std::make_unique<GzipSource>(CompressedInput(std::move(plain), path));
    case Compression::kZstd:
      return std::make_unique<ZstdSource>(CompressedInput(std::move(plain), path));
    case Compression::kNone:
      break;
  }
  return plain;
}

void check_standard_input_is_given_once(std::span<const std::string> paths) {
  if (const auto count = std::count(paths.begin(), paths.end(), "-"); count > 1)
    throw core::UsageError("- (the standard input) is given {} times, but can be read only once", count);
}

std::unique_ptr<ByteSource> make_memory_source(std::string_view bytes) {
  return std::make_unique<MemorySource>(bytes);
}

}  // namespace athanor::text
