// Every operation of a save fails in turn, and power fails at every one: what is found afterwards is the old
// checkpoint or the new one, whole, and a save that was reported as done is there.
#include "checkpoints/checkpoint_directory.h"
#include "core/log.h"
#include "tests/checkpoints/sample_model.h"
#include "tests/support/crash_file_system.h"
#include "tests/support/faulty_file_system.h"

namespace athanor::checkpoints {
namespace {

using tests::CrashFileSystem;
using tests::Fault;
using tests::FaultyFileSystem;
using tests::Unsynced;

const std::string kDirectory = "/run/checkpoints";
const SaveOptions kOptions{
    .layout = {2, 1}, .num_to_keep = 2, .max_file_bytes = 1 << 20, .part_deadline_s = 0.01};

// Few and small tensors: thousands of saves follow.
std::vector<WholeTensor> small_model(uint64_t seed) {
  std::vector<WholeTensor> model;
  for (const char* name : {"a", "b"}) model.push_back({name, "weight", Dtype::kF32, {17, 19}, {}});
  for (WholeTensor& tensor : model) tensor.bytes = random_bytes(17 * 19 * 4, seed, tensor.name);
  return model;
}

struct Scene {
  std::string name;
  uint64_t old_step, new_step;
};
// A later step; and the same step again, where the old one has to make way.
const std::vector<Scene> kScenes{{"next step", 10, 20}, {"same step", 20, 20}};

class Faults : public ::testing::Test {
 protected:
  // Thousands of saves fail here, each with a warning.
  static void SetUpTestSuite() { core::log::configure({0, core::log::Level::kError, ""}); }
  static void TearDownTestSuite() { core::log::configure({}); }

  const std::vector<WholeTensor> old_model = small_model(1), new_model = small_model(2),
                                 third_model = small_model(3);

  // Two old checkpoints, so that pruning has work as well.
  std::unique_ptr<CrashFileSystem> prepared(const Scene& scene) const {
    auto fs = std::make_unique<CrashFileSystem>();
    save_model(*fs, kDirectory, third_model, 5, kOptions);
    save_model(*fs, kDirectory, old_model, scene.old_step, kOptions);
    return fs;
  }

  enum class Found { kOld, kNew };
  Found find(core::FileSystem& fs, const std::string& what) const {
    clean_leftovers(fs, kDirectory);
    const auto found = find_newest_good(fs, kDirectory);
    EXPECT_TRUE(found.has_value()) << what;
    if (!found) return Found::kOld;
    const CheckpointReader reader(fs, found->path);
    const bool is_old = holds(reader, old_model), is_new = holds(reader, new_model);
    EXPECT_TRUE(is_old || is_new) << what << ": neither the old nor the new in " << found->path;
    EXPECT_TRUE(found->passed_over.empty())
        << what << ": a bad checkpoint under a final name: " << found->passed_over.front();
    return is_new ? Found::kNew : Found::kOld;
  }

