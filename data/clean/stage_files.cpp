#include "data/clean/stage_files.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "core/error.h"

namespace athanor::clean {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;
constexpr size_t kTrailerBytes = sizeof(uint64_t) + 32;

struct FixedPart {
  uint64_t record;
  uint32_t file, language;
  std::array<uint64_t, 2> digest;
};
static_assert(sizeof(FixedPart) == 32);

size_t padded(size_t num_bytes) {
  return (num_bytes + 7) / 8 * 8;
}

size_t document_bytes(const SignatureHeader& header) {
  return sizeof(FixedPart) + header.num_bands * sizeof(uint64_t) + padded(header.num_hashes);
}

// A file read from its start through a buffer, digesting what is handed out.
class DigestingReader {
 public:
  explicit DigestingReader(const core::ReadableFile& file) : file_(file), rest_(file.size()) {}

  void read(void* data, size_t size) {
    auto* out = static_cast<std::byte*>(data);
    for (size_t done = 0; done < size;) {
      if (begin_ == buffer_.size()) refill(size - done);
      const size_t taken = std::min(size - done, buffer_.size() - begin_);
      std::memcpy(out + done, buffer_.data() + begin_, taken);
      begin_ += taken;
      done += taken;
    }
    digest_.update({out, size});
  }
  std::string hex() const { return digest_.hex(); }

 private:
  void refill(size_t wanted) {
    ATHANOR_CHECK(wanted <= rest_, "reading {} bytes of a signature file that has {} left", wanted, rest_);
    buffer_.resize(static_cast<size_t>(std::min<uint64_t>(rest_, kBufferBytes)));
    file_.read(file_.size() - rest_, buffer_);
    rest_ -= buffer_.size();
    begin_ = 0;
  }

  const core::ReadableFile& file_;
  uint64_t rest_;
  std::vector<std::byte> buffer_;
  size_t begin_ = 0;
  core::Digest digest_;
};

void check_header(const SignatureHeader& found, const SignatureHeader& expected, const std::string& path) {
  if (std::memcmp(found.magic, expected.magic, sizeof(found.magic)) != 0)
    throw core::DataError("{}: no signature file of this version; run the shards of clean again", path);
  if (std::memcmp(&found, &expected, sizeof(found)) != 0)
    throw core::DataError(
        "{}: made for shard {} of {} by another configuration or other inputs, expected shard {} of {} "
        "of this one; run the shards of clean again",
        path, found.shard_index, found.shard_count, expected.shard_index, expected.shard_count);
}

void read_document(DigestingReader& reader, const SignatureHeader& header, SignatureColumns& columns) {
  FixedPart fixed;
  reader.read(&fixed, sizeof(fixed));
  columns.keys.push_back({fixed.file, fixed.record});
  columns.languages.push_back(static_cast<uint8_t>(std::min<uint32_t>(fixed.language, kNumLanguages - 1)));
  SignatureTable& table = columns.table;
  table.digests.push_back(fixed.digest);
  const size_t band = table.bands.size(), hash = table.sketches.size();
  table.bands.resize(band + header.num_bands);
  reader.read(&table.bands[band], header.num_bands * sizeof(uint64_t));
  table.sketches.resize(hash + padded(header.num_hashes));
  reader.read(&table.sketches[hash], padded(header.num_hashes));
  table.sketches.resize(hash + header.num_hashes);
}

}  // namespace

StagePaths stage_paths(const std::string& directory, const Shard& shard) {
  const std::string stem = fmt::format("{}/shard-{:05}-of-{:05}", directory, shard.index, shard.count);
  return {stem + ".jsonl.zst", stem + ".signatures", stem + ".funnel.json"};
}

