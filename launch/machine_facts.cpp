#include "launch/machine_facts.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <fstream>
#include <sched.h>
#include <sys/utsname.h>
#include <thread>
#include <unistd.h>

#include <fmt/core.h>
#include <torch/headeronly/version.h>

#include "core/error.h"
#include "core/file_system.h"
#include "core/parallel_for.h"
#include "kernels/cuda_plugin.h"
#include "kernels/ops.h"
#include "parallel/library_version.h"

namespace athanor::launch {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kMemoryProbeBytes = size_t{256} << 20;
constexpr int kCopyRounds = 5;
constexpr size_t kDiskBytes = size_t{128} << 20;
constexpr int kSyncRounds = 9;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// The value behind "name ... :" in a file of the proc file system.
std::string proc_value(const char* path, const std::string& name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(name, 0) != 0) continue;
    const size_t colon = line.find(':');
    const size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "unknown";
}

uint64_t proc_bytes(const std::string& name) {
  const std::string text = proc_value("/proc/meminfo", name);  // "16384 kB"
  return std::strtoull(text.c_str(), nullptr, 10) << 10;
}

std::string system_name() {
  utsname name{};
  return ::uname(&name) == 0 ? fmt::format("{} {} {}", name.sysname, name.release, name.machine) : "unknown";
}

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

int usable_cores() {
  cpu_set_t cores;
  return ::sched_getaffinity(0, sizeof(cores), &cores) == 0 ? CPU_COUNT(&cores) : 1;
}

// The best of some rounds, each thread on its own part of the arrays.
double measure_copy() {
  const std::unique_ptr<char[]> from(new char[kMemoryProbeBytes]), to(new char[kMemoryProbeBytes]);
  const int64_t num_pieces = core::num_threads();
  const size_t piece = kMemoryProbeBytes / num_pieces;
  const auto copy = [&](int64_t i) { std::memcpy(to.get() + i * piece, from.get() + i * piece, piece); };
  core::parallel_for(num_pieces, [&](int64_t i) { std::memset(from.get() + i * piece, 1, piece); });
  core::parallel_for(num_pieces, copy);  // brings the pages in
  double best_s = 1e30;
  for (int round = 0; round < kCopyRounds; ++round) {
    const auto begin = Clock::now();
    core::parallel_for(num_pieces, copy);
    best_s = std::min(best_s, seconds_since(begin));
  }
  return 2.0 * static_cast<double>(piece * num_pieces) / best_s;
}

double write_and_sync(core::FileSystem& fs, const std::string& path, std::span<const std::byte> bytes) {
  const auto begin = Clock::now();
  const auto file = fs.create(path);
  file->append(bytes);
  file->sync();
  const double seconds = seconds_since(begin);
  file->close();
  return seconds;
}

DiskFacts measure_disk(const std::string& directory) {
  DiskFacts facts{.directory = directory};
  auto& fs = core::posix_file_system();
  const std::string path = fmt::format("{}/.athanor-doctor-{}", directory, ::getpid());
  try {
    facts.free_bytes = fs.free_bytes(directory);
    const std::vector<std::byte> bytes(std::min<uint64_t>(kDiskBytes, facts.free_bytes / 4), std::byte{0x5A});
    facts.write_bytes_per_second = static_cast<double>(bytes.size()) / write_and_sync(fs, path, bytes);
    std::vector<double> seconds;
    for (int round = 0; round < kSyncRounds; ++round)
      seconds.push_back(
          write_and_sync(fs, path, std::span(bytes).first(std::min<size_t>(4096, bytes.size()))));
    std::nth_element(seconds.begin(), seconds.begin() + kSyncRounds / 2, seconds.end());
    facts.sync_seconds = seconds[kSyncRounds / 2];
  } catch (const core::Error& error) {
    facts.error = error.what();
  }
  try {
    fs.remove_all(path);
  } catch (const core::Error& error) {
    facts.error = error.what();
  }
  return facts;
}

ProductFacts measure_products(at::ScalarType dtype, const char* name) {
  return {name, kernels::product_kernel_name(dtype), kernels::measure_peak_flops(dtype)};
}

