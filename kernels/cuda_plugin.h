// The CUDA kernels, in a library of their own that is opened at run time: the program itself needs no CUDA
// library.
#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/cuda/table.h"

namespace athanor::kernels {

/// Opens libathanor_cuda.so (beside the program, in ../lib, or where the loader looks) on first use; with it
/// comes LibTorch's CUDA side, so that CUDA tensors can be made. ConfigError says what is missing and what to
/// do.
const AthanorCudaTable& cuda_plugin();

/// ConfigError unless the plugin opens and device `index` is there and new enough (compute capability 8.0).
/// Call it before anything else touches LibTorch in a process that will use CUDA. It also sets how LibTorch
/// multiplies: sums of bf16 products in fp32 throughout, fp32 products without TF32.
at::Device open_cuda_device(int64_t index);
int64_t num_cuda_devices();
/// 10 * major + minor.
int compute_capability(at::Device device);
/// Waits until everything that was launched on the device is done. No-op for the CPU.
void synchronize(at::Device device);

/// Calls one function of the table on the current stream of the tensor's device; InternalError when the
/// launch failed.
template <typename Arguments>
void launch_cuda(const char* operation, const at::Tensor& tensor, int (*function)(const Arguments*, void*),
                 const Arguments& arguments);

/// For launch_cuda: makes the device of a tensor current while it lives, and knows the device's current
/// stream.
class CudaDevice {
 public:
  explicit CudaDevice(const at::Tensor& tensor);
  ~CudaDevice();
  CudaDevice(const CudaDevice&) = delete;
  CudaDevice& operator=(const CudaDevice&) = delete;
  void* stream() const { return stream_; }

 private:
  c10::Device previous_;
  void* stream_;
};

/// For launch_cuda.
void check_launch(const char* operation, int error);

template <typename Arguments>
void launch_cuda(const char* operation, const at::Tensor& tensor, int (*function)(const Arguments*, void*),
                 const Arguments& arguments) {
  const CudaDevice device(tensor);
  check_launch(operation, function(&arguments, device.stream()));
}

}  // namespace athanor::kernels
