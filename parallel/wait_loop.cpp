#include "parallel/wait_loop.h"

#include <algorithm>
#include <thread>
#include <utility>

namespace athanor::parallel {
namespace {
// A segment of a transfer that is under way arrives well within this; sleeping sooner would slow it.
constexpr double kYieldOnlySeconds = 3e-3;
constexpr double kMinSleepSeconds = 50e-6;
constexpr double kMaxSleepSeconds = 1e-3;
// Between two looks a process that runs needs less, even where many share a core.
constexpr auto kMaxOwnPause = std::chrono::seconds(1);
}  // namespace

void WaitLoop::progressed() {
  last_progress_ = last_look_ = std::chrono::steady_clock::now();
}

double WaitLoop::idle_seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - last_progress_).count();
}

bool WaitLoop::pause() {
  const auto now = std::chrono::steady_clock::now(), before = std::exchange(last_look_, now);
  if (now - before > kMaxOwnPause) last_progress_ += now - before;
  const double idle_s = idle_seconds();
  if (idle_s > timeout_s_) return false;
  if (idle_s < kYieldOnlySeconds) {
    std::this_thread::yield();
  } else {
    const double sleep_s = std::clamp(idle_s / 20, kMinSleepSeconds, kMaxSleepSeconds);
    std::this_thread::sleep_for(std::chrono::duration<double>(sleep_s));
  }
  return true;
}

}  // namespace athanor::parallel
