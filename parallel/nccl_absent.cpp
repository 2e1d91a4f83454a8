// Stands in for nccl_library.cpp where nccl.h was not found when the program was built.
#include "core/error.h"
#include "parallel/nccl_library.h"

namespace athanor::parallel {

struct NcclLibrary::Functions {};
struct NcclHandle::Implementation {};

namespace {

[[noreturn]] void refuse() {
  throw core::ConfigError(
      "device cuda on several ranks needs NCCL, and this program was built without nccl.h: install NCCL's "
      "header and build again with -DATHANOR_NCCL=ON, run a single rank, or set run.device to cpu");
}

}  // namespace

std::shared_ptr<const NcclLibrary> NcclLibrary::open(const std::string&) {
  refuse();
}

// None of these can be reached: nothing gives a library or a handle.
NcclLibrary::NcclLibrary(std::unique_ptr<Functions> functions) : functions_(std::move(functions)) {}
NcclLibrary::~NcclLibrary() = default;
std::string NcclLibrary::version() const {
  refuse();
}
NcclId NcclLibrary::make_id() const {
  refuse();
}
std::unique_ptr<NcclHandle> NcclLibrary::join(const NcclId&, int, int, const std::string&) const {
  refuse();
}

NcclHandle::NcclHandle(std::unique_ptr<Implementation> implementation)
    : implementation_(std::move(implementation)) {}
NcclHandle::~NcclHandle() = default;
bool NcclHandle::is_settled() {
  refuse();
}
void NcclHandle::all_gather(void*, const void*, size_t, void*) {
  refuse();
}
void NcclHandle::all_reduce(void*, size_t, at::ScalarType, ReduceOp, void*) {
  refuse();
}
void NcclHandle::broadcast(void*, size_t, int, void*) {
  refuse();
}
void NcclHandle::begin_group() {
  refuse();
}
void NcclHandle::send(const void*, size_t, int, void*) {
  refuse();
}
void NcclHandle::receive(void*, size_t, int, void*) {
  refuse();
}
void NcclHandle::end_group() {
  refuse();
}
bool NcclHandle::register_memory(void*, size_t) {
  refuse();
}
void NcclHandle::close(double) {
  refuse();
}
void NcclHandle::abort() noexcept {}

}  // namespace athanor::parallel
