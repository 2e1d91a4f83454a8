#include "parallel/nccl_library.h"

#include <chrono>
#include <cstring>
#include <dlfcn.h>
#include <mutex>
#include <nccl.h>
#include <thread>

#include <fmt/core.h>

#include "core/error.h"

namespace athanor::parallel {
namespace {

// Non-blocking communicators, which every path here relies on, came with 2.14.
constexpr int kOldestVersion = NCCL_VERSION(2, 14, 0);
// How long `abort` waits for another thread's call to return before it goes ahead regardless: a call that
// hangs is what abort is for.
constexpr std::chrono::milliseconds kAbortPatience{500};
static_assert(sizeof(NcclId) == NCCL_UNIQUE_ID_BYTES);

std::string text_of(int version) {
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

}  // namespace

struct NcclLibrary::Functions {
  decltype(&ncclGetVersion) get_version;
  decltype(&ncclGetErrorString) error_string;
  decltype(&ncclGetLastError) last_error;
  decltype(&ncclGetUniqueId) get_unique_id;
  decltype(&ncclCommInitRankConfig) init_rank;
  decltype(&ncclCommGetAsyncError) async_error;
  decltype(&ncclCommFinalize) finalize;
  decltype(&ncclCommDestroy) destroy;
  decltype(&ncclCommAbort) abort;
  decltype(&ncclAllGather) all_gather;
  decltype(&ncclAllReduce) all_reduce;
  decltype(&ncclBroadcast) broadcast;
  decltype(&ncclSend) send;
  decltype(&ncclRecv) receive;
  decltype(&ncclGroupStart) group_start;
  decltype(&ncclGroupEnd) group_end;
  ncclResult_t (*register_memory)(ncclComm_t, void*, size_t, void**);  // null before 2.19

  std::string describe(ncclResult_t result, ncclComm_t comm) const {
    const char* detail = last_error(comm);
    return detail && *detail ? fmt::format("{} ({})", error_string(result), detail) : error_string(result);
  }
  void check(ncclResult_t result, const char* call, ncclComm_t comm) const {
    if (result != ncclSuccess && result != ncclInProgress)
      throw core::CommError("{}: {}", call, describe(result, comm));
  }
};

// ---- the library -----------------------------------------------------------------------------------------

namespace {

class Symbols {
 public:
  explicit Symbols(const std::string& file) : file_(file), library_(dlopen(file.c_str(), RTLD_NOW)) {
    if (!library_)
      throw core::ConfigError(
          "device cuda on several ranks needs NCCL, but {} cannot be opened: {}; install it (Python wheel "
          "nvidia-nccl-cu13, or the distribution's libnccl2) or name its path",
          file, dlerror());
  }
  template <typename Function>
  void find(Function& function, const char* name, bool is_needed = true) const {
    function = reinterpret_cast<Function>(dlsym(library_, name));
    if (!function && is_needed)
      throw core::ConfigError("{} has no function {}: NCCL {} or newer is needed", file_, name,
                              text_of(kOldestVersion));
  }

 private:
  std::string file_;
  void* library_;  // stays open: its threads may outlive any owner
};

}  // namespace

std::shared_ptr<const NcclLibrary> NcclLibrary::open(const std::string& file) {
  const Symbols symbols(file);
  auto functions = std::make_unique<Functions>();
  symbols.find(functions->get_version, "ncclGetVersion");
  symbols.find(functions->error_string, "ncclGetErrorString");
  symbols.find(functions->last_error, "ncclGetLastError");
  symbols.find(functions->get_unique_id, "ncclGetUniqueId");
  symbols.find(functions->init_rank, "ncclCommInitRankConfig");
  symbols.find(functions->async_error, "ncclCommGetAsyncError");
  symbols.find(functions->finalize, "ncclCommFinalize");
  symbols.find(functions->destroy, "ncclCommDestroy");
  symbols.find(functions->abort, "ncclCommAbort");
  symbols.find(functions->all_gather, "ncclAllGather");
  symbols.find(functions->all_reduce, "ncclAllReduce");
  symbols.find(functions->broadcast, "ncclBroadcast");
  symbols.find(functions->send, "ncclSend");
  symbols.find(functions->receive, "ncclRecv");
  symbols.find(functions->group_start, "ncclGroupStart");
  symbols.find(functions->group_end, "ncclGroupEnd");
  symbols.find(functions->register_memory, "ncclCommRegister", /*is_needed=*/false);
  return std::make_shared<NcclLibrary>(std::move(functions));
}

NcclLibrary::NcclLibrary(std::unique_ptr<Functions> functions) : functions_(std::move(functions)) {}
NcclLibrary::~NcclLibrary() = default;

std::string NcclLibrary::version() const {
  int version = 0;
  functions_->check(functions_->get_version(&version), "ncclGetVersion", nullptr);
  return text_of(version);
}

NcclId NcclLibrary::make_id() const {
  ncclUniqueId unique;
  functions_->check(functions_->get_unique_id(&unique), "ncclGetUniqueId", nullptr);
  NcclId id;
  std::memcpy(id.data(), unique.internal, id.size());
  return id;
}

// ---- one communicator ------------------------------------------------------------------------------------

struct NcclHandle::Implementation {
  std::shared_ptr<NcclLibrary::Functions> nccl;
  ncclComm_t comm = nullptr;  // null: closed or aborted
  std::timed_mutex mutex;     // held during every call of the library

