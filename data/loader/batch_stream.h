// Micro batches of one rank, read ahead in the background, so that the step does not wait for the disk.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "data/loader/batch_plan.h"
#include "data/loader/token_dataset.h"

namespace athanor::data {

struct PrefetchOptions {
  int num_threads = 1;
  int num_batches = 8;  ///< read ahead at most
};

/// Used by one thread. Batches come in the order of the plan, whatever the number of reading threads.
class BatchStream {
 public:
  /// Starts reading at once. Throws ConfigError for a plan that does not divide.
  BatchStream(std::shared_ptr<const TokenDataset> dataset, const BatchPlan& plan,
              const PrefetchOptions& options = {});
  /// Stops the readers after the sequence each is at.
  ~BatchStream();
  BatchStream(const BatchStream&) = delete;
  BatchStream& operator=(const BatchStream&) = delete;

  /// The next micro batch; nothing at the end of the plan. An error of a reader is thrown here, at the batch
  /// it struck, and again at every later call.
  std::optional<Batch> next();

  /// Batches that next() could give without waiting.
  uint64_t num_ready() const;
  /// Calls of next() that found no batch ready, the first one left out, and how long they waited in all.
  uint64_t num_waits() const { return num_waits_; }
  double waited_s() const { return waited_s_; }

 private:
  struct Slot {
    Batch batch;
    std::exception_ptr error;
  };

  void read_batches();
  std::optional<uint64_t> claim();
  Slot read_slot(uint64_t index) const;

  std::shared_ptr<const TokenDataset> dataset_;
  BatchPlan plan_;
  uint64_t num_micro_batches_;
  uint64_t num_ahead_;
  uint64_t num_waits_ = 0;
  double waited_s_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable slot_ready_, room_ready_;
  std::map<uint64_t, Slot> ready_;
  uint64_t next_to_claim_ = 0, next_to_return_ = 0;
  bool is_stopping_ = false;
  std::vector<std::thread> readers_;
};

}  // namespace athanor::data
