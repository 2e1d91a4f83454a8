#include "data/loader/batch_stream.h"

#include <algorithm>
#include <chrono>

#include "core/error.h"

namespace athanor::data {

BatchStream::BatchStream(std::shared_ptr<const TokenDataset> dataset, const BatchPlan& plan,
                         const PrefetchOptions& options)
    : dataset_(std::move(dataset)), plan_(plan), num_ahead_(static_cast<uint64_t>(options.num_batches)) {
  ATHANOR_CHECK(options.num_threads > 0 && options.num_batches > 0, "{} reading threads, {} batches ahead",
                options.num_threads, options.num_batches);
  plan_.check();
  num_micro_batches_ = plan_.num_micro_batches();
  dataset_->prepare(plan_.first_sample);
  for (int i = 0; i < options.num_threads; ++i) readers_.emplace_back([this] { read_batches(); });
}

BatchStream::~BatchStream() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  room_ready_.notify_all();
  for (std::thread& reader : readers_) reader.join();
}

std::optional<uint64_t> BatchStream::claim() {
  std::unique_lock lock(mutex_);
  room_ready_.wait(lock, [this] { return is_stopping_ || next_to_claim_ < next_to_return_ + num_ahead_; });
  if (is_stopping_ || next_to_claim_ == num_micro_batches_) return std::nullopt;
  return next_to_claim_++;
}

BatchStream::Slot BatchStream::read_slot(uint64_t index) const {
  Slot slot;
  try {
    const uint64_t first = plan_.sample_of(index);
    for (uint64_t i = 0; i < plan_.micro_batch_size; ++i) {
      dataset_->append_sequence(first + i, slot.batch);
      const std::lock_guard lock(mutex_);
      if (is_stopping_) break;
    }
  } catch (...) {
    slot.error = std::current_exception();
  }
  return slot;
}

void BatchStream::read_batches() {
  while (const auto index = claim()) {
    Slot slot = read_slot(*index);
    const std::lock_guard lock(mutex_);
    ready_.emplace(*index, std::move(slot));
    if (*index == next_to_return_) slot_ready_.notify_one();
  }
}

uint64_t BatchStream::num_ready() const {
  const std::lock_guard lock(mutex_);
  uint64_t count = 0;
  while (ready_.contains(next_to_return_ + count)) ++count;
  return count;
}

std::optional<Batch> BatchStream::next() {
  std::unique_lock lock(mutex_);
  if (next_to_return_ == num_micro_batches_) return std::nullopt;
  if (!ready_.contains(next_to_return_)) {
    const auto start = std::chrono::steady_clock::now();
    slot_ready_.wait(lock, [this] { return ready_.contains(next_to_return_); });
    if (next_to_return_ > 0) {
      ++num_waits_;
      waited_s_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
  }
  Slot& slot = ready_.at(next_to_return_);
  if (slot.error) std::rethrow_exception(slot.error);
  Batch batch = std::move(slot.batch);
  ready_.erase(next_to_return_++);
  lock.unlock();
  room_ready_.notify_one();
  return batch;
}

}  // namespace athanor::data
