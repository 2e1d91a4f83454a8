#include "model/remake.h"

#include <utility>

#include <c10/core/Storage.h>

#include "core/error.h"

namespace athanor::model {

void Remake::add(const at::Tensor& output, std::function<void()> refill) {
  outputs_.push_back({output.detach(), std::move(refill), output.storage().nbytes()});
}

void Remake::discard() {
  for (Output& output : outputs_) {
    const c10::Storage& storage = output.tensor.storage();
    ATHANOR_CHECK(storage.resizable(), "a tensor to be computed again does not own its memory");
    storage.unsafeGetStorageImpl()->set_data_ptr_noswap(storage.allocator()->allocate(0));
    storage.unsafeGetStorageImpl()->set_nbytes(0);
  }
}

void Remake::restore() {
  for (Output& output : outputs_) {
    c10::StorageImpl* storage = output.tensor.storage().unsafeGetStorageImpl();
    storage->set_data_ptr_noswap(storage->allocator()->allocate(output.num_bytes));
    storage->set_nbytes(output.num_bytes);
    output.refill();
  }
  outputs_.clear();
}

}  // namespace athanor::model
