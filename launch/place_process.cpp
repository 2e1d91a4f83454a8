#include "launch/place_process.h"

#include <array>
#include <functional>

#include <ATen/ops/empty.h>
#include <fmt/ranges.h>

#include "core/log.h"
#include "core/parallel_for.h"
#include "launch/pinning.h"

namespace athanor::launch {
namespace {

constexpr const char* kSystemFolder = "/sys/devices/system";
constexpr int kMaxCpus = 1024;  // of one affinity mask

// What a rank tells the others: machine, place on it, and where it may run.
struct RankFacts {
  uint64_t host = 0;
  int64_t local_rank = 0;
  std::array<uint8_t, kMaxCpus / 8> mask{};
};

std::vector<int> ids_of(const RankFacts& facts) {
  std::vector<int> ids;
  for (int id = 0; id < kMaxCpus; ++id)
    if (facts.mask[id / 8] >> (id % 8) & 1) ids.push_back(id);
  return ids;
}

// The affinity masks of the ranks of this machine, by local rank.
std::vector<std::vector<int>> gather_masks(parallel::Session& session, const std::vector<int>& own) {
  const int64_t num_bytes = sizeof(RankFacts);
  const at::Tensor mine = at::empty({num_bytes}, at::kByte);
  const at::Tensor all = at::empty({num_bytes * session.size()}, at::kByte);
  auto* facts = new (mine.data_ptr()) RankFacts;
  facts->host = std::hash<std::string>{}(session.host());
  facts->local_rank = session.local_rank();
  for (const int id : own)
    if (id < kMaxCpus) facts->mask[id / 8] |= static_cast<uint8_t>(1 << (id % 8));
  session.world().all_gather(all, mine).wait();
  std::vector<std::vector<int>> masks(session.local_size());
  const auto* everybody = static_cast<const RankFacts*>(all.const_data_ptr());
  for (int r = 0; r < session.size(); ++r)
    if (everybody[r].host == facts->host && everybody[r].local_rank < session.local_size())
      masks[everybody[r].local_rank] = ids_of(everybody[r]);
  return masks;
}

}  // namespace

void place_process(parallel::Session& session, const PlacementOptions& options) {
  const std::vector<int> own = allowed_cpus();
  const Pinning pinning = plan_pinning(read_topology(kSystemFolder, own), gather_masks(session, own),
                                       session.local_rank(), options.may_pin);
  if (!pinning.cpus.empty()) {
    if (restrict_to(pinning.cpus))
      core::log::debug("this rank keeps to processors {}", fmt::join(pinning.cpus, ","));
    else
      core::log::warning("the system does not let this rank keep to processors {}; run.pin=none says so",
                         fmt::join(pinning.cpus, ","));
  }
  core::set_num_threads(options.threads > 0 ? static_cast<int>(options.threads) : pinning.num_threads);
}

}  // namespace athanor::launch
