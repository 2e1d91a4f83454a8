#include "trainer/text_broadcast.h"

#include <algorithm>

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>

namespace athanor::trainer {

std::string broadcast_text(const std::string& text, parallel::Communicator& world) {
  at::Tensor size = at::full({1}, static_cast<int64_t>(text.size()), at::kLong);
  world.broadcast(size, 0).wait();
  at::Tensor bytes = at::empty({*size.const_data_ptr<int64_t>()}, at::kByte);
  uint8_t* data = bytes.mutable_data_ptr<uint8_t>();
  if (world.rank() == 0) std::copy(text.begin(), text.end(), data);
  if (bytes.numel() > 0) world.broadcast(bytes, 0).wait();
  return std::string(data, data + bytes.numel());
}

}  // namespace athanor::trainer
