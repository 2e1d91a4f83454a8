#include "data/text/text_writer.h"

#include <filesystem>
#include <vector>
#include <zlib.h>
#include <zstd.h>

#include "core/error.h"
#include "core/output_files.h"

namespace athanor::text {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;

// Turns what is appended into what goes to disk.
class Encoder {
 public:
  virtual ~Encoder() = default;
  virtual void encode(std::string_view bytes, core::WritableFile& file) = 0;
  virtual void finish(core::WritableFile&) {}
};

class PlainEncoder : public Encoder {
 public:
  void encode(std::string_view bytes, core::WritableFile& file) override { file.append(bytes); }
};

class GzipEncoder : public Encoder {
 public:
  GzipEncoder() : out_(kBufferBytes) {
    if (deflateInit2(&stream_, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
      throw core::IoError("zlib: out of memory");
  }
  ~GzipEncoder() override { deflateEnd(&stream_); }
  void encode(std::string_view bytes, core::WritableFile& file) override { run(bytes, Z_NO_FLUSH, file); }
  void finish(core::WritableFile& file) override { run({}, Z_FINISH, file); }

 private:
  void run(std::string_view bytes, int flush, core::WritableFile& file) {
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream_.avail_in = static_cast<uInt>(bytes.size());
    do {
      stream_.next_out = reinterpret_cast<Bytef*>(out_.data());
      stream_.avail_out = static_cast<uInt>(out_.size());
      deflate(&stream_, flush);
      file.append(std::string_view(out_.data(), out_.size() - stream_.avail_out));
    } while (stream_.avail_out == 0);
  }

  z_stream stream_{};
  std::vector<char> out_;
};

class ZstdEncoder : public Encoder {
 public:
  ZstdEncoder() : context_(ZSTD_createCCtx()), out_(ZSTD_CStreamOutSize()) {
    if (context_ == nullptr) throw core::IoError("zstd: out of memory");
    ZSTD_CCtx_setParameter(context_, ZSTD_c_compressionLevel, 3);
    ZSTD_CCtx_setParameter(context_, ZSTD_c_checksumFlag, 1);
  }
  ~ZstdEncoder() override { ZSTD_freeCCtx(context_); }
  void encode(std::string_view bytes, core::WritableFile& file) override {
    run(bytes, ZSTD_e_continue, file);
  }
  void finish(core::WritableFile& file) override { run({}, ZSTD_e_end, file); }

 private:
  void run(std::string_view bytes, ZSTD_EndDirective end, core::WritableFile& file) {
    ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    size_t remaining = 0;
    do {
      ZSTD_outBuffer out{out_.data(), out_.size(), 0};
      remaining = ZSTD_compressStream2(context_, &out, &in, end);
      if (ZSTD_isError(remaining)) throw core::IoError("zstd: {}", ZSTD_getErrorName(remaining));
      file.append(std::string_view(out_.data(), out.pos));
    } while (end == ZSTD_e_end ? remaining != 0 : in.pos < in.size);
  }

  ZSTD_CCtx* context_;
  std::vector<char> out_;
};

std::unique_ptr<Encoder> make_encoder(std::string_view path) {
  if (path.ends_with(".gz")) return std::make_unique<GzipEncoder>();
  if (path.ends_with(".zst")) return std::make_unique<ZstdEncoder>();
  return std::make_unique<PlainEncoder>();
}

std::string directory_of(const std::string& path) {
  const auto parent = std::filesystem::path(path).parent_path();
  return parent.empty() ? "." : parent.string();
}

}  // namespace

struct TextWriter::State {
  State(core::FileSystem& file_system, const std::string& final_path)
      : fs(file_system),
        path(final_path),
        unfinished(core::begin_output(path)),
        encoder(make_encoder(path)),
        file(fs.create(unfinished.path())) {}

  core::FileSystem& fs;
  std::string path;
  core::UnfinishedOutput unfinished;
  std::unique_ptr<Encoder> encoder;
  std::unique_ptr<core::WritableFile> file;
  std::string pending;
  uint64_t num_bytes = 0;

  void flush() {
    encoder->encode(pending, *file);
    pending.clear();
  }
};

TextWriter::TextWriter(core::FileSystem& fs, const std::string& path) {
  fs.create_directories(directory_of(path));
  state_ = std::make_unique<State>(fs, path);
}

TextWriter::TextWriter(TextWriter&&) noexcept = default;

TextWriter::~TextWriter() {
  if (state_ == nullptr || state_->file == nullptr) return;
  state_->file.reset();
  try {
    state_->fs.remove_all(state_->unfinished.path());
  } catch (
      const core::Error&) {  // a left-over temporary file harms nobody; the first error is on its way already
  }
}

void TextWriter::append(std::string_view bytes) {
  state_->num_bytes += bytes.size();
  state_->pending.append(bytes);
  if (state_->pending.size() >= kBufferBytes) state_->flush();
}

void TextWriter::commit() {
  State& s = *state_;
  s.flush();
  s.encoder->finish(*s.file);
  s.file->sync();
  s.file->close();
  s.fs.rename(s.unfinished.path(), s.path);
  s.file.reset();
  s.fs.sync_directory(directory_of(s.path));
}

uint64_t TextWriter::num_bytes() const {
  return state_->num_bytes;
}

}  // namespace athanor::text
