// Which instruction set the vector code uses: asked once, the same for every kernel.
#pragma once

namespace athanor::kernels::cpu {

enum class Isa { kPortable, kAvx2, kAvx512 };

/// The best of this processor and operating system.
Isa processor_isa();

/// "portable", "avx2" or "avx512".
const char* isa_name(Isa isa);

/// This processor's table among those that one NAME.inl gives, one per instruction set.
template <typename Table>
const Table& table_for_processor(const Table& portable, const Table& avx2, const Table& avx512) {
  const Isa isa = processor_isa();
  return isa == Isa::kAvx512 ? avx512 : isa == Isa::kAvx2 ? avx2 : portable;
}

}  // namespace athanor::kernels::cpu
