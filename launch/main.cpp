// The `athanor` program. A command that needs neither LibTorch nor MPI runs at once; every other one is in
// the engine, a library that is opened only then: loading LibTorch takes longer than all that `athanor check`
// does.
#include <csignal>
#include <cstdio>
#include <dlfcn.h>
#include <string_view>

#include "core/error.h"
#include "launch/commands.h"
#include "launch/engine.h"
#include "launch/environment.h"

namespace {

constexpr const char* kLibrary = "libathanor_engine.so";

// A run answers to SIGTERM, SIGINT and SIGUSR1 by a checkpoint and exit code 75, from its first moment on:
// they wait until `stop_signal` has its handlers in place.
void hold_stop_signals() {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int number : athanor::launch::kStopSignals) ::sigaddset(&signals, number);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

int run_engine(int argc, char** argv) {
  void* library = dlopen(kLibrary, RTLD_LAZY | RTLD_GLOBAL);
  void* entry = library != nullptr ? dlsym(library, athanor::launch::kEngineEntry) : nullptr;
  if (entry == nullptr) {
    std::fprintf(
        stderr,
        "athanor: error: the engine, %s, cannot be opened: %s; it belongs in the folder lib beside the "
        "program's folder, or beside the program, and is built with it (scripts/build.sh release)\n",
        kLibrary, dlerror());
    return static_cast<int>(athanor::core::ExitCode::kMissingInput);
  }
  return reinterpret_cast<athanor::launch::EngineEntry*>(entry)(argc, argv);
}

}  // namespace

int main(int argc, char** argv) {
  using namespace athanor::launch;
  if (argc > 1 && std::string_view(argv[1]) == "train") hold_stop_signals();
  const bool needs_engine = argc < 2 || !has_command(add_light_commands, argv[1]);
  return needs_engine ? run_engine(argc, argv) : run_program(argc, argv, add_light_commands);
}
