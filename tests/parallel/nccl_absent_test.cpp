// A build without nccl.h says so when NCCL is asked for.
#include <gtest/gtest.h>

#include "core/error.h"
#include "parallel/nccl_library.h"

namespace athanor::parallel {
namespace {

TEST(NcclAbsent, OpeningIsAConfigErrorThatNamesTheOption) {
  try {
    NcclLibrary::open("libnccl.so.2");
    FAIL() << "opened";
  } catch (const core::ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("ATHANOR_NCCL"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace athanor::parallel