bool is_stage_file(std::string_view name, int num_shards) {
  const auto skip_digits = [&] {
    name.remove_prefix(std::min(name.find_first_not_of("0123456789"), name.size()));
  };
  const auto skip = [&](std::string_view part) {
    const bool is_there = name.starts_with(part);
    if (is_there) name.remove_prefix(part.size());
    return is_there;
  };
  if (!skip("shard-")) return false;
  skip_digits();
  if (num_shards > 0 ? !skip(fmt::format("-of-{:05}.", num_shards)) : !skip("-of-")) return false;
  if (num_shards == 0) {
    skip_digits();
    if (!skip(".")) return false;
  }
  if (!skip("jsonl.zst") && !skip("signatures") && !skip("funnel.json")) return false;
  if (name.empty()) return true;
  if (!skip(".")) return false;
  skip_digits();
  return name == ".tmp";
}

SignatureWriter::SignatureWriter(core::FileSystem& fs, const std::string& path, const SignatureHeader& header)
    : writer_(fs, path) {
  put(&header, sizeof(header));
}

void SignatureWriter::put(const void* data, size_t size) {
  const std::string_view bytes(static_cast<const char*>(data), size);
  digest_.update(std::as_bytes(std::span(bytes.data(), size)));
  writer_.append(bytes);
}

void SignatureWriter::append(const DocumentKey& key, const CleanedDocument& document) {
  const FixedPart fixed{key.record, key.file, static_cast<uint32_t>(document.language), document.digest};
  put(&fixed, sizeof(fixed));
  const auto& [bands, sketch] = document.signature;
  put(bands.data(), bands.size() * sizeof(uint64_t));
  put(sketch.data(), sketch.size());
  static constexpr char kZeros[8] = {};
  put(kZeros, padded(sketch.size()) - sketch.size());
  ++num_documents_;
}

void SignatureWriter::commit() {
  put(&num_documents_, sizeof(num_documents_));
  writer_.append(digest_.hex());
  writer_.commit();
}

void read_signatures(core::FileSystem& fs, const std::string& path, const SignatureHeader& expected,
                     SignatureColumns& columns) {
  const auto file = fs.open(path);
  const uint64_t size = file->size(), document_size = document_bytes(expected);
  if (size < sizeof(SignatureHeader) + kTrailerBytes)
    throw core::DataError("{}: {} bytes, too short for a signature file; run the shards of clean again", path,
                          size);
  DigestingReader reader(*file);
  SignatureHeader header;
  reader.read(&header, sizeof(header));
  check_header(header, expected, path);
  const uint64_t body = size - sizeof(header) - kTrailerBytes;
  for (uint64_t i = 0; i < body / document_size; ++i) read_document(reader, header, columns);
  uint64_t num_documents = 0;
  if (body % document_size == 0) reader.read(&num_documents, sizeof(num_documents));
  char found_digest[32] = {};
  file->read(size - sizeof(found_digest), std::as_writable_bytes(std::span(found_digest)));
  const bool is_whole = body % document_size == 0 && num_documents == body / document_size;
  if (!is_whole || reader.hex() != std::string_view(found_digest, sizeof(found_digest)))
    throw core::DataError("{}: damaged signature file ({} bytes); run the shards of clean again", path, size);
  columns.table.num_bands = header.num_bands;
  columns.table.num_hashes = header.num_hashes;
}

SignatureColumns sorted_by_key(SignatureColumns columns) {
  if (std::is_sorted(columns.keys.begin(), columns.keys.end())) return columns;
  std::vector<size_t> order(columns.keys.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return columns.keys[a] < columns.keys[b]; });
  SignatureColumns sorted;
  const SignatureTable& from = columns.table;
  SignatureTable& to = sorted.table;
  to.num_bands = from.num_bands;
  to.num_hashes = from.num_hashes;
  for (size_t i : order) {
    sorted.keys.push_back(columns.keys[i]);
    sorted.languages.push_back(columns.languages[i]);
    to.digests.push_back(from.digests[i]);
    const auto band = from.bands.begin() + static_cast<ptrdiff_t>(i * from.num_bands);
    to.bands.insert(to.bands.end(), band, band + static_cast<ptrdiff_t>(from.num_bands));
    const auto sketch = from.sketch(i);
    to.sketches.insert(to.sketches.end(), sketch.begin(), sketch.end());
  }
  return sorted;
}

}  // namespace athanor::clean
