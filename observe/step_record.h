// What a run reports, and to whom: one record per optimizer step, one per validation, and notes of
// checkpoints and resumes, handed to every observer of a list. Observers watch from outside: the step does
// not know them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace athanor::observe {

using NamedValue = std::pair<std::string, double>;

struct StepRecord {
  uint64_t step = 0;  ///< from 1
  double loss = 0;
  double grad_norm = 0;  ///< before clipping
  double learning_rate = 0;
  uint64_t tokens = 0;  ///< consumed so far, all ranks
  double tokens_per_second = 0;
  double step_seconds = 0;
  double time = 0;                     ///< seconds since 1970
  double mfu = 0;                      ///< share of the measured peak; 0: not known
  std::vector<NamedValue> extra = {};  ///< further metrics, such as expert_load_max_over_mean, reward_mean
};

struct ValidationRecord {
  uint64_t step = 0;
  double loss = 0;
  double time = 0;
  std::vector<NamedValue> extra = {};
};

struct CheckpointRecord {
  uint64_t step = 0;
  double time = 0;           ///< when its state was taken
  double stall_seconds = 0;  ///< for how long training stood still
  std::string path = {};
};

/// Calls come from one thread, in the order of the run. The validation of a step is reported before the step
/// itself.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void on_step(const StepRecord& record) = 0;
  virtual void on_validation(const ValidationRecord&) {}
  virtual void on_checkpoint(const CheckpointRecord&) {}
  /// The run goes on after `step` steps (0: it starts anew); what was reported of later steps did not happen.
  virtual void on_resume(uint64_t /*step*/) {}
};

/// Passes everything on to each of its members, in order.
class ObserverList : public Observer {
 public:
  void add(std::unique_ptr<Observer> observer) { observers_.push_back(std::move(observer)); }

  void on_step(const StepRecord& record) override;
  void on_validation(const ValidationRecord& record) override;
  void on_checkpoint(const CheckpointRecord& record) override;
  void on_resume(uint64_t step) override;

 private:
  std::vector<std::unique_ptr<Observer>> observers_;
};

/// The numbers of a record under the names used in every output: `step` and `time` left out, `mfu` only when
/// known.
std::vector<NamedValue> named_values(const StepRecord& record);
/// The same for a validation: validation_loss, validation_….
std::vector<NamedValue> named_values(const ValidationRecord& record);

}  // namespace athanor::observe
