#include "parallel/device_placement.h"

#include <algorithm>

#include "core/error.h"

namespace athanor::parallel {

int device_index(const DevicePlacement& placement) {
  if (placement.num_devices == 0)
    throw core::ConfigError(
        "run.device is cuda, and {} shows no CUDA device to local rank {}: see nvidia-smi and "
        "CUDA_VISIBLE_DEVICES there, or set run.device to cpu",
        placement.host, placement.local_rank);
  const auto& visible = placement.visible_of_rank;
  const uint64_t own = visible.at(placement.local_rank);
  const auto num_sharing = std::count(visible.begin(), visible.end(), own);
  if (num_sharing > placement.num_devices && !placement.may_share)
    throw core::ConfigError(
        "{} has {} CUDA devices for {} ranks: start at most {} there, or let ranks share a device with "
        "run.share_devices=true",
        placement.host, placement.num_devices, num_sharing, placement.num_devices);
  const auto position = std::count(visible.begin(), visible.begin() + placement.local_rank, own);
  return static_cast<int>(position % placement.num_devices);
}

}  // namespace athanor::parallel
