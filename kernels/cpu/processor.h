// Which instruction set the vector code uses: asked once, the same for every kernel.
#pragma once

namespace athanor::kernels::cpu {

enum class Isa { kPortable, kAvx2, kAvx512 };

/// The best of this processor and operating system.
Isa processor_isa();

}  // namespace athanor::kernels::cpu