  // Runs the save; true when it reported success.
  static bool try_save(core::FileSystem& fs, const std::vector<WholeTensor>& model, uint64_t step) {
    try {
      save_model(fs, kDirectory, model, step, kOptions);
      return true;
    } catch (const core::Error&) {
      return false;
    }
  }
};

TEST_F(Faults, EveryFailingOperationLeavesOldOrNewAndIsReported) {
  for (const Scene& scene : kScenes) {
    const auto rehearsal = prepared(scene);
    FaultyFileSystem counting(*rehearsal);
    ASSERT_TRUE(try_save(counting, new_model, scene.new_step));
    const auto operations = counting.operations();
    ASSERT_GT(operations.size(), 20u);
    for (uint64_t k = 0; k < operations.size(); ++k)
      for (const Fault fault : {Fault::kNoSpace, Fault::kIoError, Fault::kShortWrite})
        for (const bool stays_broken : {false, true}) {
          const std::string what = fmt::format("{}, operation {} ({}){}", scene.name, k, operations[k],
                                               stays_broken ? " and all after" : "");
          const auto disk = prepared(scene);
          FaultyFileSystem faulty(*disk, {fault, k, stays_broken});
          const bool is_done = try_save(faulty, new_model, scene.new_step);
          ASSERT_TRUE(faulty.has_failed()) << what;
          faulty.heal();
          const Found found = find(faulty, what);
          if (is_done) {
            EXPECT_EQ(found, Found::kNew) << what << ": reported as done";
          }
          // A failure after the publication concerns old checkpoints only, and is a warning.
          if (found == Found::kOld) {
            EXPECT_FALSE(is_done) << what;
          }
          EXPECT_TRUE(try_save(faulty, new_model, scene.new_step + 10))
              << what << ": the next save must work";
          EXPECT_EQ(find(faulty, what), Found::kNew);
        }
  }
}

TEST_F(Faults, PowerLossAtEveryOperationLeavesOldOrNew) {
  for (const Scene& scene : kScenes) {
    const auto rehearsal = prepared(scene);
    rehearsal->arm(UINT64_MAX);
    ASSERT_TRUE(try_save(*rehearsal, new_model, scene.new_step));
    const uint64_t num_operations = rehearsal->num_operations();
    int num_old = 0, num_new = 0;
    for (uint64_t k = 0; k <= num_operations; ++k) {
      const auto disk = prepared(scene);
      disk->arm(k);
      const bool is_done = try_save(*disk, new_model, scene.new_step);
      const auto check = [&](Unsynced unsynced, uint64_t seed) {
        const std::string what =
            fmt::format("{}, power lost at operation {} of {}, seed {}", scene.name, k, num_operations, seed);
        const auto next = disk->after_power_loss(unsynced, seed);
        const Found found = find(*next, what);
        (found == Found::kNew ? num_new : num_old)++;
        if (is_done) {
          EXPECT_EQ(found, Found::kNew) << what << ": reported as done";
        }
      };
      check(Unsynced::kLost, 0);
      check(Unsynced::kKept, 0);
      for (uint64_t seed = 0; seed < 20; ++seed) check(Unsynced::kMixed, seed);
    }
    EXPECT_GT(num_old, 0);
    EXPECT_GT(num_new, 0);
  }
}

TEST_F(Faults, TheFirstSaveOfARunSurvivesPowerLossOnceReported) {
  auto fs = std::make_unique<CrashFileSystem>();
  save_model(*fs, kDirectory, new_model, 10, kOptions);
  for (uint64_t seed = 0; seed < 50; ++seed)
    EXPECT_EQ(find(*fs->after_power_loss(Unsynced::kMixed, seed), "first save"), Found::kNew);
  EXPECT_EQ(find(*fs->after_power_loss(Unsynced::kLost), "first save"), Found::kNew);
}

// Several saves, power lost anywhere, again and again: steps never go backwards past what was reported.
TEST_F(Faults, RandomSchedulesOfPowerLossNeverLoseWhatWasReported) {
  const core::CounterRng rng(11, "schedules");
  uint64_t counter = 0;
  for (int schedule = 0; schedule < 150; ++schedule) {
    auto fs = std::make_unique<CrashFileSystem>();
    uint64_t reported_step = 0;
    for (int start = 0; start < 3; ++start) {
      fs->arm(rng.below(counter++, 160));
      for (uint64_t step = reported_step + 1; !fs->has_crashed(); ++step)
        if (try_save(*fs, small_model(step), step)) reported_step = step;
      fs = fs->after_power_loss(Unsynced::kMixed, rng.bits(counter++));
      if (!fs->exists(kDirectory)) continue;
      clean_leftovers(*fs, kDirectory);
      const auto found = find_newest_good(*fs, kDirectory);
      ASSERT_TRUE(found.has_value() || reported_step == 0) << "schedule " << schedule;
      if (!found) continue;
      EXPECT_GE(found->step, reported_step) << "schedule " << schedule;
      EXPECT_TRUE(holds(CheckpointReader(*fs, found->path), small_model(found->step)))
          << "schedule " << schedule;
      reported_step = found->step;
    }
  }
}

}  // namespace
}  // namespace athanor::checkpoints
