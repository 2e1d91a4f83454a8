// Working memory of one thread that outlives a call: allocating megabytes per piece would cost page faults.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace athanor::kernels::cpu {

/// Grows as needed, never shrinks; aligned to a cache line. Contents are lost when it grows.
class Scratch {
 public:
  template <typename T>
  T* get(int64_t count) {
    const size_t bytes = (static_cast<size_t>(count) * sizeof(T) + 63) / 64 * 64;
    if (bytes > bytes_) grow(bytes);
    return static_cast<T*>(data_.get());
  }

 private:
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };
  void grow(size_t bytes) {
    data_.reset(std::aligned_alloc(64, bytes));
    bytes_ = data_ ? bytes : 0;
    if (!data_) throw std::bad_alloc();
  }

  std::unique_ptr<void, Free> data_;
  size_t bytes_ = 0;
};

}  // namespace athanor::kernels::cpu
