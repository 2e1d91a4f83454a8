// The names of the collectives: in messages, in the progress board and in the recorded traffic.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace athanor::parallel {

enum class Verb : uint8_t { kAllGather, kAllToAll, kAllReduce, kBroadcast, kSend, kRecv, kBarrier };
constexpr int kNumVerbs = 7;

constexpr std::string_view name_of(Verb verb) {
  constexpr std::array<std::string_view, kNumVerbs> kNames = {
      "all_gather", "all_to_all", "all_reduce", "broadcast", "send", "recv", "barrier"};
  return kNames[static_cast<size_t>(verb)];
}

/// send and recv concern two ranks; all other verbs are numbered alike on every rank of their axis.
constexpr bool is_collective(Verb verb) {
  return verb != Verb::kSend && verb != Verb::kRecv;
}

}  // namespace athanor::parallel
