// How a backward closure adds to the gradient of a parameter.
#pragma once

#include "model/parameter.h"

namespace athanor::model {

/// Calls compute(gradient, accumulate) unless the parameter is frozen.
template <typename Compute>
void add_gradient(Parameter& parameter, const Compute& compute) {
  if (!parameter.gradient.defined()) return;
  compute(parameter.gradient, parameter.has_gradient);
  parameter.has_gradient = true;
}

}  // namespace athanor::model
