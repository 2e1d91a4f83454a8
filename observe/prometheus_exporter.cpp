#include "observe/prometheus_exporter.h"

#include <algorithm>
#include <cctype>
#include <exception>
#include <map>
#include <prometheus/counter.h>
#include <prometheus/exposer.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include "core/error.h"

namespace athanor::observe {
namespace {

std::unique_ptr<prometheus::Exposer> listen(int port) {
  try {
    return std::make_unique<prometheus::Exposer>(fmt::format("0.0.0.0:{}", port));
  } catch (const std::exception& error) {
    throw core::IoError(
        "cannot serve metrics on port {} ({}); choose another metrics.prometheus_port, or 0 for none", port,
        error.what());
  }
}

}  // namespace

struct PrometheusExporter::State {
  State(int port, const std::string& run_name) : labels{{"run", run_name}}, exposer(listen(port)) {
    exposer->RegisterCollectable(registry);
  }

  prometheus::Gauge& gauge(const std::string& name, const std::string& help) {
    auto& known = gauges[name];
    if (!known)
      known = &prometheus::BuildGauge().Name(metric_name(name)).Help(help).Register(*registry).Add(labels);
    return *known;
  }

  prometheus::Counter& counter(const std::string& name, const std::string& help) {
    return prometheus::BuildCounter().Name(metric_name(name)).Help(help).Register(*registry).Add(labels);
  }

  void set_all(const std::vector<NamedValue>& values, const std::string& help) {
    for (const auto& [name, value] : values) gauge(name, help).Set(value);
  }

  std::map<std::string, std::string> labels;
  std::shared_ptr<prometheus::Registry> registry = std::make_shared<prometheus::Registry>();
  std::map<std::string, prometheus::Gauge*> gauges;
  std::unique_ptr<prometheus::Exposer> exposer;
  prometheus::Counter& checkpoints = counter("checkpoints_total", "Checkpoints taken since this start");
  prometheus::Counter& resumes = counter("resumes_total", "Times this process went on from a checkpoint");
};

PrometheusExporter::PrometheusExporter(int port, const std::string& run_name)
    : state_(std::make_unique<State>(port, run_name)) {}
PrometheusExporter::~PrometheusExporter() = default;

int PrometheusExporter::port() const {
  return state_->exposer->GetListeningPorts().front();
}

void PrometheusExporter::on_step(const StepRecord& record) {
  state_->gauge("step", "Optimizer steps done").Set(static_cast<double>(record.step));
  state_->gauge("time", "When the newest step ended, seconds since 1970").Set(record.time);
  state_->set_all(named_values(record), "Value at the newest step");
}

void PrometheusExporter::on_validation(const ValidationRecord& record) {
  state_->set_all(named_values(record), "Value at the newest validation");
}

void PrometheusExporter::on_checkpoint(const CheckpointRecord& record) {
  state_->checkpoints.Increment();
  state_->gauge("checkpoint_step", "Step of the newest checkpoint").Set(static_cast<double>(record.step));
  state_->gauge("checkpoint_time", "When the newest checkpoint was taken, seconds since 1970")
      .Set(record.time);
  state_->gauge("checkpoint_stall_seconds", "For how long the newest checkpoint held up training")
      .Set(record.stall_seconds);
}

void PrometheusExporter::on_resume(uint64_t step) {
  if (step > 0) state_->resumes.Increment();
}

std::string metric_name(const std::string& name) {
  std::string result = "athanor_" + name;
  std::replace_if(
      result.begin(), result.end(), [](unsigned char c) { return !std::isalnum(c) && c != '_'; }, '_');
  return result;
}

}  // namespace athanor::observe
