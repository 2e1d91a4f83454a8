// The entry of libathanor_engine.so, the library with the commands that need LibTorch or MPI (and all
// others).
#pragma once

namespace athanor::launch {

using EngineEntry = int(int argc, char** argv);
constexpr const char* kEngineEntry = "athanor_run_engine";

}  // namespace athanor::launch
