// The tables that bench_kernels prints beside those of its own file.
#pragma once

namespace athanor::bench {

/// What a training step of workload W1 spends in every kernel, with the threads that are set.
void print_step_table();

/// Bringing bf16 operands into the order of the tile products: GB/s of one thread (CPU time), portable code
/// beside this processor's.
void print_packing_table();

/// Attention in fp32 vectors and on tiles, one thread: what is spent per (query, key) in the tile engine and
/// around it.
void print_attention_table();

}  // namespace athanor::bench
