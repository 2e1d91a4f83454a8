#include "data/shards/shard_writer.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>
#include <type_traits>
#include <unordered_map>
#include <vector>

#include "core/digest.h"
#include "core/error.h"
#include "core/output_files.h"
#include "data/shards/dataset_writer.h"

namespace athanor::data {
namespace {

// Few enough chunks that readers can list them, small enough that a writer costs a few MiB.
constexpr uint64_t kTokenChunkBytes = uint64_t{4} << 20;
constexpr uint64_t kDocumentChunkBytes = uint64_t{1} << 20;

template <typename T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

Hdf5Handle string_type(size_t bytes) {
  Hdf5Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type.id(), bytes);
  H5Tset_strpad(type.id(), H5T_STR_NULLPAD);
  return type;
}

void write_attribute(hid_t file, const std::string& path, std::string_view name, hid_t type,
                     const void* value) {
  Hdf5Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  Hdf5Handle attribute(
      H5Acreate2(file, std::string(name).c_str(), type, space.id(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  if (!attribute.is_open() || H5Awrite(attribute.id(), type, value) < 0)
    throw core::IoError("cannot write attribute {} of {}: {}", name, path, hdf5_reason());
}

void write_text_attribute(hid_t file, const std::string& path, std::string_view name,
                          const std::string& text) {
  const Hdf5Handle type = string_type(std::max<size_t>(1, text.size()));
  write_attribute(file, path, name, type.id(), text.data());
}

Hdf5Handle create_file(const std::string& temporary) {
  Hdf5Handle creation(H5Pcreate(H5P_FILE_CREATE), H5Pclose), access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_obj_track_times(creation.id(), false);
  H5Pset_libver_bounds(access.id(), H5F_LIBVER_V110, H5F_LIBVER_V110);  // its metadata carries checksums
  H5Pset_fclose_degree(access.id(), H5F_CLOSE_STRONG);
#if H5_VERSION_GE(1, 10, 7)
  H5Pset_file_locking(access.id(), false,
                      true);  // the name is ours alone; some network file systems have no locks
#endif
  Hdf5Handle file(H5Fcreate(temporary.c_str(), H5F_ACC_TRUNC, creation.id(), access.id()), H5Fclose);
  if (!file.is_open()) throw core::IoError("cannot create {}: {}", temporary, hdf5_reason());
  return file;
}

/// A per-document column of names: an index per document, and each name once.
struct NameColumn {
  std::optional<DatasetWriter> ids;
  std::vector<std::string> names;
  std::unordered_map<std::string, uint16_t> id_of;

  std::string find_excess(const std::string& name, std::string_view column) const {
    if (names.size() < kMaxLabelNames || id_of.contains(name)) return "";
    return fmt::format(
        "more than {} different values of `{}` in one shard; it has to be a category, not an address",
        kMaxLabelNames, column);
  }

  uint16_t id(const std::string& name, std::string_view column, const std::string& path) {
    if (const auto known = id_of.find(name); known != id_of.end()) return known->second;
    if (name.size() > kMaxLabelBytes || name.find('\0') != std::string::npos)
      throw core::DataError("{}: the {} of a document is not a name of 1 to {} bytes without NUL", path,
                            column, kMaxLabelBytes);
    if (const std::string excess = find_excess(name, column); !excess.empty())
      throw core::DataError("{}: {}", path, excess);
    const auto next = static_cast<uint16_t>(names.size());
    names.push_back(name);
    id_of.emplace(name, next);
    return next;
  }
};

}  // namespace

struct ShardWriter::State {
  State(core::FileSystem& file_system, std::string final_path, const ShardWriterOptions& writer_options)
      : fs(file_system),
        path(std::move(final_path)),
        unfinished(core::begin_output(path)),
        options(writer_options) {}

  bool is_narrow() const { return options.vocabulary_size <= kMaxNarrowVocabulary; }
  void open();
  void add_tokens(std::span<const uint32_t> document);
  void add_labels(const DocumentLabels& labels);
  void add_name(NameColumn& column, std::string_view dataset, const std::string& name);
  void add_score(float value);
  std::string finish_datasets();
  void finish_names(NameColumn& column, std::string_view ids, std::string_view names, ContentDigest& digest);
  void write_attributes(const std::string& content_digest);
  void discard();

  core::FileSystem& fs;
  std::string path;
  core::UnfinishedOutput unfinished;
  ShardWriterOptions options;
  Hdf5Handle file;  // declared before the datasets: they close first
  std::optional<DatasetWriter> tokens, offsets, score;
  NameColumn source, language;
  std::vector<uint16_t> narrow_tokens;
  uint64_t num_tokens = 0, num_documents = 0;
  bool is_finished = false, is_published = false;
};

void ShardWriter::State::open() {
  fs.create(unfinished.path())->close();  // permission and space problems in the file system's own words
  file = create_file(unfinished.path());
  tokens.emplace(file.id(), path, std::string(kTokens), is_narrow() ? H5T_STD_U16LE : H5T_STD_U32LE,
                 kTokenChunkBytes);
  offsets.emplace(file.id(), path, std::string(kDocumentOffsets), H5T_STD_U64LE, kDocumentChunkBytes);
  offsets->append(bytes_of(num_tokens));
}

void ShardWriter::State::add_tokens(std::span<const uint32_t> document) {
  const auto largest = std::max_element(document.begin(), document.end());
  if (largest != document.end() && *largest >= options.vocabulary_size)
    throw core::DataError("{}: document {} holds token {}, the vocabulary has {}", path, num_documents,
                          *largest, options.vocabulary_size);
  if (is_narrow()) {
    narrow_tokens.assign(document.begin(), document.end());
    tokens->append(std::as_bytes(std::span(narrow_tokens)));
  } else {
    tokens->append(std::as_bytes(document));
  }
  num_tokens += document.size();
  offsets->append(bytes_of(num_tokens));
}

void ShardWriter::State::add_name(NameColumn& column, std::string_view dataset, const std::string& name) {
  if (!column.ids && name.empty()) return;
  if (!column.ids) {  // the first name: the documents before it have none
    column.ids.emplace(file.id(), path, std::string(dataset), H5T_STD_U16LE, kDocumentChunkBytes);
    for (uint64_t document = 0; document < num_documents; ++document)
      column.ids->append(bytes_of(column.id("", dataset, path)));
  }
  column.ids->append(bytes_of(column.id(name, dataset, path)));
}

void ShardWriter::State::add_score(float value) {
  if (!score && std::isnan(value)) return;
  if (!score) {
    score.emplace(file.id(), path, std::string(kScore), H5T_IEEE_F32LE, kDocumentChunkBytes);
    const float none = std::numeric_limits<float>::quiet_NaN();
    for (uint64_t document = 0; document < num_documents; ++document) score->append(bytes_of(none));
  }
  score->append(bytes_of(value));
}

void ShardWriter::State::add_labels(const DocumentLabels& labels) {
  add_name(source, kSource, labels.source);
  add_name(language, kLanguage, labels.language);
  add_score(labels.score);
}

void ShardWriter::State::finish_names(NameColumn& column, std::string_view ids, std::string_view names,
                                      ContentDigest& digest) {
  if (!column.ids) return;
  column.ids->finish();
  digest.add(ids, column.ids->digest());
  size_t width = 1;
  for (const std::string& name : column.names) width = std::max(width, name.size());
  const Hdf5Handle type = string_type(width);
  DatasetWriter writer(file.id(), path, std::string(names), type.id(), kDocumentChunkBytes);
  for (std::string name : column.names) {
    name.resize(width, '\0');
    writer.append(std::as_bytes(std::span(name.data(), name.size())));
  }
  writer.finish();
  digest.add(names, writer.digest());
}

std::string ShardWriter::State::finish_datasets() {
  ContentDigest digest;
  tokens->finish();
  digest.add(kTokens, tokens->digest());
  offsets->finish();
  digest.add(kDocumentOffsets, offsets->digest());
  finish_names(source, kSource, kSourceNames, digest);
  finish_names(language, kLanguage, kLanguageNames, digest);
  if (score) {
    score->finish();
    digest.add(kScore, score->digest());
  }
  return digest.hex();
}

void ShardWriter::State::write_attributes(const std::string& content_digest) {
  const uint64_t version = kShardFormatVersion;
  write_attribute(file.id(), path, kFormatVersionAttribute, H5T_STD_U64LE, &version);
  write_attribute(file.id(), path, kVocabularySizeAttribute, H5T_STD_U64LE, &options.vocabulary_size);
  write_text_attribute(file.id(), path, kTokenizerDigestAttribute, options.tokenizer_digest);
  write_text_attribute(file.id(), path, kContentDigestAttribute, content_digest);
}

void ShardWriter::State::discard() {
  {
    const auto lock = lock_hdf5();
    tokens.reset();
    offsets.reset();
    score.reset();
    source.ids.reset();
    language.ids.reset();
    file.close();
  }
  try {
    if (!is_published) fs.remove_all(unfinished.path());
  } catch (const core::Error&) {  // a file under a temporary name is in nobody's way
  }
}

ShardWriter::ShardWriter(core::FileSystem& fs, std::string path, const ShardWriterOptions& options)
    : state_(std::make_unique<State>(fs, std::move(path), options)) {
  ATHANOR_CHECK(options.vocabulary_size > 0 && options.vocabulary_size <= uint64_t{1} << 32,
                "vocabulary size {}", options.vocabulary_size);
  try {
    const auto lock = lock_hdf5();
    state_->open();
  } catch (...) {
    state_->discard();
    throw;
  }
}

ShardWriter::~ShardWriter() {
  state_->discard();
}

void ShardWriter::add_document(std::span<const uint32_t> tokens, const DocumentLabels& labels) {
  ATHANOR_CHECK(!state_->is_finished, "{} is already finished", state_->path);
  const auto lock = lock_hdf5();
  state_->add_tokens(tokens);
  state_->add_labels(labels);
  ++state_->num_documents;
}

std::string ShardWriter::find_label_excess(const DocumentLabels& labels) const {
  std::string excess = state_->source.find_excess(labels.source, kSource);
  return excess.empty() ? state_->language.find_excess(labels.language, kLanguage) : excess;
}

uint64_t ShardWriter::num_tokens() const {
  return state_->num_tokens;
}
uint64_t ShardWriter::num_documents() const {
  return state_->num_documents;
}
const std::string& ShardWriter::path() const {
  return state_->path;
}

void ShardWriter::finish() {
  State& s = *state_;
  ATHANOR_CHECK(s.num_documents > 0 && !s.is_finished, "{}: {} documents to finish", s.path, s.num_documents);
  {
    const auto lock = lock_hdf5();
    s.write_attributes(s.finish_datasets());
    if (!s.file.close()) throw core::IoError("cannot write {}: {}", s.path, hdf5_reason());
  }
  const auto file = s.fs.open_append(s.unfinished.path());
  file->sync();
  file->close();
  s.is_finished = true;
}

void ShardWriter::publish() {
  State& s = *state_;
  ATHANOR_CHECK(s.is_finished && !s.is_published, "{} is not ready to be published", s.path);
  s.fs.rename(s.unfinished.path(), s.path);
  s.is_published = true;
  const auto directory = std::filesystem::path(s.path).parent_path();
  s.fs.sync_directory(directory.empty() ? "." : directory.string());
}

void ContentDigest::add(std::string_view dataset, std::string_view digest) {
  text_ += fmt::format("{}:{}\n", dataset, digest);
}

std::string ContentDigest::hex() const {
  return core::digest_hex(std::string_view(text_));
}

}  // namespace athanor::data
