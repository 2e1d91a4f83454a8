// kernels/cuda_plugin.h for a test on this host: the table holds the FP8 kernels, run by cuda_on_host.cpp.
#include "core/error.h"
#include "kernels/cuda/fp8_products.cu"
#include "kernels/cuda/fp8_tiles.cu"
#include "kernels/cuda_plugin.h"

namespace athanor::kernels {
namespace {

AthanorCudaTable table_on_host() {
  AthanorCudaTable table{};
  table.fp8_quantise = cuda::fp8_quantise;
  table.fp8_write = cuda::fp8_write;
  table.fp8_raise_magnitudes = cuda::fp8_raise_magnitudes;
  table.fp8_scales = cuda::fp8_scales;
  table.fp8_decode = cuda::fp8_decode;
  table.fp8_transpose = cuda::fp8_transpose;
  table.add_scaled = cuda::add_scaled;
  return table;
}

}  // namespace

const AthanorCudaTable& cuda_plugin() {
  static const AthanorCudaTable table = table_on_host();
  return table;
}
at::Device open_cuda_device(int64_t) {
  return at::kCPU;
}
int64_t num_cuda_devices() {
  return 0;
}
int compute_capability(at::Device) {
  return 0;
}
void synchronize(at::Device) {}

CudaDevice::CudaDevice(const at::Tensor&) : previous_(at::kCPU), stream_(nullptr) {}
CudaDevice::~CudaDevice() = default;

void check_launch(const char* operation, int error) {
  ATHANOR_CHECK(error == 0, "{}: CUDA error {}", operation, error);
}

}  // namespace athanor::kernels
