#include "model/initialise.h"

#include <algorithm>

#include "core/parallel_for.h"
#include "core/rng.h"

namespace athanor::model {
namespace {

constexpr int64_t kPiece = 1 << 14;

void fill_normal(const HfPart& part, double range, uint64_t seed, int64_t begin, std::span<float> out) {
  const core::CounterRng rng(seed, "init/" + part.name);
  const int64_t count = static_cast<int64_t>(out.size());
  core::parallel_for((count + kPiece - 1) / kPiece, [&](int64_t piece) {
    for (int64_t i = piece * kPiece; i < std::min(count, (piece + 1) * kPiece); ++i)
      out[i] = static_cast<float>(range * rng.normal(begin + i));
  });
}

}  // namespace

void initialise(const Parameter& parameter, double range, uint64_t seed, int64_t begin,
                std::span<float> out) {
  if (parameter.initialisation != Initialisation::kNormal) {
    std::fill(out.begin(), out.end(), parameter.initialisation == Initialisation::kOnes ? 1.0f : 0.0f);
    return;
  }
  const int64_t end = begin + static_cast<int64_t>(out.size());
  for (size_t i = 0; i < parameter.parts.size(); ++i) {
    const HfPart& part = parameter.parts[i];
    const int64_t part_end =
        i + 1 < parameter.parts.size() ? parameter.parts[i + 1].begin : parameter.num_elements();
    const int64_t from = std::max(begin, part.begin), to = std::min(end, part_end);
    if (from < to) fill_normal(part, range, seed, from - part.begin, out.subspan(from - begin, to - from));
  }
}

}  // namespace athanor::model
