// athanor synth --output PATH --documents N | --bytes N
#include <memory>

#include <fmt/format.h>

#include "core/file_system.h"
#include "core/json.h"
#include "core/parallel_for.h"
#include "data/synth/corpus.h"
#include "launch/commands.h"
#include "launch/environment.h"
#include "launch/file_outputs.h"
#include "launch/output.h"

namespace athanor::launch {
namespace {

struct SynthArguments {
  synth::SynthOptions options;
  std::string format = "auto";
  int threads = 0;
  bool json = false;
};

double percent(uint64_t part, uint64_t whole) {
  return whole ? 100.0 * static_cast<double>(part) / static_cast<double>(whole) : 0.0;
}

void print_summary(const synth::SynthSummary& summary, bool as_json) {
  if (as_json) {
    const nlohmann::json facts = {
        {"documents", summary.num_documents},     {"bytes", summary.num_bytes},
        {"dirty_documents", summary.num_dirty},   {"chinese_bytes", summary.chinese_bytes},
        {"english_bytes", summary.english_bytes}, {"code_bytes", summary.code_bytes},
        {"math_bytes", summary.math_bytes},       {"files", summary.files}};
    print(facts.dump() + "\n");
    return;
  }
  print(fmt::format(
      "{} documents, {} bytes: {:.1f} % Chinese, {:.1f} % English, {:.1f} % code; {:.1f} % "
      "of the documents dirty\n{}\n",
      summary.num_documents, summary.num_bytes, percent(summary.chinese_bytes, summary.num_bytes),
      percent(summary.english_bytes, summary.num_bytes), percent(summary.code_bytes, summary.num_bytes),
      percent(summary.num_dirty, summary.num_documents), fmt::join(summary.files, "\n")));
}

void run_synth(SynthArguments& arguments) {
  clean_up_on_signals();
  core::set_num_threads(threads_per_rank(arguments.threads, 1));
  if (arguments.format == "jsonl") arguments.options.format = synth::SynthFormat::kJsonLines;
  if (arguments.format == "txt") arguments.options.format = synth::SynthFormat::kText;
  print_summary(synth::write_corpus(arguments.options, core::posix_file_system()), arguments.json);
}

}  // namespace

void add_synth_command(Command root) {
  auto arguments = std::make_shared<SynthArguments>();
  Command command = root.add_command(
      "synth", "Generate the sample corpus: Chinese, English, code, arithmetic, and dirt to clean");
  auto& options = arguments->options;
  command
      .add_option("--output", options.output,
                  "a file (.jsonl or .txt, also with .gz or .zst), or a directory")
      .required();
  command.add_option("--documents", options.num_documents, "how many documents");
  command.add_option("--bytes", options.num_bytes, "or how many bytes of text");
  command.add_option("--seed", options.seed, "the corpus is a function of it").shows_default();
  command.add_option("--dirt", options.dirt_share, "share of dirty documents")
      .between(0.0, 1.0)
      .shows_default();
  command
      .add_option(
          "--format", arguments->format,
          "JSON lines, or plain text with a blank line between documents; auto: by the file's name, JSON "
          "lines in a directory")
      .one_of({"auto", "jsonl", "txt"})
      .shows_default();
  command.add_option("--threads", arguments->threads, "compute threads (0: all usable cores)")
      .between(0, 4096)
      .shows_default();
  command.add_flag("--json", arguments->json, "print the summary as JSON");
  command.runs([arguments] { run_synth(*arguments); });
}

}  // namespace athanor::launch
