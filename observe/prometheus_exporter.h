// Metrics for Prometheus to fetch: every number of the newest step as a gauge `athanor_NAME{run="…"}`, and
// the counters athanor_checkpoints_total and athanor_resumes_total.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "observe/step_record.h"

namespace athanor::observe {

class PrometheusExporter : public Observer {
 public:
  /// Serves http://HOST:port/metrics from threads of its own; port 0 lets the system choose one. Throws
  /// IoError when the port cannot be used.
  PrometheusExporter(int port, const std::string& run_name);
  ~PrometheusExporter() override;

  int port() const;

  void on_step(const StepRecord& record) override;
  void on_validation(const ValidationRecord& record) override;
  void on_checkpoint(const CheckpointRecord& record) override;
  void on_resume(uint64_t step) override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// `athanor_` and the name with every character that a metric's name may not have replaced by `_`.
std::string metric_name(const std::string& name);

}  // namespace athanor::observe