  template <typename Call>
  void run(const char* name, Call call) {
    const std::lock_guard lock(mutex);
    if (!comm) throw core::CommError("{}: the NCCL communicator has been aborted", name);
    nccl->check(call(), name, comm);
  }
};

std::unique_ptr<NcclHandle> NcclLibrary::join(const NcclId& id, int size, int rank,
                                              const std::string& name) const {
  ncclUniqueId unique;
  std::memcpy(unique.internal, id.data(), id.size());
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 27, 0)
  config.commName = name.c_str();
#endif
  auto implementation = std::make_unique<NcclHandle::Implementation>();
  implementation->nccl = functions_;
  const ncclResult_t result = functions_->init_rank(&implementation->comm, size, unique, rank, &config);
  functions_->check(result, "ncclCommInitRankConfig", nullptr);
  return std::make_unique<NcclHandle>(std::move(implementation));
}

NcclHandle::NcclHandle(std::unique_ptr<Implementation> implementation)
    : implementation_(std::move(implementation)) {}
NcclHandle::~NcclHandle() = default;

bool NcclHandle::is_settled() {
  ncclResult_t state = ncclSuccess;
  implementation_->run("ncclCommGetAsyncError", [&] {
    const ncclResult_t result = implementation_->nccl->async_error(implementation_->comm, &state);
    return result == ncclSuccess ? state : result;
  });
  return state == ncclSuccess;
}

void NcclHandle::all_gather(void* out, const void* in, size_t num_bytes, void* stream) {
  implementation_->run("ncclAllGather", [&] {
    return implementation_->nccl->all_gather(in, out, num_bytes, ncclUint8, implementation_->comm,
                                             static_cast<cudaStream_t>(stream));
  });
}

namespace {

ncclDataType_t nccl_type(at::ScalarType dtype) {
  switch (dtype) {
    case at::kInt:
      return ncclInt32;
    case at::kLong:
      return ncclInt64;
    case at::kByte:
      return ncclUint8;
    case at::kFloat:
      return ncclFloat32;
    case at::kDouble:
      return ncclFloat64;
    default:
      throw core::InternalError("all_reduce of {}", c10::toString(dtype));
  }
}

ncclRedOp_t nccl_op(ReduceOp op) {
  return op == ReduceOp::kSum ? ncclSum : op == ReduceOp::kMax ? ncclMax : ncclMin;
}

}  // namespace

void NcclHandle::all_reduce(void* data, size_t num_elements, at::ScalarType dtype, ReduceOp op,
                            void* stream) {
  implementation_->run("ncclAllReduce", [&] {
    return implementation_->nccl->all_reduce(data, data, num_elements, nccl_type(dtype), nccl_op(op),
                                             implementation_->comm, static_cast<cudaStream_t>(stream));
  });
}

void NcclHandle::broadcast(void* data, size_t num_bytes, int root, void* stream) {
  implementation_->run("ncclBroadcast", [&] {
    return implementation_->nccl->broadcast(data, data, num_bytes, ncclUint8, root, implementation_->comm,
                                            static_cast<cudaStream_t>(stream));
  });
}

void NcclHandle::begin_group() {
  implementation_->run("ncclGroupStart", [&] { return implementation_->nccl->group_start(); });
}

void NcclHandle::send(const void* data, size_t num_bytes, int to, void* stream) {
  implementation_->run("ncclSend", [&] {
    return implementation_->nccl->send(data, num_bytes, ncclUint8, to, implementation_->comm,
                                       static_cast<cudaStream_t>(stream));
  });
}

void NcclHandle::receive(void* data, size_t num_bytes, int from, void* stream) {
  implementation_->run("ncclRecv", [&] {
    return implementation_->nccl->receive(data, num_bytes, ncclUint8, from, implementation_->comm,
                                          static_cast<cudaStream_t>(stream));
  });
}

void NcclHandle::end_group() {
  implementation_->run("ncclGroupEnd", [&] { return implementation_->nccl->group_end(); });
}

bool NcclHandle::register_memory(void* data, size_t num_bytes) {
  Implementation& self = *implementation_;
  if (!self.nccl->register_memory) return false;
  const std::lock_guard lock(self.mutex);
  void* registration = nullptr;
  return self.comm && self.nccl->register_memory(self.comm, data, num_bytes, &registration) == ncclSuccess &&
         registration;
}

void NcclHandle::close(double patience_s) {
  Implementation& self = *implementation_;
  if (!self.comm) return;
  const auto begin = std::chrono::steady_clock::now();
  try {
    self.run("ncclCommFinalize", [&] { return self.nccl->finalize(self.comm); });
    while (!is_settled()) {
      if (std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() > patience_s)
        return abort();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    const std::lock_guard lock(self.mutex);
    self.nccl->destroy(self.comm);
    self.comm = nullptr;
  } catch (const core::CommError&) {  // a peer is gone already: nothing is left to wait for
    abort();
  }
}

void NcclHandle::abort() noexcept {
  Implementation& self = *implementation_;
  const std::unique_lock lock(self.mutex, kAbortPatience);
  if (self.comm) self.nccl->abort(self.comm);
  self.comm = nullptr;
}

}  // namespace athanor::parallel
