#include "model/remake.h"

#include <utility>

#include <c10/core/GradMode.h>
#include <c10/core/Storage.h>

#include "core/error.h"

namespace athanor::model {

void Remake::add(const at::Tensor& output, Again again) {
  outputs_.push_back({output.detach(), std::move(again), output.storage().nbytes()});
}

void Remake::discard() {
  for (Output& output : outputs_) {
    c10::StorageImpl* storage = output.tensor.storage().unsafeGetStorageImpl();
    storage->set_data_ptr_noswap(c10::DataPtr(nullptr, storage->device()));
    storage->set_nbytes(size_t{0});
  }
}

// The memory of the tensor that was made now becomes that of the tensor that others hold.
void Remake::restore() {
  c10::AutoGradMode recording(false);
  for (Output& output : outputs_) {
    const at::Tensor made = output.again();
    c10::StorageImpl *from = made.storage().unsafeGetStorageImpl(),
                     *to = output.tensor.storage().unsafeGetStorageImpl();
    ATHANOR_CHECK(from->nbytes() == output.num_bytes && made.storage().use_count() == 1,
                  "{} bytes were made again in place of {}, with {} users", from->nbytes(), output.num_bytes,
                  made.storage().use_count());
    to->set_data_ptr_noswap(std::move(from->_mutable_data_ptr_no_checks()));
    to->set_nbytes(output.num_bytes);
  }
  outputs_.clear();
}

int64_t Remake::num_bytes() const {
  int64_t sum = 0;
  for (const Output& output : outputs_) sum += static_cast<int64_t>(output.num_bytes);
  return sum;
}

at::Tensor remade(Remake* remake, at::Tensor output, Remake::Again again) {
  if (remake) remake->add(output, std::move(again));
  return output;
}

}  // namespace athanor::model
