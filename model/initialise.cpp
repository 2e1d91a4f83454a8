#include "model/initialise.h"

#include <algorithm>

#include "core/parallel_for.h"
#include "core/rng.h"

namespace athanor::model {
namespace {

constexpr int64_t kPiece = 1 << 14;

// Where element `index` of the part's box lies in the whole tensor, row-major.
int64_t global_index(const HfPart& part, int64_t index) {
  if (part.is_whole()) return index;
  int64_t global = 0, stride = 1;
  for (size_t i = part.shape.size(); i-- > 0;) {
    global += (index % part.shape[i] + part.offset[i]) * stride;
    index /= part.shape[i];
    stride *= part.global_shape[i];
  }
  return global;
}

void fill_normal(const HfPart& part, double range, uint64_t seed, int64_t begin, std::span<float> out) {
  const core::CounterRng rng(seed, "init/" + part.name);
  const int64_t count = static_cast<int64_t>(out.size());
  core::parallel_for((count + kPiece - 1) / kPiece, [&](int64_t piece) {
    for (int64_t i = piece * kPiece; i < std::min(count, (piece + 1) * kPiece); ++i)
      out[i] = static_cast<float>(range * rng.normal(global_index(part, begin + i)));
  });
}

}  // namespace

void initialise(const Parameter& parameter, double range, uint64_t seed, int64_t begin,
                std::span<float> out) {
  if (parameter.initialisation != Initialisation::kNormal) {
    std::fill(out.begin(), out.end(), parameter.initialisation == Initialisation::kOnes ? 1.0f : 0.0f);
    return;
  }
  for_each_part(parameter, begin, begin + static_cast<int64_t>(out.size()),
                [&](const HfPart& part, int64_t from, int64_t to, int64_t position) {
                  fill_normal(part, range, seed, from, out.subspan(position, to - from));
                });
}

}  // namespace athanor::model
