#include "observe/step_record.h"

namespace athanor::observe {

void ObserverList::on_step(const StepRecord& record) {
  for (const auto& observer : observers_) observer->on_step(record);
}

void ObserverList::on_validation(const ValidationRecord& record) {
  for (const auto& observer : observers_) observer->on_validation(record);
}

void ObserverList::on_checkpoint(const CheckpointRecord& record) {
  for (const auto& observer : observers_) observer->on_checkpoint(record);
}

void ObserverList::on_resume(uint64_t step) {
  for (const auto& observer : observers_) observer->on_resume(step);
}

std::vector<NamedValue> named_values(const StepRecord& record) {
  std::vector<NamedValue> values = {{"loss", record.loss},
                                    {"grad_norm", record.grad_norm},
                                    {"learning_rate", record.learning_rate},
                                    {"tokens", static_cast<double>(record.tokens)},
                                    {"tokens_per_second", record.tokens_per_second},
                                    {"step_seconds", record.step_seconds}};
  if (record.mfu > 0) values.emplace_back("mfu", record.mfu);
  values.insert(values.end(), record.extra.begin(), record.extra.end());
  return values;
}

std::vector<NamedValue> named_values(const ValidationRecord& record) {
  std::vector<NamedValue> values = {{"validation_loss", record.loss}};
  for (const auto& [name, value] : record.extra) values.emplace_back("validation_" + name, value);
  return values;
}

}  // namespace athanor::observe
