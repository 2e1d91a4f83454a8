// Brings a CUDA device into the process.
#pragma once

#include <c10/core/Device.h>

#include "parallel/device_placement.h"

namespace athanor::parallel {

/// Opens LibTorch's CUDA side where it is not yet in the process, counts the devices, and makes the one that
/// `placement` gives to this rank current (`num_devices` is filled in here). ConfigError says what is
/// missing.
c10::Device use_cuda_device(DevicePlacement placement);

}  // namespace athanor::parallel
