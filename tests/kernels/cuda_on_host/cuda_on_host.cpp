#include <cstdio>
#include <cstdlib>
#include <memory>
#include <ucontext.h>
#include <vector>

#include "tests/kernels/cuda_on_host/cuda_runtime.h"

dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace athanor::tests {
namespace {

constexpr size_t kStackBytes = 64 << 10;
constexpr unsigned kWarp = 32;

enum class State { kReady, kAtWarp, kAtBlock, kDone };

struct Fiber {
  ucontext_t context;
  std::unique_ptr<char[]> stack;
  State state;
  uint64_t bits;
};

ThreadOrder g_order = ThreadOrder::kAscending;
const std::function<void()>* g_thread = nullptr;
std::vector<Fiber> g_fibers;
ucontext_t g_scheduler;
unsigned g_current = 0;

void wait_at(State state) {
  g_fibers[g_current].state = state;
  swapcontext(&g_fibers[g_current].context, &g_scheduler);
}

void run_thread() {
  (*g_thread)();
  g_fibers[g_current].state = State::kDone;
}

void start(Fiber& fiber) {
  if (!fiber.stack) fiber.stack = std::make_unique<char[]>(kStackBytes);
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.get();
  fiber.context.uc_stack.ss_size = kStackBytes;
  fiber.context.uc_link = &g_scheduler;
  fiber.state = State::kReady;
  makecontext(&fiber.context, run_thread, 0);
}

bool all_wait(size_t begin, size_t end, State state) {
  bool is_any = false;
  for (size_t i = begin; i < end; ++i) {
    if (g_fibers[i].state != state && g_fibers[i].state != State::kDone) return false;
    is_any = is_any || g_fibers[i].state == state;
  }
  return is_any;
}
void release(size_t begin, size_t end) {
  for (size_t i = begin; i < end; ++i)
    if (g_fibers[i].state != State::kDone) g_fibers[i].state = State::kReady;
}

/// Runs every thread that can go on to its next barrier; false when there was none.
bool take_turns() {
  bool has_run = false;
  for (size_t turn = 0; turn < g_fibers.size(); ++turn) {
    g_current = static_cast<unsigned>(g_order == ThreadOrder::kAscending ? turn : g_fibers.size() - 1 - turn);
    if (g_fibers[g_current].state != State::kReady) continue;
    threadIdx = dim3(g_current);
    swapcontext(&g_scheduler, &g_fibers[g_current].context);
    has_run = true;
  }
  return has_run;
}

bool open_barriers() {
  bool is_any = false;
  for (size_t warp = 0; warp < g_fibers.size(); warp += kWarp)
    if (all_wait(warp, warp + kWarp, State::kAtWarp)) release(warp, warp + kWarp), is_any = true;
  if (all_wait(0, g_fibers.size(), State::kAtBlock)) release(0, g_fibers.size()), is_any = true;
  return is_any;
}

void run_block() {
  for (Fiber& fiber : g_fibers) start(fiber);
  while (take_turns()) open_barriers();
  for (const Fiber& fiber : g_fibers)
    if (fiber.state != State::kDone) {
      std::fprintf(stderr, "the threads of a block wait for each other at different barriers\n");
      std::abort();
    }
}

}  // namespace

void set_thread_order(ThreadOrder order) {
  g_order = order;
}

uint64_t exchange_in_warp(uint64_t bits, int mask) {
  const unsigned own = g_current;
  g_fibers[own].bits = bits;
  wait_at(State::kAtWarp);
  const uint64_t other = g_fibers[own ^ static_cast<unsigned>(mask)].bits;
  wait_at(State::kAtWarp);  // nobody leaves the next bits before these were taken
  return other;
}

void run_grid(dim3 blocks, unsigned threads, const std::function<void()>& thread) {
  g_thread = &thread;
  g_fibers.resize(threads);
  gridDim = blocks;
  blockDim = dim3(threads);
  for (unsigned y = 0; y < blocks.y; ++y)
    for (unsigned x = 0; x < blocks.x; ++x) {
      blockIdx = dim3(x, y);
      run_block();
    }
}

}  // namespace athanor::tests

void __syncthreads() {
  athanor::tests::wait_at(athanor::tests::State::kAtBlock);
}
