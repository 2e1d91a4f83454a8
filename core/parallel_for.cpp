#include "core/parallel_for.h"

#include <atomic>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "core/error.h"

namespace athanor::core {
namespace {

thread_local bool t_inside_piece = false;

// One loop at a time: the caller publishes it under `mutex_`, helpers take pieces from `next_` until none is
// left.
class ThreadPool {
 public:
  explicit ThreadPool(int num_threads) {
    try {
      for (int i = 1; i < num_threads; ++i) helpers_.emplace_back([this] { help(); });
    } catch (const std::system_error& error) {
      const size_t num_started = helpers_.size() + 1;
      stop();
      throw IoError("{} of {} compute threads could be started: {}; ask for fewer", num_started, num_threads,
                    error.code().message());
    }
  }
  ~ThreadPool() { stop(); }

  int size() const { return static_cast<int>(helpers_.size()) + 1; }

  void run(int64_t num_pieces, const std::function<void(int64_t)>& body) {
    std::lock_guard turn(turn_);
    {
      std::lock_guard lock(mutex_);
      body_ = &body;
      num_pieces_ = num_pieces;
      next_.store(0, std::memory_order_relaxed);
      busy_.store(static_cast<int>(helpers_.size()), std::memory_order_relaxed);
      failure_ = nullptr;
      generation_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    take_pieces();
    while (busy_.load(std::memory_order_acquire) != 0) std::this_thread::yield();
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  void stop() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
      generation_.fetch_add(1);
    }
    wake_.notify_all();
    for (auto& helper : helpers_) helper.join();
  }

  void take_pieces() {
    t_inside_piece = true;
    for (int64_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < num_pieces_;) {
      try {
        (*body_)(i);
      } catch (...) {
        std::lock_guard lock(failure_mutex_);
        if (!failure_) failure_ = std::current_exception();
      }
    }
    t_inside_piece = false;
  }

  void help() {
    uint64_t seen = 0;
    for (;;) {
      for (int spin = 0; spin < 2000 && generation_.load(std::memory_order_acquire) == seen; ++spin)
        __builtin_ia32_pause();
      if (generation_.load(std::memory_order_acquire) == seen) {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return generation_.load(std::memory_order_acquire) != seen; });
      }
      seen = generation_.load(std::memory_order_acquire);
      if (stopping_) return;
      take_pieces();
      busy_.fetch_sub(1, std::memory_order_release);
    }
  }

  std::mutex turn_, mutex_, failure_mutex_;
  std::condition_variable wake_;
  std::atomic<uint64_t> generation_{0};
  std::atomic<int64_t> next_{0};
  std::atomic<int> busy_{0};
  std::atomic<bool> stopping_{false};
  const std::function<void(int64_t)>* body_ = nullptr;
  int64_t num_pieces_ = 0;
  std::exception_ptr failure_;
  std::vector<std::thread> helpers_;
};

// The one pool of the process: kernels are called from everywhere and must share the cores.
std::unique_ptr<ThreadPool>& pool() {
  static std::unique_ptr<ThreadPool> instance = std::make_unique<ThreadPool>(1);
  return instance;
}

}  // namespace

void set_num_threads(int num_threads) {
  ATHANOR_CHECK(num_threads >= 1, "{} compute threads were asked for", num_threads);
  if (num_threads != pool()->size()) pool() = std::make_unique<ThreadPool>(num_threads);
}

int num_threads() {
  return pool()->size();
}

void parallel_for(int64_t num_pieces, const std::function<void(int64_t)>& body) {
  if (t_inside_piece || num_pieces <= 1 || pool()->size() == 1) {
    for (int64_t i = 0; i < num_pieces; ++i) body(i);
    return;
  }
  pool()->run(num_pieces, body);
}

}  // namespace athanor::core
