#include "observe/progress.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "observe/step_timer.h"

namespace athanor::observe {
namespace {

TEST(Format, Counts) {
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(1000), "1.00k");
  EXPECT_EQ(format_count(999.7), "1.00k");
  EXPECT_EQ(format_count(12345), "12.3k");
  EXPECT_EQ(format_count(99960), "100k");
  EXPECT_EQ(format_count(1.5e9), "1.50G");
}

TEST(Format, Bytes) {
  EXPECT_EQ(format_bytes(512), "512 B");
  EXPECT_EQ(format_bytes(1536), "1.50 KiB");
  EXPECT_EQ(format_bytes(uint64_t{24} << 30), "24.0 GiB");
}

TEST(Format, Durations) {
  EXPECT_EQ(format_duration(0.82), "0.8s");
  EXPECT_EQ(format_duration(9.97), "10s");
  EXPECT_EQ(format_duration(59.6), "1m00s");
  EXPECT_EQ(format_duration(185), "3m05s");
  EXPECT_EQ(format_duration(7620), "2h07m");
  EXPECT_EQ(format_duration(5 * 86400 + 3 * 3600), "5d03h");
  EXPECT_EQ(format_duration(-1), "?");
}

TEST(Format, ProgressShowsWhatIsKnown) {
  EXPECT_EQ(format_progress({.step = 12, .loss = 3.21449, .tokens_per_second = 950}),
            "step 12 | loss 3.2145 | 950 tokens/s");
  EXPECT_EQ(format_progress({.step = 12,
                             .total_steps = 200,
                             .loss = 3.2,
                             .validation_loss = 3.5,
                             .tokens_per_second = 12345,
                             .mfu = 0.412,
                             .memory_bytes = uint64_t{3} << 30,
                             .checkpoint_age_s = 42,
                             .remaining_s = 185}),
            "step 12/200 | loss 3.2000 | validation 3.5000 | 12.3k tokens/s | MFU 41.2 % | 3.00 GiB | "
            "checkpoint 42s ago "
            "| 3m05s left");
}

TEST(StepTimer, PercentilesOfTheRecentSteps) {
  StepTimer timer(100);
  EXPECT_EQ(timer.p50(), 0);
  for (int i = 0; i < 50; ++i) timer.add(1000);
  for (int i = 1; i <= 100; ++i) timer.add(i);
  EXPECT_EQ(timer.count(), 100u);
  EXPECT_EQ(timer.p50(), 50);
  EXPECT_EQ(timer.p99(), 99);
  EXPECT_EQ(timer.percentile(1), 100);
  EXPECT_EQ(timer.percentile(0), 1);
}

TEST(ProcessMemory, ReadsTheStatus) {
  const auto memory =
      parse_process_status("Name:\tx\nVmPeak:\t 9 kB\nVmHWM:\t    2048 kB\nVmRSS:\t 1024 kB\n");
  EXPECT_EQ(memory.resident_bytes, 1024u * 1024);
  EXPECT_EQ(memory.peak_resident_bytes, 2048u * 1024);
  EXPECT_EQ(parse_process_status("").resident_bytes, 0u);
  EXPECT_EQ(parse_process_status("VmRSS:").resident_bytes, 0u);
  EXPECT_GT(process_memory().resident_bytes, uint64_t{1} << 20);
  EXPECT_GE(process_memory().peak_resident_bytes, process_memory().resident_bytes / 2);
}

std::string shown(const ProgressOptions& options) {
  std::string text;
  ProgressLine line(
      options, [&](std::string_view part) { text += part; }, [] { return ProcessMemory{}; });
  line.on_checkpoint({.step = 0, .time = 100});
  for (uint64_t step = 1; step <= 5; ++step)
    line.on_step({.step = step,
                  .loss = 1,
                  .tokens_per_second = 10,
                  .step_seconds = 2,
                  .time = 100.0 + 2.0 * static_cast<double>(step)});
  return text;
}

TEST(ProgressLine, PlainLinesEverySoManyStepsAndAtTheEnd) {
  EXPECT_EQ(shown({.total_steps = 5, .every = 2}),
            "step 2/5 | loss 1.0000 | 10 tokens/s | checkpoint 4.0s ago | 6.0s left\n"
            "step 4/5 | loss 1.0000 | 10 tokens/s | checkpoint 8.0s ago | 2.0s left\n"
            "step 5/5 | loss 1.0000 | 10 tokens/s | checkpoint 10s ago\n");
}

TEST(ProgressLine, ALiveLineOnATerminalIsCutToFit) {
  const std::string text = shown({.total_steps = 5, .every = 2, .is_terminal = true, .terminal_columns = 20});
  EXPECT_EQ(text.substr(0, 23), "\r\x1b[Kstep 1/5 | loss 1.0");
  EXPECT_EQ(std::count(text.begin(), text.end(), '\r'), 5);
  EXPECT_EQ(text.back(), '\n');
}

}  // namespace
}  // namespace athanor::observe
