#include "kernels/cuda_plugin.h"

#include <dlfcn.h>
#include <filesystem>
#include <system_error>

#include <c10/core/Stream.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "core/error.h"
#include "kernels/cuda/torch_settings.h"

namespace athanor::kernels {
namespace {

constexpr const char* kLibrary = "libathanor_cuda.so";

std::vector<std::string> places_to_look() {
  std::error_code ignored;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", ignored);
  const auto folder = program.parent_path();
  return {(folder / kLibrary).string(), (folder.parent_path() / "lib" / kLibrary).string(), kLibrary};
}

void* open_library() {
  std::string reasons;
  for (const std::string& place : places_to_look()) {
    if (void* library = dlopen(place.c_str(), RTLD_NOW | RTLD_GLOBAL)) return library;
    reasons += fmt::format("\n  {}", dlerror());
  }
  throw core::ConfigError(
      "device cuda needs {}, which cannot be opened; build it with `cmake --preset cuda` (nvcc needed), "
      "install the "
      "CUDA libraries of LibTorch, or set run.device to cpu:{}",
      kLibrary, reasons);
}

const AthanorCudaTable& load_table() {
  void* library = open_library();
  using GetTable = decltype(&athanor_cuda_table);
  const auto get_table = reinterpret_cast<GetTable>(dlsym(library, ATHANOR_CUDA_TABLE_SYMBOL));
  if (!get_table) throw core::ConfigError("{} is not a kernel library: {}", kLibrary, dlerror());
  const AthanorCudaTable* table = get_table();
  if (table->version != ATHANOR_CUDA_TABLE_VERSION)
    throw core::ConfigError("{} has kernel table version {}, this program needs {}: build both together",
                            kLibrary, table->version, ATHANOR_CUDA_TABLE_VERSION);
  return *table;
}

}  // namespace

const AthanorCudaTable& cuda_plugin() {
  static const AthanorCudaTable& table = load_table();
  return table;
}

int64_t num_cuda_devices() {
  cuda_plugin();
  return c10::impl::VirtualGuardImpl(at::kCUDA).deviceCount();
}

int compute_capability(at::Device device) {
  int capability = 0;
  check_launch("compute_capability", cuda_plugin().compute_capability(device.index(), &capability));
  return capability;
}

at::Device open_cuda_device(int64_t index) {
  constexpr int kMinCapability = 80;
  const int64_t num_devices = num_cuda_devices();
  if (num_devices == 0)
    throw core::ConfigError(
        "device cuda: no GPU is visible; check the driver (nvidia-smi) and CUDA_VISIBLE_DEVICES, or set "
        "run.device to cpu");
  if (index < 0 || index >= num_devices)
    throw core::ConfigError("device cuda: GPU {} was asked for, {} are visible", index, num_devices);
  const at::Device device(at::kCUDA, static_cast<at::DeviceIndex>(index));
  const int capability = compute_capability(device);
  if (capability < kMinCapability)
    throw core::ConfigError(
        "device cuda: GPU {} has compute capability {}.{}, at least {}.{} (Ampere) is needed; set run.device "
        "to cpu",
        index, capability / 10, capability % 10, kMinCapability / 10, kMinCapability % 10);
  cuda::set_product_precision();
  c10::impl::VirtualGuardImpl(at::kCUDA).setDevice(device);
  return device;
}

void synchronize(at::Device device) {
  if (device.is_cuda()) c10::impl::VirtualGuardImpl(at::kCUDA).synchronizeDevice(device.index());
}

CudaDevice::CudaDevice(const at::Tensor& tensor)
    : previous_(c10::impl::VirtualGuardImpl(at::kCUDA).exchangeDevice(tensor.device())),
      stream_(c10::impl::VirtualGuardImpl(at::kCUDA).getStream(tensor.device()).native_handle()) {}

CudaDevice::~CudaDevice() {
  c10::impl::VirtualGuardImpl(at::kCUDA).uncheckedSetDevice(previous_);
}

void check_launch(const char* operation, int error) {
  ATHANOR_CHECK(error == 0, "{}: CUDA error {}: {}", operation, error, cuda_plugin().error_text(error));
}

}  // namespace athanor::kernels
