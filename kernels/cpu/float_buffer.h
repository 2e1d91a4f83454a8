// Uninitialised floats for a kernel's working memory, aligned for vector loads.
#pragma once

#include <cstdint>
#include <memory>
#include <new>

namespace athanor::kernels::cpu {

class FloatBuffer {
 public:
  explicit FloatBuffer(int64_t size) : floats_(allocate(size)) {}
  float* data() const { return floats_.get(); }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Release {
    void operator()(float* floats) const { ::operator delete(floats, kAlignment); }
  };
  static float* allocate(int64_t size) {
    return static_cast<float*>(::operator new(static_cast<size_t>(size) * sizeof(float), kAlignment));
  }
  std::unique_ptr<float, Release> floats_;
};

}  // namespace athanor::kernels::cpu
