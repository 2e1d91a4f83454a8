// Settings of LibTorch that hold for the whole process. Their header is a heavy one, so one file alone sees
// it.
#pragma once

namespace athanor::kernels::cuda {

/// Sums of bf16 products in fp32 throughout, fp32 products without TF32.
void set_product_precision();

/// While it lives, LibTorch's operators give the same bits for the same inputs: flash attention's backward
/// pass adds in any order otherwise.
class DeterministicScope {
 public:
  DeterministicScope();
  ~DeterministicScope();
  DeterministicScope(const DeterministicScope&) = delete;
  DeterministicScope& operator=(const DeterministicScope&) = delete;

 private:
  bool was_on_, warned_only_, filled_;
};

}  // namespace athanor::kernels::cuda
