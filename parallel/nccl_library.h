// The NCCL library, opened at run time: the program links no CUDA library. `nccl.h` is needed to compile this
// (CMake option ATHANOR_NCCL); without it `NcclLibrary::open` is a ConfigError.
//
// Communicators are non-blocking: a call may return before the library has enqueued it, and the next call on
// the same communicator must not be made until `is_settled`. Failures are CommErrors with the library's own
// words; callers add which collective it was.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string>

#include <ATen/core/Tensor.h>

#include "parallel/communicator.h"

namespace athanor::parallel {

/// What the ranks of one communicator must share to find each other.
using NcclId = std::array<char, 128>;

/// One communicator of the library. Everything moves as bytes, so any dtype travels. `stream` is a
/// cudaStream_t. One thread at a time, except `abort`. A handle that was neither closed nor aborted is given
/// up with its memory: a destructor must not communicate.
class NcclHandle {
 public:
  struct Implementation;
  explicit NcclHandle(std::unique_ptr<Implementation> implementation);
  ~NcclHandle();

  /// The last call has been enqueued (or the communicator has been joined). Throws CommError when the library
  /// reports an error, which may have happened on another rank.
  bool is_settled();
  void all_gather(void* out, const void* in, size_t num_bytes, void* stream);
  void all_reduce(void* data, size_t num_elements, at::ScalarType dtype, ReduceOp op, void* stream);
  void broadcast(void* data, size_t num_bytes, int root, void* stream);
  /// `send` and `receive` go between these two and run together.
  void begin_group();
  void send(const void* data, size_t num_bytes, int to, void* stream);
  void receive(void* data, size_t num_bytes, int from, void* stream);
  void end_group();

  /// Lets the library reach this memory without a copy of its own, until the communicator ends. A hint: false
  /// when the library does not offer it.
  bool register_memory(void* data, size_t num_bytes);

  /// Frees the communicator; every rank of it calls this, when none of its calls is in flight any more. Waits
  /// at most `patience_s`, then aborts.
  void close(double patience_s);
  /// Ends calls in flight, on the device too, and frees the communicator. Local, from any thread.
  void abort() noexcept;

 private:
  std::unique_ptr<Implementation> implementation_;
};

class NcclLibrary {
 public:
  struct Functions;
  /// `file`: a path, or a name that the loader finds (libnccl.so.2). ConfigError when it cannot be opened or
  /// is too old, or when this program was built without nccl.h.
  static std::shared_ptr<const NcclLibrary> open(const std::string& file);
  explicit NcclLibrary(std::unique_ptr<Functions> functions);
  ~NcclLibrary();

  std::string version() const;  ///< "2.28.9"
  NcclId make_id() const;
  /// Starts joining as `rank` of `size`, on the current CUDA device; poll `is_settled`.
  std::unique_ptr<NcclHandle> join(const NcclId& id, int size, int rank, const std::string& name) const;

 private:
  std::shared_ptr<Functions> functions_;
};

}  // namespace athanor::parallel
