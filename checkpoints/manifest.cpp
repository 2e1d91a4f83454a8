#include "checkpoints/manifest.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "checkpoints/bounded_json.h"
#include "checkpoints/file_names.h"
#include "core/digest.h"
#include "core/error.h"
#include "core/json.h"

namespace athanor::checkpoints {
namespace {

using core::DataError;
using nlohmann::json;

constexpr std::string_view kManifestFormat = "athanor-checkpoint";
constexpr std::string_view kPartFormat = "athanor-checkpoint-part";
constexpr size_t kDigestDigits = 32;
constexpr std::string_view kDigestBefore = ",\n\"digest\":\"";
constexpr std::string_view kDigestAfter = "\"}\n";
constexpr size_t kTailBytes = kDigestBefore.size() + kDigestDigits + kDigestAfter.size();

// ---- writing ----

std::string text_of(const std::string& value) {
  return json(value).dump();
}

std::string file_line(const SavedFile& file) {
  return fmt::format(R"({{"name":{},"bytes":{},"digest":"{}"}})", text_of(file.name), file.num_bytes,
                     file.digest);
}

// The box is left out when it is the whole tensor, as it is without tensor parallelism.
std::string slice_text(const SavedSlice& slice, const Shape& shape) {
  std::string box;
  if (slice.piece.box != whole_box(shape))
    box = fmt::format(R"("offset":[{}],"shape":[{}],)", fmt::join(slice.piece.box.offset, ","),
                      fmt::join(slice.piece.box.shape, ","));
  return fmt::format(R"({{"file":{},"key":{},{}"begin":{},"end":{}}})", slice.file_idx, text_of(slice.key),
                     box, slice.piece.begin, slice.piece.end);
}

std::string tensor_line(const SavedTensor& tensor) {
  std::string slices;
  for (const SavedSlice& slice : tensor.slices)
    slices += fmt::format("{}{}", slices.empty() ? "" : ",", slice_text(slice, tensor.shape));
  return fmt::format(R"({{"name":{},"kind":{},"dtype":"{}","shape":[{}],"slices":[{}]}})",
                     text_of(tensor.name), text_of(tensor.kind), dtype_name(tensor.dtype),
                     fmt::join(tensor.shape, ","), slices);
}

template <typename Items, typename Line>
std::string lines(const Items& items, Line line) {
  std::string text = "[";
  for (const auto& item : items) text += fmt::format("{}\n{}", text.size() > 1 ? "," : "", line(item));
  return text + "]";
}

std::string first_line(std::string_view format) {
  return fmt::format(R"({{"format":"{}","format_version":)", format);
}

std::string with_digest(std::string text) {
  const std::string digest = core::digest_hex(std::string_view(text));
  return text.append(kDigestBefore).append(digest).append(kDigestAfter);
}

// ---- reading ----

// Says so when the text is of a later format, before anything else about that format is assumed.
void check_version(std::string_view text, std::string_view format, const std::string& origin) {
  const std::string expected = first_line(format);
  if (!text.starts_with(expected))
    throw DataError("{}: not an {}: expected it to start with {}, found {}", origin, format, expected,
                    printable(text.substr(0, expected.size())));
  uint64_t version = 0;
  const char* const begin = text.data() + expected.size();
  const auto result = std::from_chars(begin, text.data() + text.size(), version);
  if (result.ec == std::errc() && version > kFormatVersion)
    throw DataError(
        "{}: written by a newer athanor: format version {}, this program reads up to {}; update the program",
        origin, version, kFormatVersion);
  if (result.ec != std::errc() || version == 0) throw DataError("{}: the format version is damaged", origin);
}

void check_digest(std::string_view text, const std::string& origin) {
  if (text.size() < kTailBytes) throw DataError("{}: cut short: only {} bytes", origin, text.size());
  const std::string_view tail = text.substr(text.size() - kTailBytes);
  if (!tail.starts_with(kDigestBefore) || !tail.ends_with(kDigestAfter))
    throw DataError("{}: cut short or damaged: it must end with its digest, found {}", origin,
                    printable(tail));
  const std::string found = core::digest_hex(text.substr(0, text.size() - kTailBytes));
  const std::string_view expected = tail.substr(kDigestBefore.size(), kDigestDigits);
  if (found != expected)
    throw DataError("{}: damaged: its digest is {}, expected {}", origin, found, printable(expected));
}

json parse_checked(std::string_view text, std::string_view format, const std::string& origin) {
  check_version(text, format, origin);
  check_digest(text, origin);
  return parse_json_object(text, origin);
}

Shape shape_from(const JsonView& view) {
  Shape shape(view.size());
  for (uint64_t i = 0; i < shape.size(); ++i) shape[i] = static_cast<int64_t>(view.item(i).as_unsigned());
  return shape;
}

bool is_digest(std::string_view text) {
  return text.size() == kDigestDigits && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

SavedFile file_from(const JsonView& view) {
  SavedFile file{view.at("name").as_string(), view.at("bytes").as_unsigned(), view.at("digest").as_string()};
  if (!is_plain_file_name(file.name) || file.name == kManifestName)
    view.at("name").fail("a file name inside the checkpoint's directory");
  if (!is_digest(file.digest)) view.at("digest").fail("32 hexadecimal digits");
  return file;
}

std::vector<SavedFile> files_from(const JsonView& view) {
  std::vector<SavedFile> files(view.size());
  std::set<std::string> names;
  for (uint64_t i = 0; i < files.size(); ++i) {
    files[i] = file_from(view.item(i));
    if (!names.insert(files[i].name).second) view.item(i).fail_with("the file appears twice");
  }
  return files;
}

SavedSlice slice_from(const JsonView& view, const Shape& shape, uint64_t num_files) {
  SavedSlice slice{view.at("file").as_unsigned(), view.at("key").as_string(), {}};
  slice.piece.box = view.has("offset") ? Box{shape_from(view.at("offset")), shape_from(view.at("shape"))}
                                       : whole_box(shape);
  slice.piece.begin = view.at("begin").as_unsigned();
  slice.piece.end = view.at("end").as_unsigned();
  if (slice.file_idx >= num_files) view.at("file").fail(fmt::format("an index below {}", num_files));
  if (!fits(slice.piece.box, shape)) view.fail(fmt::format("a box inside {}", to_string(shape)));
  if (slice.piece.begin > slice.piece.end || slice.piece.end > num_elements(slice.piece.box.shape))
    view.fail("a range inside the box");
  return slice;
}

SavedTensor tensor_from(const JsonView& view, uint64_t num_files) {
  SavedTensor tensor{
      view.at("name").as_string(), view.at("kind").as_string(), {}, shape_from(view.at("shape")), {}};
  const auto dtype = dtype_from_name(view.at("dtype").as_string());
  if (!dtype) view.at("dtype").fail("one of " + dtype_names());
  tensor.dtype = *dtype;
  if (!checked_num_bytes(tensor.shape, tensor.dtype))
    view.at("shape").fail("a number of bytes that does not overflow");
  const JsonView slices = view.at("slices");
  tensor.slices.reserve(slices.size());
  for (uint64_t i = 0; i < slices.size(); ++i)
    tensor.slices.push_back(slice_from(slices.item(i), tensor.shape, num_files));
  return tensor;
}

std::vector<SavedTensor> tensors_from(const JsonView& view, uint64_t num_files) {
  std::vector<SavedTensor> tensors;
  tensors.reserve(view.size());
  for (uint64_t i = 0; i < view.size(); ++i) tensors.push_back(tensor_from(view.item(i), num_files));
  std::sort(tensors.begin(), tensors.end(), precedes_in_manifest);
  const auto twice = std::adjacent_find(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) {
    return a.name == b.name && a.kind == b.kind;
  });
  if (twice != tensors.end())
    view.fail_with(fmt::format("{} ({}) appears twice", printable(twice->name), twice->kind));
  return tensors;
}

}  // namespace

uint64_t Manifest::num_bytes() const {
  uint64_t sum = 0;
  for (const SavedFile& file : files) sum += file.num_bytes;
  return sum;
}

std::string to_text(const Manifest& manifest) {
  const Progress& progress = manifest.progress;
  return with_digest(fmt::format(
      "{}{},\n\"run_id\":{},\"step\":{},\"consumed_samples\":{},\"consumed_tokens\":{},\"ranks\":{},\n"
      "\"training_state\":{},\n\"config\":{},\n\"files\":{},\n\"tensors\":{}",
      first_line(kManifestFormat), kFormatVersion, text_of(manifest.run_id), progress.step,
      progress.consumed_samples, progress.consumed_tokens, manifest.num_ranks, manifest.training_state,
      text_of(manifest.config), lines(manifest.files, file_line), lines(manifest.tensors, tensor_line)));
}

std::string to_text(const Part& part) {
  return with_digest(fmt::format(
      "{}{},\n\"run_id\":{},\"start_id\":{},\"step\":{},\"rank\":{},\"ranks\":{},\n\"files\":{},"
      "\n\"tensors\":{}",
      first_line(kPartFormat), kFormatVersion, text_of(part.run_id), text_of(part.start_id), part.step,
      part.rank, part.num_ranks, lines(part.files, file_line), lines(part.tensors, tensor_line)));
}

Manifest parse_manifest(std::string_view text, const std::string& origin) {
  const json document = parse_checked(text, kManifestFormat, origin);
  const JsonView root(document, origin);
  Manifest manifest;
  manifest.run_id = root.at("run_id").as_string();
  manifest.progress = {root.at("step").as_unsigned(), root.at("consumed_samples").as_unsigned(),
                       root.at("consumed_tokens").as_unsigned()};
  manifest.num_ranks = root.at("ranks").as_unsigned();
  manifest.training_state = root.at("training_state").as_object_text();
  manifest.config = root.at("config").as_string();
  manifest.files = files_from(root.at("files"));
  manifest.tensors = tensors_from(root.at("tensors"), manifest.files.size());
  for (const SavedTensor& tensor : manifest.tensors) check_tiling(tensor, origin);
  return manifest;
}

Part parse_part(std::string_view text, const std::string& origin) {
  const json document = parse_checked(text, kPartFormat, origin);
  const JsonView root(document, origin);
  Part part;
  part.run_id = root.at("run_id").as_string();
  part.start_id = root.at("start_id").as_string();
  part.step = root.at("step").as_unsigned();
  part.rank = root.at("rank").as_unsigned();
  part.num_ranks = root.at("ranks").as_unsigned();
  part.files = files_from(root.at("files"));
  part.tensors = tensors_from(root.at("tensors"), part.files.size());
  return part;
}

void check_tiling(const SavedTensor& tensor, const std::string& origin) {
  std::vector<Piece> pieces;
  pieces.reserve(tensor.slices.size());
  for (const SavedSlice& slice : tensor.slices) pieces.push_back(slice.piece);
  if (const auto error = tiling_error(tensor.shape, pieces))
    throw DataError("{}: tensor {} ({}): {}", origin, printable(tensor.name), tensor.kind, *error);
}

bool precedes_in_manifest(const SavedTensor& a, const SavedTensor& b) {
  return std::tie(a.name, a.kind) < std::tie(b.name, b.kind);
}

}  // namespace athanor::checkpoints
