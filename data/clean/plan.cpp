#include "data/clean/plan.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <optional>
#include <type_traits>

#include "core/digest.h"
#include "core/error.h"
#include "core/output_files.h"

namespace athanor::clean {
namespace {

// Writes every option and its value, so that two configurations differ exactly when their texts do.
class ConfigWriter {
 public:
  template <typename T>
  void operator()(const char* name, const T& value, const configs::Option&) {
    out_ += name;
    out_ += '=';
    write(value);
    out_ += ';';
  }
  const std::string& text() const { return out_; }

 private:
  template <typename T>
  void write(const T& value) {
    if constexpr (std::is_same_v<T, std::string>) {
      out_ += fmt::format("{}:{}", value.size(), value);
    } else if constexpr (std::is_arithmetic_v<T>) {
      out_ += fmt::format("{}", value);
    } else {
      out_ += '{';
      T::describe(value, *this);
      out_ += '}';
    }
  }
  template <typename T>
  void write(const std::optional<T>& value) {
    if (value)
      write(*value);
    else
      out_ += "null";
  }
  template <typename T>
  void write(const std::vector<T>& values) {
    for (const T& value : values) {
      write(value);
      out_ += ',';
    }
  }

  std::string out_;
};

text::FileFormat format_of(const configs::CleanInput& input, const std::string& path) {
  if (input.format == "jsonl") return text::FileFormat::kJsonLines;
  if (input.format == "csv") return text::FileFormat::kCsv;
  return input.format == "text" ? text::FileFormat::kText : text::format_of(path);
}

text::TextUnit unit_of(const configs::CleanInput& input) {
  if (input.documents == "line") return text::TextUnit::kLine;
  return input.documents == "paragraph" ? text::TextUnit::kParagraph : text::TextUnit::kFile;
}

InputFile make_input(const configs::CleanConfig& config, const configs::CleanInput& input,
                     const std::string& path) {
  const std::string name = std::filesystem::path(path).filename().string();
  return {.path = path,
          .source = input.source,
          .stem = name.substr(0, name.find('.', 1)),
          .reader = {.format = format_of(input, path),
                     .unit = unit_of(input),
                     .encoding = input.encoding,
                     .text_fields = input.text_fields,
                     .max_record_bytes = static_cast<uint64_t>(config.max_line_bytes),
                     .keep_fields = config.keep_fields}};
}

// Where the suffixes of the output's name begin: at .jsonl or whatever comes before .gz and .zst.
size_t suffix_begin(const std::string& path) {
  std::string_view name = path;
  for (std::string_view compression : {".gz", ".zst"})
    if (name.ends_with(compression)) name.remove_suffix(compression.size());
  const size_t slash = name.rfind('/'), dot = name.rfind('.');
  const bool has_suffix =
      dot != std::string_view::npos && (slash == std::string_view::npos || dot > slash + 1);
  return has_suffix ? dot : name.size();
}

// With what an earlier run left of a split output.
std::vector<std::string> outputs_to_replace(const configs::CleanConfig& config) {
  std::vector<std::string> outputs = {output_path(config, 0), report_path(config)};
  if (!config.report_html.empty()) outputs.push_back(config.report_html);
  for (size_t i = 1; config.output_file_bytes > 0 && core::posix_file_system().exists(output_path(config, i));
       ++i)
    outputs.push_back(output_path(config, i));
  return outputs;
}

// With `format: auto` only the files say what these options are about.
void check_options_have_effect(const configs::CleanInput& input, const std::vector<InputFile>& files) {
  const auto is_text = [](const InputFile& file) { return file.reader.format == text::FileFormat::kText; };
  const configs::CleanInput defaults;
  if (input.documents != defaults.documents && std::none_of(files.begin(), files.end(), is_text))
    throw core::ConfigError("clean.inputs: documents: {} is about text files, and {} is none; leave it out",
                            input.documents, files.front().path);
  if (input.text_fields != defaults.text_fields && std::all_of(files.begin(), files.end(), is_text))
    throw core::ConfigError("clean.inputs: text_fields: {} is a text file, which has no fields; leave it out",
                            files.front().path);
}

}  // namespace

std::vector<InputFile> list_inputs(const configs::CleanConfig& config) {
  std::vector<InputFile> files;
  for (const auto& input : config.inputs) {
    const auto paths = core::glob(input.path);
    if (paths.empty())
      throw core::MissingInputError("clean.inputs: no file matches {}; check the path or the pattern",
                                    input.path);
    std::vector<InputFile> group;
    for (const auto& path : paths) {
      core::posix_file_system().open(path);  // says what is wrong with a directory, a pipe or a device
      group.push_back(make_input(config, input, path));
    }
    check_options_have_effect(input, group);
    files.insert(files.end(), group.begin(), group.end());
  }
  return files;
}

std::string work_directory(const configs::CleanConfig& config) {
  return config.work_dir.empty() ? config.output + ".stages" : config.work_dir;
}

std::string report_path(const configs::CleanConfig& config) {
  return config.report.empty() ? config.output.substr(0, suffix_begin(config.output)) + ".report.json"
                               : config.report;
}

void prepare_outputs(const configs::CleanConfig& config, core::FileSystem& fs) {
  std::vector<std::string> inputs;
  for (const InputFile& input : list_inputs(config)) inputs.push_back(input.path);
  const std::vector<std::string> outputs = outputs_to_replace(config);
  const std::string problem = core::find_overwritten(inputs, outputs);
  if (!problem.empty()) throw core::ConfigError("clean: {}", problem);
  for (const std::string& output : outputs) {
    core::check_replaceable(output);
    const std::string directory = std::filesystem::path(output).parent_path().string();
    if (!directory.empty()) fs.create_directories(directory);
  }
}

std::string output_path(const configs::CleanConfig& config, size_t file_idx) {
  if (config.output_file_bytes == 0) return config.output;
  const size_t at = suffix_begin(config.output);
  return fmt::format("{}-{:05}{}", config.output.substr(0, at), file_idx, config.output.substr(at));
}

SignatureHeader signature_header(const configs::CleanConfig& config, core::FileSystem& fs,
                                 const std::vector<InputFile>& inputs, const Shard& shard) {
  configs::CleanConfig deciding = config;  // names and speed do not change what a shard finds
  deciding.output = deciding.report = deciding.report_html = deciding.work_dir = "";
  deciding.output_file_bytes = deciding.threads = 0;
  ConfigWriter writer;
  configs::CleanConfig::describe(deciding, writer);
  std::string all = writer.text();
  for (const auto& input : inputs) all += fmt::format("\n{}\t{}", input.path, fs.file_size(input.path));
  SignatureHeader header;
  const std::string digest = core::digest_hex(std::string_view(all));
  std::memcpy(header.config_digest, digest.data(), sizeof(header.config_digest));
  header.shard_index = static_cast<uint32_t>(shard.index);
  header.shard_count = static_cast<uint32_t>(shard.count);
  header.num_bands = static_cast<uint32_t>(config.duplicates.bands);
  header.num_hashes = static_cast<uint32_t>(config.duplicates.bands * config.duplicates.rows);
  return header;
}

}  // namespace athanor::clean
