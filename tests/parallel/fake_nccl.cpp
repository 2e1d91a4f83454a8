// libnccl.so.2 for machines without a GPU: the functions that the program uses, between processes of one
// machine, over files. It is as asynchronous as the real one: a communicator is in progress until all ranks
// have joined, transfers run on the stream and wait there for their peers, abort ends them. A transfer whose
// sizes differ never completes. Failures are made on request by the functions at the end.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <nccl.h>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include "tests/parallel/fake_stream.h"

namespace fs = std::filesystem;

namespace {

std::atomic<int> num_ids{0};
std::atomic<int> async_error{ncclSuccess};
std::atomic<int> join_error{ncclSuccess};

struct Shared {
  fs::path folder;
  int size = 0, rank = 0;
  std::atomic<bool> aborted{false};
  std::map<std::pair<int, int>, int64_t> num_sent;  // by (from, to), only asked on one stream

  fs::path message(int from, int to) {
    return folder /
           (std::to_string(from) + "-" + std::to_string(to) + "-" + std::to_string(num_sent[{from, to}]++));
  }
  void write(const char* data, size_t num_bytes, int to) {
    const fs::path path = message(rank, to), partial = path.string() + ".partial";
    std::ofstream(partial, std::ios::binary).write(data, static_cast<std::streamsize>(num_bytes));
    std::error_code gone;  // after an abort
    fs::rename(partial, path, gone);
  }
  void read(char* data, size_t num_bytes, int from) {
    const fs::path path = message(from, rank);
    std::error_code absent;
    while (fs::file_size(path, absent) != num_bytes || absent) {
      if (aborted) return;
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    std::ifstream(path, std::ios::binary).read(data, static_cast<std::streamsize>(num_bytes));
    fs::remove(path);
  }
};

}  // namespace

struct ncclComm {
  std::shared_ptr<Shared> shared;
};

namespace {

size_t bytes_of(ncclDataType_t type) {
  return type == ncclUint8 ? 1 : type == ncclInt32 || type == ncclFloat32 ? 4 : 8;
}

template <typename T>
void reduce(char* into, const char* from, size_t count, ncclRedOp_t op) {
  T *a = reinterpret_cast<T*>(into), b;
  for (size_t i = 0; i < count; ++i) {
    std::memcpy(&b, from + i * sizeof(T), sizeof(T));
    a[i] = op == ncclSum ? static_cast<T>(a[i] + b) : op == ncclMax ? std::max(a[i], b) : std::min(a[i], b);
  }
}

void reduce_typed(char* into, const char* from, size_t count, ncclDataType_t type, ncclRedOp_t op) {
  if (type == ncclUint8) reduce<uint8_t>(into, from, count, op);
  if (type == ncclInt32) reduce<int32_t>(into, from, count, op);
  if (type == ncclInt64) reduce<int64_t>(into, from, count, op);
  if (type == ncclFloat32) reduce<float>(into, from, count, op);
  if (type == ncclFloat64) reduce<double>(into, from, count, op);
}

// What a group has collected: every send before any receive, as if all ran at once.
thread_local int group_depth = 0;
thread_local std::vector<std::function<void()>> group_sends, group_receives;
thread_local athanor::tests::FakeStream* group_stream = nullptr;

athanor::tests::FakeStream& as_stream(cudaStream_t stream) {
  return *reinterpret_cast<athanor::tests::FakeStream*>(stream);
}

}  // namespace

extern "C" {

ncclResult_t ncclGetVersion(int* version) {
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
  return result == ncclRemoteError ? "remote process exited" : "invalid usage";
}

const char* ncclGetLastError(ncclComm_t) {
  return "told by the fake";
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  const std::string folder = (fs::temp_directory_path() / "fake-nccl-").string() + std::to_string(getpid()) +
                             "-" + std::to_string(num_ids++);
  std::snprintf(id->internal, sizeof id->internal, "%s", folder.c_str());
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int size, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
  if (join_error != ncclSuccess) return static_cast<ncclResult_t>(join_error.load());
  if (config->blocking != 0) return ncclInvalidUsage;
  auto shared = std::make_shared<Shared>();
  shared->folder = id.internal;
  shared->size = size;
  shared->rank = rank;
  fs::create_directories(shared->folder);
  std::ofstream(shared->folder / ("joined-" + std::to_string(rank)));
  *comm = new ncclComm{shared};
  return ncclInProgress;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* state) {
  *state = static_cast<ncclResult_t>(async_error.load());
  for (int r = 0; r < comm->shared->size; ++r)
    if (*state == ncclSuccess && !fs::exists(comm->shared->folder / ("joined-" + std::to_string(r))))
      *state = ncclInProgress;
  return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t) {
  return ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  if (comm->shared->rank == 0) {
    std::error_code ignored;
    fs::remove_all(comm->shared->folder, ignored);
  }
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  comm->shared->aborted = true;
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclGroupStart() {
  ++group_depth;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  if (--group_depth > 0 || !group_stream) return ncclSuccess;
  group_stream->enqueue([sends = std::move(group_sends), receives = std::move(group_receives)] {
    for (const auto& send : sends) send();
    for (const auto& receive : receives) receive();
  });
  group_sends.clear();
  group_receives.clear();
  group_stream = nullptr;
  return ncclSuccess;
}

ncclResult_t ncclSend(const void* data, size_t count, ncclDataType_t type, int to, ncclComm_t comm,
                      cudaStream_t stream) {
  if (group_depth == 0) return ncclInvalidUsage;
  group_stream = &as_stream(stream);
  group_sends.push_back([shared = comm->shared, data, num_bytes = count * bytes_of(type), to] {
    shared->write(static_cast<const char*>(data), num_bytes, to);
  });
  return ncclSuccess;
}

// The library numbers a rank's own messages once, on the side that sends: both sides of a self message would
// count the same pair.
ncclResult_t ncclRecv(void* data, size_t count, ncclDataType_t type, int from, ncclComm_t comm,
                      cudaStream_t stream) {
  if (group_depth == 0) return ncclInvalidUsage;
  group_stream = &as_stream(stream);
  group_receives.push_back([shared = comm->shared, data, num_bytes = count * bytes_of(type), from] {
    if (from == shared->rank) --shared->num_sent[{from, from}];
    shared->read(static_cast<char*>(data), num_bytes, from);
  });
  return ncclSuccess;
}

ncclResult_t ncclAllGather(const void* in, void* out, size_t count, ncclDataType_t type, ncclComm_t comm,
                           cudaStream_t stream) {
  as_stream(stream).enqueue([shared = comm->shared, in = static_cast<const char*>(in),
                             out = static_cast<char*>(out), num_bytes = count * bytes_of(type)] {
    for (int r = 0; r < shared->size; ++r)
      if (r != shared->rank) shared->write(in, num_bytes, r);
    std::memmove(out + shared->rank * num_bytes, in, num_bytes);
    for (int r = 0; r < shared->size; ++r)
      if (r != shared->rank) shared->read(out + r * num_bytes, num_bytes, r);
  });
  return ncclSuccess;
}

ncclResult_t ncclAllReduce(const void* in, void* out, size_t count, ncclDataType_t type, ncclRedOp_t op,
                           ncclComm_t comm, cudaStream_t stream) {
  as_stream(stream).enqueue([shared = comm->shared, in = static_cast<const char*>(in),
                             out = static_cast<char*>(out), count, type, op] {
    const size_t num_bytes = count * bytes_of(type);
    for (int r = 0; r < shared->size; ++r)
      if (r != shared->rank) shared->write(in, num_bytes, r);
    std::vector<char> theirs(num_bytes);
    for (int r = 0; r < shared->size; ++r) {
      if (r == shared->rank) continue;
      shared->read(theirs.data(), num_bytes, r);
      reduce_typed(out, theirs.data(), count, type, op);
    }
  });
  return ncclSuccess;
}

ncclResult_t ncclBroadcast(const void*, void* data, size_t count, ncclDataType_t type, int root,
                           ncclComm_t comm, cudaStream_t stream) {
  as_stream(stream).enqueue(
      [shared = comm->shared, data = static_cast<char*>(data), num_bytes = count * bytes_of(type), root] {
        if (shared->rank != root) return shared->read(data, num_bytes, root);
        for (int r = 0; r < shared->size; ++r)
          if (r != root) shared->write(data, num_bytes, r);
      });
  return ncclSuccess;
}

ncclResult_t ncclCommRegister(ncclComm_t, void* data, size_t, void** handle) {
  *handle = data;
  return ncclSuccess;
}

// ---- failures on request ---------------------------------------------------------------------------------

void fake_nccl_set_async_error(int result) {
  async_error = result;
}

void fake_nccl_set_join_error(int result) {
  join_error = result;
}
}
