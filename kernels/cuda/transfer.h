// Small host values on their way to a device.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

namespace athanor::kernels::cuda {

/// int32 values on the device. The copy is ordered on the current stream; the host does not wait for it.
at::Tensor to_device_int32(const std::vector<int64_t>& values, at::Device device);

}  // namespace athanor::kernels::cuda
