#include "trainer/expert_reach.h"

#include <gtest/gtest.h>

namespace athanor::tests {
namespace {

model::ModelSpec spec_of(int64_t experts, int64_t chosen, int64_t n_group, int64_t topk_group) {
  model::ModelSpec spec;
  spec.n_routed_experts = experts;
  spec.num_experts_per_tok = chosen;
  spec.n_group = n_group;
  spec.topk_group = topk_group;
  return spec;
}

struct Case {
  model::ModelSpec spec;
  std::vector<int64_t> host_of_rank;
  int64_t num_hosts, hosts_per_token;
  bool groups_are_local;
};

TEST(ExpertReach, IsBoundedByGroupsOfOneMachine) {
  const std::vector<int64_t> four = {7, 7, 8, 8, 9, 9, 5, 5};
  const Case cases[] = {
      {spec_of(64, 8, 1, 1), four, 4, 4, false},  // no groups: anywhere
      {spec_of(64, 2, 1, 1), four, 4, 2, false},  // no more than there are choices
      {spec_of(64, 8, 4, 2), four, 4, 2, true},   // a group per machine
      {spec_of(64, 8, 8, 3), four, 4, 3, true},   // two groups per machine
      {spec_of(64, 8, 2, 1), four, 4, 2, false},  // a group spans two machines
      {spec_of(64, 8, 4, 2), {3, 3, 3, 3}, 1, 1, true},
      // Ranks in an order that does not follow machines.
      {spec_of(16, 4, 2, 1), {1, 2, 1, 2}, 2, 2, false},
  };
  for (const Case& test : cases) {
    const trainer::ExpertReach reach = trainer::expert_reach(test.spec, test.host_of_rank);
    EXPECT_EQ(reach.num_hosts, test.num_hosts);
    EXPECT_EQ(reach.hosts_per_token, test.hosts_per_token) << test.spec.n_group;
    EXPECT_EQ(reach.groups_are_local, test.groups_are_local) << test.spec.n_group;
  }
}

TEST(ExpertReach, SaysWhatToChange) {
  const auto spec = spec_of(64, 8, 2, 1);
  const std::string text = trainer::describe(trainer::expert_reach(spec, {1, 1, 2, 2, 3, 3, 4, 4}), spec);
  EXPECT_NE(text.find("on 4 machines, a token can reach 2 of them"), std::string::npos) << text;
  EXPECT_NE(text.find("make n_group a multiple of 4"), std::string::npos) << text;
  EXPECT_EQ(trainer::describe(trainer::expert_reach(spec, {1, 1}), spec), "all on one machine");
}

}  // namespace
}  // namespace athanor::tests
