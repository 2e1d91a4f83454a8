#include "parallel/cuda_device.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include "kernels/cuda_plugin.h"

namespace athanor::parallel {

c10::Device use_cuda_device(DevicePlacement placement) {
  if (!c10::impl::hasDeviceGuardImpl(c10::DeviceType::CUDA)) kernels::cuda_plugin();
  const c10::impl::VirtualGuardImpl cuda(c10::DeviceType::CUDA);
  placement.num_devices = cuda.deviceCount();
  const c10::Device device(c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(device_index(placement)));
  cuda.setDevice(device);
  return device;
}

}  // namespace athanor::parallel
