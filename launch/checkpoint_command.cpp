// athanor checkpoint list / show / verify / prune / diff
#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "checkpoints/checkpoint_diff.h"
#include "checkpoints/checkpoint_directory.h"
#include "checkpoints/checkpoint_reader.h"
#include "checkpoints/find_checkpoint.h"
#include "core/error.h"
#include "core/file_system.h"
#include "core/json.h"
#include "launch/commands.h"
#include "launch/output.h"

namespace athanor::launch {
namespace {

using nlohmann::ordered_json;
namespace cp = athanor::checkpoints;

core::FileSystem& disk() {
  return core::posix_file_system();
}

struct Options {
  std::string path, other_path;
  uint64_t num_to_keep = 0;
  bool json = false;
  bool shows_tensors = false;
  bool shows_all = false;
};

void print_json(const ordered_json& value) {
  print(value.dump(2) + "\n");
}

std::string human_bytes(uint64_t num_bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double value = static_cast<double>(num_bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::size(kUnits); ++unit) value /= 1024;
  return unit == 0 ? fmt::format("{} B", num_bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

bool is_checkpoint(const std::string& path) {
  return cp::is_checkpoint(disk(), path);
}

std::string without_trailing_slash(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

void check_is_directory(const std::string& path) {
  if (disk().is_directory(path)) return;
  if (disk().exists(path)) throw core::DataError("{}: a directory was expected, this is a file", path);
  throw core::MissingInputError("{}: no such directory; check the path", path);
}

std::string directory_of_checkpoints(const std::string& path) {
  check_is_directory(path);
  return cp::directory_of_checkpoints(disk(), path);
}

std::vector<cp::CheckpointEntry> checkpoints_in(const std::string& directory) {
  auto entries = cp::list_checkpoints(disk(), directory);
  if (entries.empty()) throw core::MissingInputError("{}: holds no checkpoint", directory);
  return entries;
}

// What a path means where one checkpoint is wanted: itself, or the newest good one of a directory.
std::string one_checkpoint(const std::string& given) {
  const std::string path = without_trailing_slash(given);
  if (is_checkpoint(path)) return path;
  const std::string directory = directory_of_checkpoints(path);
  const auto found = cp::find_newest_good(disk(), directory, cp::Verify::kSizes);
  if (!found) throw core::MissingInputError("{}: holds no checkpoint", directory);
  return found->path;
}

// ---- list ----

// By its name, which "step-00000120.aside-ID" begins with as well; 0 when the name tells none.
uint64_t step_of(const std::string& checkpoint) {
  const std::string name = checkpoint.substr(checkpoint.find_last_of('/') + 1);
  return cp::step_of_name(name.substr(0, name.find('.'))).value_or(0);
}

ordered_json list_entry(const cp::CheckpointEntry& entry) {
  ordered_json row{{"step", entry.step}, {"path", entry.path}};
  try {
    const cp::CheckpointReader reader(disk(), entry.path, cp::Verify::kSizes);
    const cp::Manifest& manifest = reader.manifest();
    row.update({{"state", "complete"},
                {"run_id", manifest.run_id},
                {"consumed_samples", manifest.progress.consumed_samples},
                {"consumed_tokens", manifest.progress.consumed_tokens},
                {"ranks", manifest.num_ranks},
                {"files", manifest.files.size()},
                {"bytes", manifest.num_bytes()}});
  } catch (const core::Error& error) {
    row.update({{"state", "damaged"}, {"problem", error.what()}});
  }
  return row;
}

void list(const Options& options) {
  auto rows = ordered_json::array();
  const std::string path = without_trailing_slash(options.path);
  std::string directory = path;
  if (is_checkpoint(path)) {
    check_is_directory(path);
    rows.push_back(list_entry({.step = step_of(path), .path = path}));
  } else {
    directory = directory_of_checkpoints(path);
    for (const auto& entry : checkpoints_in(directory)) rows.push_back(list_entry(entry));
  }
  if (options.json) return print_json(ordered_json{{"directory", directory}, {"checkpoints", rows}});
  print(fmt::format("{:>12}  {:>10}  {:>5}  {:>16}  {}\n", "step", "size", "ranks", "tokens", "state"));
  for (const auto& row : rows)
    if (row["state"] == "complete")
      print(fmt::format("{:>12}  {:>10}  {:>5}  {:>16}  complete\n", row["step"].get<uint64_t>(),
                        human_bytes(row["bytes"].get<uint64_t>()), row["ranks"].get<uint64_t>(),
                        row["consumed_tokens"].get<uint64_t>()));
    else
      print(fmt::format("{:>12}  {:>10}  {:>5}  {:>16}  damaged: {}\n", row["step"].get<uint64_t>(), "-", "-",
                        "-", row["problem"].get<std::string>()));
}

// ---- show ----

ordered_json facts_of(const cp::Manifest& manifest, const std::string& path) {
  ordered_json facts{{"path", path},
                     {"format_version", cp::kFormatVersion},
                     {"run_id", manifest.run_id},
                     {"step", manifest.progress.step},
                     {"consumed_samples", manifest.progress.consumed_samples},
                     {"consumed_tokens", manifest.progress.consumed_tokens},
                     {"ranks", manifest.num_ranks},
                     {"bytes", manifest.num_bytes()},
                     {"training_state", ordered_json::parse(manifest.training_state)},
                     {"config", manifest.config}};
  for (const auto& file : manifest.files)
    facts["files"].push_back({{"name", file.name}, {"bytes", file.num_bytes}, {"xxh3_128", file.digest}});
  return facts;
}

void add_tensors(ordered_json& facts, const cp::Manifest& manifest) {
  for (const auto& tensor : manifest.tensors)
    facts["tensors"].push_back({{"name", tensor.name},
                                {"kind", tensor.kind},
                                {"dtype", cp::dtype_name(tensor.dtype)},
                                {"shape", tensor.shape},
                                {"slices", tensor.slices.size()}});
}

void show(const Options& options) {
  const std::string path = one_checkpoint(options.path);
  const cp::Manifest manifest = cp::read_manifest(disk(), path);
  ordered_json facts = facts_of(manifest, path);
  if (options.json || options.shows_tensors) add_tensors(facts, manifest);
  if (options.json) return print_json(facts);
  print(
      fmt::format("checkpoint      {}\nrun             {}\nstep            {}\nsamples, tokens {}, "
                  "{}\nwritten by      {} "
                  "ranks, {} files, {}\ntensors         {}\ntraining state  {}\n",
                  path, manifest.run_id, manifest.progress.step, manifest.progress.consumed_samples,
                  manifest.progress.consumed_tokens, manifest.num_ranks, manifest.files.size(),
                  human_bytes(manifest.num_bytes()), manifest.tensors.size(), manifest.training_state));
  if (options.shows_tensors)
    for (const auto& tensor : manifest.tensors)
      print(fmt::format("  {:<8} {:<12} {:<24} {}\n", cp::dtype_name(tensor.dtype), tensor.kind,
                        cp::to_string(tensor.shape), tensor.name));
  print(fmt::format("--- configuration ---\n{}", manifest.config));
}

// ---- verify ----

std::vector<std::string> problems_of(const std::string& path) {
  try {
    return cp::CheckpointReader(disk(), path, cp::Verify::kSizes).find_problems();
  } catch (const core::Error& error) {
    return {error.what()};
  }
}

void verify(const Options& options) {
  const std::string path = without_trailing_slash(options.path);
  std::vector<std::string> paths{path};
  if (!is_checkpoint(path)) {
    paths.clear();
    for (const auto& entry : checkpoints_in(directory_of_checkpoints(path))) paths.push_back(entry.path);
  }
  auto report = ordered_json::array();
  size_t num_bad = 0;
  for (const std::string& checkpoint : paths) {
    const auto problems = problems_of(checkpoint);
    num_bad += !problems.empty();
    report.push_back({{"path", checkpoint}, {"good", problems.empty()}, {"problems", problems}});
    if (options.json) continue;
    print(fmt::format("{}: {}\n", checkpoint, problems.empty() ? "good" : "BAD"));
    for (const std::string& problem : problems) print(fmt::format("  {}\n", problem));
  }
  if (options.json) print_json(ordered_json{{"checkpoints", report}});
  if (num_bad > 0) throw core::DataError("{} of {} checkpoints are damaged", num_bad, paths.size());
}

// ---- prune ----

void prune(const Options& options) {
  const std::string path = without_trailing_slash(options.path);
  check_is_directory(path);
  if (is_checkpoint(path))
    throw core::UsageError("{} is one checkpoint; give the directory it is in, or the run", path);
  const std::string directory = directory_of_checkpoints(path);
  (void)checkpoints_in(directory);
  const auto removed = cp::prune(disk(), directory, options.num_to_keep, cp::make_id());
  if (options.json) return print_json(ordered_json{{"directory", directory}, {"removed", removed}});
  for (const std::string& gone : removed) print(fmt::format("removed {}\n", gone));
  print(fmt::format("{} removed, {} left\n", removed.size(), cp::list_checkpoints(disk(), directory).size()));
}

// ---- diff ----

ordered_json json_of(const cp::TensorDiff& diff) {
  ordered_json row{{"name", diff.name}, {"kind", diff.kind}, {"state", cp::state_name(diff.state)}};
  if (!diff.note.empty()) row["note"] = diff.note;
  if (diff.state == cp::DiffState::kEqual || diff.state == cp::DiffState::kDifferent)
    row.update({{"elements", diff.num_elements},
                {"equal_elements", diff.num_equal},
                {"max_absolute", diff.max_absolute},
                {"max_relative", diff.max_relative}});
  return row;
}

void print_diff(const cp::TensorDiff& diff) {
  print(fmt::format("{:<10} {:<12} {}", cp::state_name(diff.state), diff.kind, diff.name));
  if (diff.state == cp::DiffState::kDifferent)
    print(fmt::format("  {} of {} elements bit-equal, largest difference {:.9g} absolute, {:.9g} relative",
                      diff.num_equal, diff.num_elements, diff.max_absolute, diff.max_relative));
  print(fmt::format("{}{}\n", diff.note.empty() ? "" : "  ", diff.note));
}

void diff(const Options& options) {
  const std::string a = one_checkpoint(options.path), b = one_checkpoint(options.other_path);
  const cp::CheckpointReader reader_a(disk(), a), reader_b(disk(), b);
  const auto diffs = cp::diff_checkpoints(reader_a, reader_b);
  const auto num_equal = static_cast<uint64_t>(std::count_if(
      diffs.begin(), diffs.end(), [](const auto& diff) { return diff.state == cp::DiffState::kEqual; }));
  if (options.json) {
    ordered_json report{{"a", a}, {"b", b}, {"tensors", ordered_json::array()}, {"equal", num_equal}};
    for (const auto& row : diffs) report["tensors"].push_back(json_of(row));
    return print_json(report);
  }
  for (const auto& row : diffs)
    if (options.shows_all || row.state != cp::DiffState::kEqual) print_diff(row);
  print(fmt::format("{} of {} tensors are bit-equal\n", num_equal, diffs.size()));
}

// ---- the command line ----

Command add(Command parent, const char* name, const char* help, const std::shared_ptr<Options>& options,
            const std::function<void(const Options&)>& action) {
  Command command = parent.add_command(name, help);
  command.add_flag("--json", options->json, "print JSON");
  command.runs([options, action] { action(*options); });
  return command;
}

}  // namespace

void add_checkpoint_command(Command root) {
  const auto options = std::make_shared<Options>();
  Command command = root.add_command("checkpoint", "looks at, checks, compares and removes checkpoints");
  command.requires_command();
  add(command, "list", "the checkpoints of a run or of a directory, oldest first", options, list)
      .add_option("DIR", options->path, "directory of checkpoints, or of a run; or one checkpoint")
      .required();
  Command show_command = add(command, "show", "what one checkpoint holds", options, show);
  show_command.add_option("PATH", options->path, "a checkpoint, or a directory (its newest)").required();
  show_command.add_flag("--tensors", options->shows_tensors, "list the tensors, too");
  add(command, "verify", "reads every byte and compares digests; exit code 65 when something is damaged",
      options, verify)
      .add_option("PATH", options->path, "a checkpoint, or a directory (all in it)")
      .required();
  Command prune_command =
      add(command, "prune", "removes all but the newest good checkpoints", options, prune);
  prune_command.add_option("DIR", options->path, "directory of checkpoints, or of a run").required();
  prune_command.add_option("--keep", options->num_to_keep, "how many good ones stay (at least 1)")
      .required()
      .above_zero();
  Command diff_command = add(command, "diff", "compares two checkpoints tensor by tensor", options, diff);
  diff_command.add_option("A", options->path, "a checkpoint, or a directory (its newest)").required();
  diff_command.add_option("B", options->other_path, "another").required();
  diff_command.add_flag("--all", options->shows_all, "list equal tensors, too");
}

}  // namespace athanor::launch
