// Which cores a rank gets, on machines that are only described.
#include "launch/pinning.h"

#include <filesystem>
#include <fstream>
#include <unistd.h>

#include <gtest/gtest.h>

#include "launch/cpu_topology.h"

namespace athanor::launch {
namespace {

using Shares = std::vector<std::vector<int>>;

/// `num_nodes` nodes of `num_cores` single-threaded cores each.
std::vector<Cpu> machine(int num_nodes, int num_cores) {
  std::vector<Cpu> cpus;
  for (int id = 0; id < num_nodes * num_cores; ++id) cpus.push_back({id, id, id / num_cores});
  return cpus;
}

std::vector<int> ids(const std::vector<Cpu>& cpus) {
  std::vector<int> found;
  for (const Cpu& cpu : cpus) found.push_back(cpu.id);
  return found;
}

TEST(Pinning, EveryRankGetsItsShareOfOneNode) {
  EXPECT_EQ(share_cpus(machine(1, 2), 2), (Shares{{0}, {1}}));
  EXPECT_EQ(share_cpus(machine(1, 8), 3), (Shares{{0, 1}, {2, 3, 4}, {5, 6, 7}}));
}

TEST(Pinning, RanksStayWithinNodes) {
  EXPECT_EQ(share_cpus(machine(2, 4), 2), (Shares{{0, 1, 2, 3}, {4, 5, 6, 7}}));
  EXPECT_EQ(share_cpus(machine(2, 4), 4), (Shares{{0, 1}, {2, 3}, {4, 5}, {6, 7}}));
  EXPECT_EQ(share_cpus(machine(2, 4), 3), (Shares{{0, 1}, {2, 3}, {4, 5, 6, 7}}));
}

TEST(Pinning, NodesWithoutARankAreSharedOut) {
  EXPECT_EQ(share_cpus(machine(4, 2), 2), (Shares{{0, 1, 2, 3}, {4, 5, 6, 7}}));
  EXPECT_EQ(share_cpus(machine(3, 2), 2), (Shares{{0, 1, 2}, {3, 4, 5}}));
}

TEST(Pinning, UnevenNodesGetRanksByTheirCores) {
  std::vector<Cpu> cpus = machine(1, 6);
  cpus.push_back({6, 6, 1});
  cpus.push_back({7, 7, 1});
  EXPECT_EQ(share_cpus(cpus, 4), (Shares{{0, 1}, {2, 3}, {4, 5}, {6, 7}}));
}

TEST(Pinning, BothThreadsOfACoreGoTogether) {
  const std::vector<Cpu> cpus = {{0, 0, 0}, {4, 0, 0}, {1, 1, 0}, {5, 1, 0}};
  EXPECT_EQ(share_cpus(cpus, 2), (Shares{{0, 4}, {1, 5}}));
  EXPECT_TRUE(share_cpus(cpus, 3).empty());  // four threads, but two cores
}

TEST(Pinning, EveryCoreIsUsedOnce) {
  for (int num_nodes = 1; num_nodes <= 4; ++num_nodes)
    for (int num_cores = 1; num_cores <= 6; ++num_cores)
      for (int num_ranks = 2; num_ranks <= num_nodes * num_cores; ++num_ranks) {
        const Shares shares = share_cpus(machine(num_nodes, num_cores), num_ranks);
        ASSERT_EQ(shares.size(), static_cast<size_t>(num_ranks));
        std::vector<int> all;
        for (const auto& share : shares) {
          EXPECT_FALSE(share.empty());
          all.insert(all.end(), share.begin(), share.end());
        }
        EXPECT_EQ(all, ids(machine(num_nodes, num_cores)))
            << num_nodes << " " << num_cores << " " << num_ranks;
      }
}

TEST(Pinning, NothingToCut) {
  EXPECT_TRUE(share_cpus(machine(1, 2), 8).empty());
  EXPECT_TRUE(share_cpus(machine(2, 8), 1).empty());
  EXPECT_TRUE(share_cpus({}, 2).empty());
}

TEST(Pinning, ThePlanOfOneRank) {
  const auto cpus = machine(1, 4);
  const std::vector<int> all = {0, 1, 2, 3};
  const Pinning second = plan_pinning(cpus, {all, all}, 1, true);
  EXPECT_EQ(second.cpus, (std::vector<int>{2, 3}));
  EXPECT_EQ(second.num_threads, 2);
  const Pinning unpinned = plan_pinning(cpus, {all, all}, 1, false);
  EXPECT_TRUE(unpinned.cpus.empty());
  EXPECT_EQ(unpinned.num_threads, 2);
  const Pinning crowded = plan_pinning(cpus, std::vector<std::vector<int>>(8, all), 5, true);
  EXPECT_TRUE(crowded.cpus.empty());
  EXPECT_EQ(crowded.num_threads, 1);
  const Pinning alone = plan_pinning(cpus, {all}, 0, true);
  EXPECT_TRUE(alone.cpus.empty());
  EXPECT_EQ(alone.num_threads, 4);
}

TEST(Pinning, RanksThatWerePlacedStayThere) {
  const auto cpus = machine(1, 2);  // what this rank may use
  const Pinning pinning = plan_pinning(cpus, {{0, 1}, {2, 3}}, 0, true);
  EXPECT_TRUE(pinning.cpus.empty());
  EXPECT_EQ(pinning.num_threads, 2);
}

TEST(Topology, ListsOfTheKernel) {
  EXPECT_EQ(parse_cpu_list("0-3,8,10-11"), (std::vector<int>{0, 1, 2, 3, 8, 10, 11}));
  EXPECT_EQ(parse_cpu_list("5"), std::vector<int>{5});
  for (const char* text : {"", "x", "3-1", "1-", "-2", "0-99999999"})
    EXPECT_TRUE(parse_cpu_list(text).empty()) << text;
}

class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / ("topology-" + std::to_string(getpid()))) {}
  ~Folder() { std::filesystem::remove_all(path_); }
  void write(const std::string& file, const std::string& text) const {
    std::filesystem::create_directories((path_ / file).parent_path());
    std::ofstream(path_ / file) << text << "\n";
  }
  std::string name() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

TEST(Topology, IsReadFromTheSystemsFolder) {
  const Folder folder;
  folder.write("node/online", "0-1");
  folder.write("node/node0/cpulist", "0-1,4-5");
  folder.write("node/node1/cpulist", "2-3,6-7");
  for (int id = 0; id < 8; ++id)
    folder.write("cpu/cpu" + std::to_string(id) + "/topology/thread_siblings_list",
                 std::to_string(id % 4) + "," + std::to_string(id % 4 + 4));
  const std::vector<Cpu> expected = {{0, 0, 0}, {4, 0, 0}, {1, 1, 0}, {3, 3, 1}, {7, 3, 1}};
  EXPECT_EQ(read_topology(folder.name(), {0, 1, 3, 4, 7}), expected);
}

TEST(Topology, AnUnreadableFolderIsOneNode) {
  EXPECT_EQ(read_topology("/nowhere", {2, 5}), (std::vector<Cpu>{{2, 2, 0}, {5, 5, 0}}));
}

TEST(Topology, TheMaskOfThisProcessIsObeyed) {
  const std::vector<int> before = allowed_cpus();
  ASSERT_FALSE(before.empty());
  ASSERT_TRUE(restrict_to({before.back()}));
  EXPECT_EQ(allowed_cpus(), std::vector<int>{before.back()});
  EXPECT_TRUE(restrict_to(before));
  EXPECT_FALSE(restrict_to({}));
}

}  // namespace
}  // namespace athanor::launch
