#include "model/batch.h"

namespace athanor::model {

MicroBatch MicroBatch::on(at::Device device) const {
  MicroBatch moved = *this;
  // From pageable memory the driver takes its own copy before it returns.
  for (at::Tensor* tensor :
       {&moved.ids_T, &moved.labels_T, &moved.positions_T, &moved.rotary.cos_TR, &moved.rotary.sin_TR})
    if (tensor->defined()) *tensor = tensor->to(device, /*non_blocking=*/true);
  return moved;
}

}  // namespace athanor::model
