#include "kernels/cuda/torch_settings.h"

#include <ATen/Context.h>

namespace athanor::kernels::cuda {

void set_product_precision() {
  at::globalContext().setAllowTF32CuBLAS(false);
  at::globalContext().setAllowBF16ReductionCuBLAS(false, true);
}

DeterministicScope::DeterministicScope()
    : was_on_(at::globalContext().deterministicAlgorithms()),
      warned_only_(at::globalContext().deterministicAlgorithmsWarnOnly()),
      filled_(at::globalContext().deterministicFillUninitializedMemory()) {
  at::globalContext().setDeterministicAlgorithms(true, false);
  at::globalContext().setDeterministicFillUninitializedMemory(false);
}

DeterministicScope::~DeterministicScope() {
  at::globalContext().setDeterministicAlgorithms(was_on_, warned_only_);
  at::globalContext().setDeterministicFillUninitializedMemory(filled_);
}

}  // namespace athanor::kernels::cuda
