#include "optim/schedule.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "core/error.h"

namespace athanor::optim {
namespace {

ScheduleOptions options(ScheduleKind kind) {
  return {.kind = kind, .learning_rate = 2.0, .total_steps = 100, .warmup_steps = 10, .min_ratio = 0.1};
}

TEST(Schedule, WarmsUpFromTheFirstStep) {
  for (const auto kind : {ScheduleKind::kConstant, ScheduleKind::kLinear, ScheduleKind::kCosine,
                          ScheduleKind::kWarmupStableDecay}) {
    const Schedule schedule(options(kind));
    EXPECT_DOUBLE_EQ(schedule.learning_rate_at(0), 0.2);
    EXPECT_DOUBLE_EQ(schedule.learning_rate_at(8), 1.8);
    EXPECT_DOUBLE_EQ(schedule.learning_rate_at(9), 2.0);
    EXPECT_DOUBLE_EQ(schedule.learning_rate_at(10), 2.0);
  }
}

TEST(Schedule, FormulasInTheMiddleAndPastTheEnd) {
  const Schedule constant(options(ScheduleKind::kConstant)), linear(options(ScheduleKind::kLinear)),
      cosine(options(ScheduleKind::kCosine));
  EXPECT_DOUBLE_EQ(constant.learning_rate_at(1000), 2.0);
  EXPECT_DOUBLE_EQ(linear.learning_rate_at(55), 2.0 * (0.1 + 0.9 * 0.5));
  EXPECT_DOUBLE_EQ(cosine.learning_rate_at(55), 2.0 * (0.1 + 0.9 * 0.5));
  EXPECT_DOUBLE_EQ(cosine.learning_rate_at(25), 2.0 * (0.1 + 0.45 * (1 + std::cos(std::acos(-1.0) / 6))));
  for (const auto* schedule : {&linear, &cosine})
    for (const int64_t step : {100, 101, 100000}) EXPECT_DOUBLE_EQ(schedule->learning_rate_at(step), 0.2);
}

TEST(Schedule, WarmupStableDecayKeepsThenDecaysInEveryShape) {
  struct Case {
    DecayShape shape;
    double half_way;  // of the range from 2.0 to 0.2, or the rate itself for exponential
  };
  for (const Case& c : {Case{DecayShape::kLinear, 2.0 * (0.1 + 0.9 * 0.5)},
                        Case{DecayShape::kCosine, 2.0 * (0.1 + 0.9 * 0.5)},
                        Case{DecayShape::kOneMinusSqrt, 2.0 * (0.1 + 0.9 * (1 - std::sqrt(0.5)))},
                        Case{DecayShape::kExponential, 2.0 * std::sqrt(0.1)}}) {
    ScheduleOptions given = options(ScheduleKind::kWarmupStableDecay);
    given.decay_steps = 20;
    given.decay_shape = c.shape;
    const Schedule schedule(given);
    EXPECT_EQ(schedule.learning_rate_at(79), 2.0);
    EXPECT_EQ(schedule.learning_rate_at(80), 2.0);
    EXPECT_NEAR(schedule.learning_rate_at(90), c.half_way, 1e-14);
    EXPECT_NEAR(schedule.learning_rate_at(100), 0.2, 1e-14);
    EXPECT_NEAR(schedule.learning_rate_at(500), 0.2, 1e-14);
  }
}

TEST(Schedule, RatiosBecomeStepsWithoutRoundingSurprises) {
  for (const int64_t total : {10, 30, 70, 1000, 123456789}) {
    const Schedule schedule(
        {.kind = ScheduleKind::kWarmupStableDecay, .total_steps = total, .warmup_ratio = 0.1});
    EXPECT_EQ(schedule.num_warmup_steps(), (total + 9) / 10);
    EXPECT_EQ(schedule.num_decay_steps(), (total + 9) / 10);
  }
  const Schedule given({.total_steps = 100, .warmup_steps = 7, .warmup_ratio = 0.5});
  EXPECT_EQ(given.num_warmup_steps(), 7);
  EXPECT_EQ(given.num_decay_steps(), 0);
}

TEST(Schedule, WarmupOfTheWholeRunAndRunsOfOneStepWork) {
  EXPECT_DOUBLE_EQ(Schedule({.learning_rate = 1, .total_steps = 5, .warmup_steps = 5}).learning_rate_at(4),
                   1.0);
  EXPECT_DOUBLE_EQ(Schedule({.learning_rate = 1, .total_steps = 1}).learning_rate_at(0), 1.0);
}

TEST(Schedule, ImpossibleOptionsAreRefused) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<ScheduleOptions> impossible = {
      {.total_steps = 0},
      {.learning_rate = -1, .total_steps = 10},
      {.learning_rate = nan, .total_steps = 10},
      {.total_steps = 10, .warmup_steps = 11},
      {.total_steps = 10, .warmup_steps = -1},
      {.total_steps = 10, .warmup_ratio = 1.5},
      {.total_steps = 10, .min_ratio = nan},
      {.kind = ScheduleKind::kWarmupStableDecay, .total_steps = 10, .warmup_steps = 5, .decay_steps = 6},
      {.kind = ScheduleKind::kWarmupStableDecay, .total_steps = 10, .decay_shape = DecayShape::kExponential},
  };
  for (const ScheduleOptions& given : impossible) EXPECT_THROW(Schedule{given}, core::ConfigError);
  EXPECT_THROW(Schedule({.total_steps = 3}).learning_rate_at(-1), core::InternalError);
}

}  // namespace
}  // namespace athanor::optim
