#include "trainer/agreement.h"

#include <vector>

#include <ATen/ops/tensor.h>

namespace athanor::trainer {

Observation agree(const Observation& mine, parallel::Communicator& world) {
  const std::vector<int64_t> flags = {mine.stop_requested, mine.save_is_due, mine.writer_is_busy,
                                      mine.writer_failed};
  at::Tensor any = at::tensor(flags, at::kLong);
  world.all_reduce(any, parallel::ReduceOp::kMax).wait();
  const int64_t* seen = any.const_data_ptr<int64_t>();
  return {seen[0] != 0, seen[1] != 0, seen[2] != 0, seen[3] != 0};
}

}  // namespace athanor::trainer
