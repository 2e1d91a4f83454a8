// `athanor synth`: writes the sample corpus.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <thread>

#include <fmt/core.h>

#include "core/parallel_for.h"
#include "data/synth/corpus.h"
#include "launch/commands.h"

namespace athanor::launch {
namespace {

void print(const synth::SynthSummary& s, bool as_json) {
  const auto share = [&](uint64_t bytes) {
    return s.num_bytes == 0 ? 0.0 : 100.0 * static_cast<double>(bytes) / static_cast<double>(s.num_bytes);
  };
  if (as_json) {
    fmt::print(
        "{{\"documents\":{},\"bytes\":{},\"dirty_documents\":{},\"chinese_bytes\":{},\"english_bytes\":{},"
        "\"code_bytes\":{},\"math_bytes\":{},\"files\":{}}}\n",
        s.num_documents, s.num_bytes, s.num_dirty, s.chinese_bytes, s.english_bytes, s.code_bytes,
        s.math_bytes, s.files.size());
    return;
  }
  fmt::print(
      "{} documents, {:.1f} MB ({} with dirt): Chinese {:.1f} %, English {:.1f} %, code {:.1f} %; arithmetic "
      "{:.1f} %\n",
      s.num_documents, static_cast<double>(s.num_bytes) / 1e6, s.num_dirty, share(s.chinese_bytes),
      share(s.english_bytes), share(s.code_bytes), share(s.math_bytes));
  for (const auto& file : s.files) fmt::print("{}\n", file);
}

struct SynthArguments {
  synth::SynthOptions options;
  std::string format = "jsonl";
  bool as_json = false;
};

void run(SynthArguments& arguments) {
  core::set_num_threads(static_cast<int>(std::max(1U, std::thread::hardware_concurrency())));
  arguments.options.format =
      arguments.format == "txt" ? synth::SynthFormat::kText : synth::SynthFormat::kJsonLines;
  print(synth::write_corpus(arguments.options, core::posix_file_system()), arguments.as_json);
}

}  // namespace

void add_synth_command(CLI::App& root) {
  auto* command = root.add_subcommand("synth", "generates the bilingual sample corpus");
  auto arguments = std::make_shared<SynthArguments>();
  auto& options = arguments->options;
  command->add_option("--output", options.output, "a file (.jsonl, .txt, with .gz or .zst), or a directory")
      ->required();
  auto* documents = command->add_option("--documents", options.num_documents, "how many documents");
  command->add_option("--bytes", options.num_bytes, "how many bytes of text instead")->excludes(documents);
  command->add_option("--seed", options.seed, "another seed, another world and corpus")
      ->capture_default_str();
  command->add_option("--dirt", options.dirt_share, "share of documents spoilt as real data is")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command->add_option("--format", arguments->format, "jsonl, or txt: documents separated by blank lines")
      ->check(CLI::IsMember({"jsonl", "txt"}))
      ->capture_default_str();
  command->add_flag("--json", arguments->as_json, "print the facts as JSON");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace athanor::launch