// Opening the plugin also loads LibTorch's CUDA side, which counts the devices.
void count_gpus(MachineFacts& facts) {
  try {
    facts.num_gpus = kernels::num_cuda_devices();
    if (facts.num_gpus == 0) facts.gpu_note = "the CUDA plugin opens, but no device is visible";
  } catch (const std::exception& error) {
    facts.gpu_note = error.what();
  }
}

std::string in_gb(double bytes) {
  return fmt::format("{:.1f} GB", bytes * 1e-9);
}

}  // namespace

MachineFacts measure_machine(int num_threads, const std::string& directory) {
  core::set_num_threads(num_threads);
  MachineFacts facts;
  facts.host = host_name();
  facts.processor = proc_value("/proc/cpuinfo", "model name");
  facts.system = system_name();
  facts.num_usable_cores = usable_cores();
  facts.num_cores = static_cast<int>(std::thread::hardware_concurrency());
  facts.num_threads = num_threads;
  facts.memory_bytes = proc_bytes("MemTotal");
  facts.available_memory_bytes = proc_bytes("MemAvailable");
  facts.copy_bytes_per_second = measure_copy();
  facts.products = {measure_products(at::kFloat, "fp32"), measure_products(at::kBFloat16, "bf16")};
  facts.disk = measure_disk(directory);
  facts.mpi_version = parallel::mpi_library_version();
  facts.torch_version = TORCH_VERSION;
  count_gpus(facts);
  return facts;
}

nlohmann::ordered_json to_json(const MachineFacts& facts) {
  nlohmann::ordered_json json = {{"host", facts.host},
                                 {"processor", facts.processor},
                                 {"system", facts.system},
                                 {"cores", facts.num_cores},
                                 {"usable_cores", facts.num_usable_cores},
                                 {"threads", facts.num_threads},
                                 {"memory_bytes", facts.memory_bytes},
                                 {"available_memory_bytes", facts.available_memory_bytes},
                                 {"memory_copy_bytes_per_second", facts.copy_bytes_per_second}};
  for (const ProductFacts& product : facts.products)
    json["matmul_flops"][product.dtype] = {{"flops_per_second", product.flops}, {"kernel", product.kernel}};
  json["disk"] = {{"directory", facts.disk.directory},
                  {"free_bytes", facts.disk.free_bytes},
                  {"write_bytes_per_second", facts.disk.write_bytes_per_second},
                  {"sync_seconds", facts.disk.sync_seconds},
                  {"error", facts.disk.error}};
  json["mpi"] = facts.mpi_version;
  json["libtorch"] = facts.torch_version;
  json["gpus"] = facts.num_gpus;
  json["gpu_note"] = facts.gpu_note;
  return json;
}

std::string to_text(const MachineFacts& facts) {
  std::string text = fmt::format("host       {} ({})\n", facts.host, facts.system);
  text += fmt::format("processor  {}, {} cores, {} usable, {} threads\n", facts.processor, facts.num_cores,
                      facts.num_usable_cores, facts.num_threads);
  text += fmt::format(
      "memory     {}, {} available; copying {}/s\n", in_gb(static_cast<double>(facts.memory_bytes)),
      in_gb(static_cast<double>(facts.available_memory_bytes)), in_gb(facts.copy_bytes_per_second));
  for (const ProductFacts& product : facts.products)
    text += fmt::format("matmul     {}: {:.1f} GFLOP/s ({})\n", product.dtype, product.flops * 1e-9,
                        product.kernel);
  const DiskFacts& disk = facts.disk;
  text += disk.error.empty()
              ? fmt::format("disk       {}: {} free, writing {:.0f} MB/s with fsync, {:.1f} ms for 4 KiB\n",
                            disk.directory, in_gb(static_cast<double>(disk.free_bytes)),
                            disk.write_bytes_per_second * 1e-6, disk.sync_seconds * 1e3)
              : fmt::format("disk       {}: {}\n", disk.directory, disk.error);
  text += fmt::format("mpi        {}\nlibtorch   {}\n", facts.mpi_version, facts.torch_version);
  text += facts.gpu_note.empty() ? fmt::format("gpus       {}\n", facts.num_gpus)
                                 : fmt::format("gpus       none: {}\n", facts.gpu_note);
  return text;
}

}  // namespace athanor::launch
