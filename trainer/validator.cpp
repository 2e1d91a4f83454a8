#include "trainer/validator.h"

#include <algorithm>
#include <vector>

#include "data/loader/batch_stream.h"
#include "trainer/batches.h"
#include "trainer/step_totals.h"

namespace athanor::trainer {

double Validator::loss() {
  uint64_t num_sequences = dataset_->num_sequences_per_epoch();
  if (options_.max_sequences) num_sequences = std::min(num_sequences, options_.max_sequences);
  // Every rank takes the same number of micro batches; what lies beyond the end is padding without labels.
  data::BatchStream stream(dataset_, data::single_pass_plan(num_sequences, options_.micro_batch_size,
                                                            static_cast<uint64_t>(data_.rank()),
                                                            static_cast<uint64_t>(data_.size())));
  std::vector<double> loss_sums, label_counts;
  while (auto read = stream.next()) {
    const model::MicroBatch batch = to_micro_batch(*read, model_.spec, options_.device);
    model::PassContext pass = model::make_pass(model_, batch);
    executor_.forward(pass, model_.num_decoding_blocks);
    loss_sums.push_back(pass.loss_sum.front());
    label_counts.push_back(static_cast<double>(read->num_valid_labels));
  }
  const double sum = sum_by_micro_batch(loss_sums, data_), count = sum_by_micro_batch(label_counts, data_);
  return count > 0 ? sum / count : 0.0;
}

}  // namespace athanor::trainer
