// What a step computes, against counting by hand.
#include <gtest/gtest.h>

#include "model/spec.h"

namespace athanor::model {
namespace {

int64_t counted_pairs(int64_t window, const std::vector<int64_t>& offsets) {
  int64_t pairs = 0;
  for (size_t document = 1; document < offsets.size(); ++document)
    for (int64_t query = offsets[document - 1]; query < offsets[document]; ++query)
      for (int64_t key = offsets[document - 1]; key <= query; ++key)
        if (window == 0 || query - key < window) ++pairs;
  return pairs;
}

TEST(TrainingFlops, PairsStayInsideDocumentsAndWindows) {
  ModelSpec spec;
  for (const int64_t window : {0, 1, 3, 8, 100}) {
    spec.sliding_window = window;
    for (const auto& offsets :
         {std::vector<int64_t>{0, 12}, std::vector<int64_t>{0, 1, 1, 5, 12}, std::vector<int64_t>{0}})
      EXPECT_EQ(attended_pairs(spec, offsets), counted_pairs(window, offsets)) << "window " << window;
  }
}

TEST(TrainingFlops, ManyShortDocumentsCostLessThanALongOne) {
  ModelSpec spec;
  spec.num_hidden_layers = 2;
  spec.num_attention_heads = 4;
  spec.head_dim = 8;
  const double of_one = training_flops(spec, 1024, attended_pairs(spec, {0, 1024}));
  const double of_two = training_flops(spec, 1024, attended_pairs(spec, {0, 512, 1024}));
  // One pair: a product of a query with a key and one with a value, two FLOP per element, three passes.
  const double per_pair =
      2.0 * 4 * 2 * static_cast<double>(spec.query_head_dim() + spec.value_head_dim()) * 3;
  EXPECT_DOUBLE_EQ(of_one - of_two, per_pair * 512 * 512);
}

}  // namespace
}  // namespace athanor::model
