// The door to the CUDA kernels: a machine without them gets one clear ConfigError, never a crash.
#include "kernels/cuda_plugin.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace athanor::kernels {
namespace {

TEST(CudaPlugin, OpensOrSaysWhatIsMissing) {
  try {
    EXPECT_EQ(cuda_plugin().version, ATHANOR_CUDA_TABLE_VERSION);
  } catch (const core::ConfigError& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find("libathanor_cuda.so"), std::string::npos) << message;
    EXPECT_NE(message.find("run.device"), std::string::npos) << message;
  }
}

}  // namespace
}  // namespace athanor::kernels
