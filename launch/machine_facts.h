// What this machine has, measured: for `athanor doctor`. Seconds in all, not minutes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/json.h"

namespace athanor::launch {

struct ProductFacts {
  std::string dtype;
  std::string kernel;
  double flops = 0;  ///< per second, of all threads
};

struct DiskFacts {
  std::string directory;
  uint64_t free_bytes = 0;
  double write_bytes_per_second = 0;  ///< one file, from its creation to the end of fsync
  double sync_seconds = 0;            ///< median of creating, writing 4 KiB and fsync
  std::string error;                  ///< why nothing was measured; empty: it was
};

struct MachineFacts {
  std::string host, processor, system;
  int num_usable_cores = 0, num_cores = 0, num_threads = 0;
  uint64_t memory_bytes = 0, available_memory_bytes = 0;
  double copy_bytes_per_second = 0;  ///< read and written together, arrays larger than the caches
  std::vector<ProductFacts> products;
  DiskFacts disk;
  std::string mpi_version, torch_version;
  int num_gpus = 0;
  std::string gpu_note;  ///< why there are none; empty when there are
};

/// With `num_threads` threads; files are written to `directory` and removed.
MachineFacts measure_machine(int num_threads, const std::string& directory);

nlohmann::ordered_json to_json(const MachineFacts& facts);
std::string to_text(const MachineFacts& facts);

}  // namespace athanor::launch
