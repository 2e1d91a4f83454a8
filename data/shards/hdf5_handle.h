// The few things every use of the HDF5 library here needs: handles that close themselves, its error stack as
// one line of text, and one lock, since the library keeps process-wide state. For data/shards/*.cpp only.
#pragma once

#include <mutex>
#include <string>
#include <utility>

#include <hdf5.h>

namespace athanor::data {

/// An HDF5 identifier that is closed with the function it was opened for.
class Hdf5Handle {
 public:
  using CloseFunction = herr_t (*)(hid_t);

  Hdf5Handle() = default;
  Hdf5Handle(hid_t id, CloseFunction close_function) : id_(id), close_(close_function) {}
  Hdf5Handle(Hdf5Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Hdf5Handle& operator=(Hdf5Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Hdf5Handle() { close(); }

  hid_t id() const { return id_; }
  bool is_open() const { return id_ >= 0; }
  /// False when the library reports a failure (on a file: something could not be written).
  bool close() {
    const hid_t id = std::exchange(id_, -1);
    return id < 0 || close_(id) >= 0;
  }

 private:
  hid_t id_ = -1;
  CloseFunction close_ = nullptr;
};

/// Taken around every use of the library. The first call also silences the library's own printing.
std::unique_lock<std::mutex> lock_hdf5();

/// What really went wrong: the system's words for a failed system call, else the innermost entry of the
/// library's error stack.
std::string hdf5_reason();

}  // namespace athanor::data
