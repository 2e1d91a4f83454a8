#include "parallel/flight_record.h"

#include <fmt/core.h>

#include "core/json.h"

namespace athanor::parallel {
namespace {

using Json = nlohmann::ordered_json;

Json seconds_or_null(int64_t ns) {
  return ns == 0 ? Json(nullptr) : Json(static_cast<double>(ns / 1000) * 1e-6);
}

std::string line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

void add_place(const Place& place, Json& json) {
  json["step"] = place.step;
  json["block"] = place.block < 0 ? Json(nullptr) : Json(place.block);
  json["phase"] = name_of(place.phase);
}

Json header(const RankView& rank, const FlightFacts& facts) {
  Json json = {{"rank", facts.world_rank},
               {"host", rank.host},
               {"process", rank.slot->pid.load(std::memory_order_relaxed)},
               {"state", name_of(rank.process)}};
  add_place(place_of(*rank.slot), json);
  json["written_by"] = facts.written_by;
  json["time"] = seconds_or_null(unix_ns());
  json["num_calls"] = rank.slot->num_calls.load(std::memory_order_relaxed);
  json["reason"] = facts.reason;
  return json;
}

Json call_line(const CallFacts& facts, const std::vector<std::string>& axis_names) {
  const auto axis_idx = static_cast<size_t>(facts.call.axis_idx);
  Json json = {{"call", facts.id},
               {"axis", axis_idx < axis_names.size() ? axis_names[axis_idx] : "unknown"},
               {"verb", name_of(facts.call.verb)},
               {"number", facts.call.sequence},
               {"bytes", facts.call.num_bytes}};
  add_place(facts.place, json);
  json["begin"] = seconds_or_null(facts.begin_ns);
  json["wait"] = seconds_or_null(facts.wait_ns);
  json["end"] = seconds_or_null(facts.end_ns);
  json["state"] = !facts.is_open() ? "done" : facts.is_waited_for() ? "waiting" : "open";
  return json;
}

}  // namespace

std::string flight_record(const RankView& rank, const FlightFacts& facts,
                          const std::vector<std::string>& axis_names) {
  std::string text = line(header(rank, facts));
  for (const CallFacts& call : recent_calls(*rank.slot)) text += line(call_line(call, axis_names));
  return text;
}

std::string flight_file_name(int world_rank) {
  return fmt::format("flight-{:05d}.json", world_rank);
}

}  // namespace athanor::parallel
