// Which GPU belongs to which rank of a machine: arithmetic, without asking any device.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace athanor::parallel {

struct DevicePlacement {
  std::string host;  ///< for messages
  int local_rank = 0;
  /// Of every rank of this machine, by local rank: what it may see (CUDA_VISIBLE_DEVICES, or a digest of it).
  /// Ranks that see the same share these devices among them; a launcher that gives every rank its own list
  /// has placed them already.
  std::vector<uint64_t> visible_of_rank;
  int num_devices = 0;     ///< that this rank sees
  bool may_share = false;  ///< several ranks on one device are wanted
};

/// The index, among the devices that this rank sees, of the one it uses: one each in the order of the local
/// ranks. ConfigError when there is none, or when there are more ranks than devices and they may not share.
int device_index(const DevicePlacement& placement);

}  // namespace athanor::parallel
