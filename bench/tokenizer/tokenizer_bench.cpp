// Speed of training and encoding, with the conditions: bench_tokenizer CORPUS.jsonl [VOCAB_SIZE [PRESET
// [THREADS]]]
//
// Texts are in memory before encoding is timed; training reads the file. MB are 10^6 bytes of text. CPU
// seconds are of all threads, so that figures from a busy machine can still be compared; peer.py does the
// same for Hugging Face.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <sys/resource.h>
#include <vector>

#include "core/error.h"
#include "core/file_system.h"
#include "core/parallel_for.h"
#include "data/tokenizer/presets.h"
#include "data/tokenizer/text_blocks.h"
#include "data/tokenizer/trainer.h"

namespace athanor::data::tokenizer {
namespace {

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void report(const char* what, double megabytes, int num_threads, const std::function<void()>& body) {
  const double cpu_before = cpu_seconds();
  const auto before = std::chrono::steady_clock::now();
  body();
  const double wall = std::chrono::duration<double>(std::chrono::steady_clock::now() - before).count();
  const double cpu = cpu_seconds() - cpu_before;
  std::printf(
      "{\"bench\":\"%s\",\"threads\":%d,\"mb\":%.1f,\"wall_s\":%.2f,\"cpu_s\":%.2f,\"mb_per_s\":%.1f,\"mb_"
      "per_cpu_s\":%.1f}\n",
      what, num_threads, megabytes, wall, cpu, megabytes / wall, megabytes / cpu);
}

std::vector<std::string> read_texts(const std::string& path) {
  TextBlockReader reader(core::posix_file_system(), {path});
  std::vector<std::string> texts;
  for (TextBlock block; reader.next(block);)
    for_each_text(block, [&](std::string_view text) { texts.emplace_back(text); });
  return texts;
}

void run(const std::string& path, size_t vocab_size, const std::string& preset, int num_threads) {
  const auto texts = read_texts(path);
  double megabytes = 0;
  for (const auto& text : texts) megabytes += 1e-6 * static_cast<double>(text.size());
  core::set_num_threads(num_threads);
  TrainerOptions options;
  options.vocab_size = vocab_size;
  options.patterns = preset_patterns(preset);
  std::vector<Tokenizer> trained;
  report("train", megabytes, num_threads,
         [&] { trained.push_back(train_tokenizer({path}, options).tokenizer); });
  size_t num_tokens = 0;
  const auto encode_all = [&] {
    num_tokens = 0;
    for (const auto& ids : trained[0].encode_batch(texts)) num_tokens += ids.size();
  };
  report("encode, caches empty", megabytes, num_threads, encode_all);
  report("encode, caches warm", megabytes, num_threads, encode_all);
  std::printf("{\"preset\":\"%s\",\"vocab_size\":%zu,\"tokens\":%zu,\"bytes_per_token\":%.2f}\n",
              preset.c_str(), vocab_size, num_tokens, 1e6 * megabytes / static_cast<double>(num_tokens));
}

}  // namespace
}  // namespace athanor::data::tokenizer

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: bench_tokenizer CORPUS.jsonl [VOCAB_SIZE [PRESET [THREADS]]]\n");
    return 2;
  }
  try {
    athanor::data::tokenizer::run(argv[1], argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 8192,
                                  argc > 3 ? argv[3] : "gpt2", argc > 4 ? std::atoi(argv[4]) : 1);
  } catch (const athanor::core::Error& error) {
    std::fprintf(stderr, "bench_tokenizer: %s\n", error.what());
    return static_cast<int>(error.exit_code());
  }
  return 0;
}
