// What every axis of a mesh gives, measured with the calls that training makes: for `athanor doctor
// --network`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/json.h"
#include "parallel/mesh.h"
#include "parallel/session.h"

namespace athanor::launch {

/// One call on all groups of an axis at once, as in training; the slowest rank counts.
struct NetworkRow {
  std::string axis;
  int degree = 0;
  std::string call;             ///< all_gather, exchange, reduce_scatter (ordered, fp32) or all_reduce
  int64_t piece_bytes = 0;      ///< what goes from one rank to another
  double seconds = 0;           ///< of one call, mean
  double bytes_per_second = 0;  ///< received by each rank
};

struct NetworkOptions {
  std::vector<int64_t> piece_bytes = {8, 4096, 256 << 10, 4 << 20};
  double seconds_per_row = 0.05;  ///< about
};

/// Every axis of degree 2 or more. Collective; the same on every rank.
std::vector<NetworkRow> measure_network(parallel::Session& session, const parallel::Mesh& mesh,
                                        const NetworkOptions& options);

nlohmann::ordered_json to_json(const std::vector<NetworkRow>& rows);
/// A table: one line per axis and call, latency of the smallest piece and bandwidth by size.
std::string to_text(const std::vector<NetworkRow>& rows);

}  // namespace athanor::launch
