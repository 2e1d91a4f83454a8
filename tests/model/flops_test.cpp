// What a step computes, against counting by hand.
#include <gtest/gtest.h>

#include "model/blocks.h"
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

ModelSpec small_model(int64_t num_modules) {
  ModelSpec spec;
  spec.vocab_size = 1000;
  spec.hidden_size = 32;
  spec.intermediate_size = 64;
  spec.num_hidden_layers = 2;
  spec.num_attention_heads = 2;
  spec.kv_lora_rank = 16;
  spec.qk_nope_head_dim = spec.qk_rope_head_dim = 8;
  spec.v_head_dim = 16;
  spec.max_position_embeddings = 64;
  spec.num_nextn_predict_layers = num_modules;
  return spec;
}

TEST(Parameters, AreThoseOfTheBlocksAndCountOnce) {
  for (const int64_t num_modules : {0, 1, 2}) {
    for (const bool is_tied : {false, true}) {
      for (const int64_t num_experts : {0, 4}) {
        ModelSpec spec = small_model(num_modules);
        spec.tie_word_embeddings = is_tied;
        spec.n_routed_experts = num_experts;
        spec.num_experts_per_tok = num_experts / 4;
        spec.moe_intermediate_size = 8;
        SCOPED_TRACE(testing::Message()
                     << num_modules << " modules, " << num_experts << " experts, tied " << is_tied);
        Model model = build_model(spec);
        int64_t total = 0;
        for (const Parameter* parameter : all_parameters(model)) total += parameter->num_elements();
        const ParameterCounts counts = count_parameters(spec);
        EXPECT_EQ(counts.total, total);
        // All but the look-up and the experts that a token is not sent to.
        const int64_t num_moe_layers = num_experts > 0 ? 2 + num_modules : 0;
        const int64_t unused = num_moe_layers * (num_experts - spec.num_experts_per_tok) * 3 * 32 * 8;
        EXPECT_EQ(counts.active, total - unused - (is_tied ? 0 : 1000 * 32));
      }
    }
  }
}

TEST(TrainingFlops, EveryModuleProjectsToTheVocabulary) {
  const auto per_token = [](const ModelSpec& spec) { return training_flops(spec, 1, 0) / 6; };
  const ModelSpec without = small_model(0), with = small_model(2);
  const auto active = [](const ModelSpec& spec) {
    return static_cast<double>(count_parameters(spec).active);
  };
  EXPECT_EQ(per_token(without), active(without));
  EXPECT_EQ(per_token(with), active(with) + 2 * 1000 * 32);
}

}  // namespace
}  // namespace athanor::model
