// How new parameters start. A value depends on (seed, Hugging Face name, element) alone, so every rank can
// fill just the slice it keeps, whatever the layout.
#pragma once

#include <cstdint>
#include <span>

#include "model/parameter.h"

namespace athanor::model {

/// Fills `out` with elements [begin, begin + out.size()) of the parameter: normal(0, range), ones or zeros.
void initialise(const Parameter& parameter, double range, uint64_t seed, int64_t begin, std::span<float> out);

}  // namespace athanor::model
