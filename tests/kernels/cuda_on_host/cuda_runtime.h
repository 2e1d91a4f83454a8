// Enough of CUDA to run the kernels of a .cu file on this host: a test includes the file, and its launches
// come to launch_on_host, which runs the threads of one block after the other as fibers (cuda_on_host.cpp).
//
// Threads of a block take turns at barriers and shuffles alone, in ascending or descending order. A kernel
// whose result depends on that order lacks a barrier. What is not modelled: memory that is not coherent,
// alignment faults, limits of the hardware.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <initializer_list>

#define __global__
#define __device__
#define __host__
#define __shared__ static
#define __grid_constant__

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

using cudaStream_t = void*;
using cudaError_t = int;
constexpr int cudaSuccess = 0, cudaErrorInvalidValue = 1;
inline cudaError_t cudaGetLastError() {
  return cudaSuccess;
}

extern dim3 threadIdx, blockIdx, blockDim, gridDim;

void __syncthreads();

namespace athanor::tests {

enum class ThreadOrder { kAscending, kDescending };
/// In which order threads take turns from now on.
void set_thread_order(ThreadOrder order);
/// Runs `thread` for every thread of every block.
void run_grid(dim3 blocks, unsigned threads, const std::function<void()>& thread);
/// Leaves `bits` for the warp and takes those of lane (own xor `mask`).
uint64_t exchange_in_warp(uint64_t bits, int mask);

}  // namespace athanor::tests

template <typename T>
T __shfl_xor_sync(unsigned, T x, int mask) {
  uint64_t bits = 0;
  std::memcpy(&bits, &x, sizeof(T));
  bits = athanor::tests::exchange_in_warp(bits, mask);
  std::memcpy(&x, &bits, sizeof(T));
  return x;
}

inline unsigned max(unsigned a, unsigned b) {
  return a > b ? a : b;
}
inline unsigned atomicMax(unsigned* to, unsigned value) {
  const unsigned before = *to;
  *to = max(before, value);
  return before;
}

template <typename Kernel, typename Arguments>
void launch_on_host(Kernel kernel, dim3 blocks, unsigned threads, const Arguments& arguments) {
  athanor::tests::run_grid(blocks, threads, [&] { kernel(arguments); });
}
