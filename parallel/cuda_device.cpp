#include "parallel/cuda_device.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include "kernels/cuda_plugin.h"

namespace athanor::parallel {

c10::Device use_cuda_device(DevicePlacement placement) {
  const bool is_open = c10::impl::hasDeviceGuardImpl(c10::DeviceType::CUDA);
  if (!is_open) kernels::cuda_plugin();
  const c10::impl::VirtualGuardImpl cuda(c10::DeviceType::CUDA);
  placement.num_devices = cuda.deviceCount();
  const int index = device_index(placement);
  if (!is_open) return kernels::open_cuda_device(index);
  const c10::Device device(c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(index));
  cuda.setDevice(device);
  return device;
}

}  // namespace athanor::parallel
