#include "kernels/cuda/transfer.h"

#include <ATen/ops/empty.h>

namespace athanor::kernels::cuda {

at::Tensor to_device_int32(const std::vector<int64_t>& values, at::Device device) {
  const at::Tensor on_host = at::empty({static_cast<int64_t>(values.size())}, at::kInt);
  std::copy(values.begin(), values.end(), on_host.mutable_data_ptr<int32_t>());
  at::Tensor on_device = at::empty(on_host.sizes(), on_host.options().device(device));
  // From pageable memory the driver takes its own copy before it returns.
  on_device.copy_(on_host, /*non_blocking=*/true);
  return on_device;
}

}  // namespace athanor::kernels::cuda
