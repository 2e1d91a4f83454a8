#include "launch/network_facts.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <fmt/core.h>

#include "parallel/mesh_communicators.h"
#include "parallel/ordered_reduction.h"

namespace athanor::launch {
namespace {

using parallel::Axis;
using parallel::Communicator;
using Clock = std::chrono::steady_clock;

constexpr int kMaxCalls = 2000;

struct Call {
  const char* name;
  int64_t pieces_received;
  std::function<void()> make;
};

// Buffers live as long as the calls that use them.
std::vector<Call> calls_on(Communicator& comm, parallel::OrderedReduction& reduction, int64_t piece_bytes) {
  const int64_t size = comm.size(), piece = std::max<int64_t>(1, piece_bytes / 4);
  const at::Tensor own = at::zeros({piece}), all = at::zeros({piece * size}),
                   others = at::zeros({piece * size});
  const at::Tensor flags = at::zeros({std::max<int64_t>(1, piece_bytes / 8)}, at::kLong);
  const std::vector<int64_t> splits(size, piece);
  return {{"all_gather", size - 1, [&comm, own, all] { comm.all_gather(all, own).wait(); }},
          {"exchange", size - 1,
           [&comm, all, others, splits] { comm.all_to_all(all, others, splits, splits).wait(); }},
          {"reduce_scatter", size - 1, [&reduction, own, all] { reduction.reduce_scatter(own, all).wait(); }},
          {"all_reduce", 1, [&comm, flags] { comm.all_reduce(flags, parallel::ReduceOp::kMax).wait(); }}};
}

double slowest(double value, Communicator& world) {
  const at::Tensor data = at::full({1}, value, at::kDouble);
  world.all_reduce(data, parallel::ReduceOp::kMax).wait();
  return *data.const_data_ptr<double>();
}

double time_calls(const std::function<void()>& call, int num_calls, Communicator& world) {
  world.barrier();
  const auto begin = Clock::now();
  for (int i = 0; i < num_calls; ++i) call();
  return slowest(std::chrono::duration<double>(Clock::now() - begin).count(), world) / num_calls;
}

// All ranks agree on the first timing, so they repeat equally often.
double measure(const std::function<void()>& call, double seconds, Communicator& world) {
  time_calls(call, 1, world);
  const double first_s = time_calls(call, 2, world);
  const double wanted = seconds / std::max(first_s, 1e-7);
  return time_calls(call, static_cast<int>(std::clamp(wanted, 3.0, double{kMaxCalls})), world);
}

// What is measured on one axis; the axis is named by the caller.
std::vector<NetworkRow> measure_axis(Communicator& comm, Communicator& world, const NetworkOptions& options) {
  std::vector<NetworkRow> rows;
  parallel::OrderedReduction reduction(comm);
  for (const int64_t piece_bytes : options.piece_bytes)
    for (const Call& call : calls_on(comm, reduction, piece_bytes)) {
      const double seconds = measure(call.make, options.seconds_per_row, world);
      rows.push_back({.axis = {},
                      .degree = comm.size(),
                      .call = call.name,
                      .piece_bytes = piece_bytes,
                      .seconds = seconds,
                      .bytes_per_second = static_cast<double>(call.pieces_received * piece_bytes) / seconds});
    }
  return rows;
}

std::string in_words(int64_t bytes) {
  if (bytes >= 1 << 20) return fmt::format("{} MiB", bytes >> 20);
  if (bytes >= 1 << 10) return fmt::format("{} KiB", bytes >> 10);
  return fmt::format("{} B", bytes);
}

}  // namespace

std::vector<NetworkRow> measure_network(parallel::Session& session, const parallel::Mesh& mesh,
                                        const NetworkOptions& options) {
  parallel::MeshCommunicators axes(session, mesh);
  // Axes are regular: those with the same first group have the same groups, and are measured once.
  std::map<std::vector<int>, std::vector<NetworkRow>> by_group;
  std::vector<NetworkRow> rows;
  for (const Axis axis : parallel::kAllAxes) {
    if (mesh.degree(axis) < 2) continue;
    auto& measured = by_group[mesh.group(axis, 0)];
    if (measured.empty()) measured = measure_axis(axes[axis], session.world(), options);
    for (NetworkRow row : measured) {
      row.axis = name_of(axis);
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

nlohmann::ordered_json to_json(const std::vector<NetworkRow>& rows) {
  auto json = nlohmann::ordered_json::array();
  for (const NetworkRow& row : rows)
    json.push_back({{"axis", row.axis},
                    {"degree", row.degree},
                    {"call", row.call},
                    {"piece_bytes", row.piece_bytes},
                    {"seconds", row.seconds},
                    {"bytes_per_second", row.bytes_per_second}});
  return json;
}

std::string to_text(const std::vector<NetworkRow>& rows) {
  std::vector<int64_t> sizes;
  std::vector<std::pair<std::string, std::string>> lines;  // axis and call, in order
  std::map<std::pair<std::string, std::string>, std::vector<NetworkRow>> by_line;
  for (const NetworkRow& row : rows) {
    const std::pair line{row.axis, row.call};
    if (by_line[line].empty()) lines.push_back(line);
    by_line[line].push_back(row);
    if (std::find(sizes.begin(), sizes.end(), row.piece_bytes) == sizes.end())
      sizes.push_back(row.piece_bytes);
  }
  std::string text = fmt::format("{:<15} {:>6} {:<15}", "axis", "degree", "call");
  for (const int64_t size : sizes) text += fmt::format(" {:>20}", in_words(size));
  text += "   (time of a call, bytes received per second, by bytes from rank to rank)\n";
  for (const auto& line : lines) {
    text += fmt::format("{:<15} {:>6} {:<15}", line.first, by_line[line].front().degree, line.second);
    for (const NetworkRow& row : by_line[line])
      text += fmt::format(
          " {:>20}", fmt::format("{:.3f} ms {:.2f} GB/s", row.seconds * 1e3, row.bytes_per_second * 1e-9));
    text += "\n";
  }
  return text;
}

}  // namespace athanor::launch
