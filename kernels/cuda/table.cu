// The table of the library.
#include <cuda_runtime.h>

#include "kernels/cuda/entries.h"

namespace athanor::kernels::cuda {
namespace {

int compute_capability(int device, int* capability) {
  int major = 0, minor = 0;
  cudaError_t error = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
  if (error == cudaSuccess) error = cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
  *capability = 10 * major + minor;
  return error;
}

const char* error_text(int error) {
  return cudaGetErrorString(static_cast<cudaError_t>(error));
}

constexpr AthanorCudaTable kTable{ATHANOR_CUDA_TABLE_VERSION,
                                  rms_norm,
                                  rms_norm_backward,
                                  swiglu,
                                  swiglu_backward,
                                  rotary,
                                  sum_rows,
                                  route,
                                  route_backward,
                                  sort_slots,
                                  gather_rows,
                                  combine,
                                  combine_backward,
                                  embedding,
                                  embedding_backward,
                                  loss_states,
                                  loss_rows,
                                  adamw,
                                  ordered_sum,
                                  chunk_square_sums,
                                  fp8_quantise,
                                  fp8_write,
                                  fp8_raise_magnitudes,
                                  fp8_scales,
                                  fp8_decode,
                                  fp8_transpose,
                                  add_scaled,
                                  compute_capability,
                                  error_text};

}  // namespace
}  // namespace athanor::kernels::cuda

extern "C" __attribute__((visibility("default"))) const AthanorCudaTable* athanor_cuda_table(void) {
  return &athanor::kernels::cuda::kTable;
}
