// The invented world of the sample corpus: towns, people and animals that every document agrees on, in both
// languages, so that knowledge about them can be learnt from one document and asked in another.
#pragma once

#include <cstdint>

#include "data/synth/grammar.h"

namespace athanor::synth {

enum class Tongue { kChinese, kEnglish };

inline constexpr uint64_t kNumTowns = 320;
inline constexpr uint64_t kNumPeople = 640;

/// Facts of towns and people: pure functions of (seed, number).
class World {
 public:
  explicit World(uint64_t seed);

  /// Sets town, province, river, mountain, product, dish, festival, landmark, founded, people (thousands),
  /// direction and mayor, each with `prefix` before its name.
  void describe_town(uint64_t town, Tongue tongue, std::string_view prefix, Variables& variables) const;

  /// Sets name, job, born, home (town), hobby, instrument, pet, trait, colour, with `prefix` before each.
  void describe_person(uint64_t person, Tongue tongue, std::string_view prefix, Variables& variables) const;

  std::string town_name(uint64_t town, Tongue tongue) const;
  std::string person_name(uint64_t person, Tongue tongue) const;

 private:
  core::CounterRng towns_, people_;
};

}  // namespace athanor::synth
