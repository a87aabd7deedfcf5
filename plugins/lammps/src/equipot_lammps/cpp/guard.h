// Stop a run whose numbers have become meaningless.
#pragma once

#include <string>

#include "frame.h"
#include "model.h"

namespace equipot {

/// Limits for single atoms, in eV/Å and K; infinite if there is none.
struct Limits {
  double max_force = 1e6, max_temperature = 1e6;
};

/// The first atom of the frame with a number that is not finite or a force beyond the limit, else -1.
/// Sets `what` to the rest of a sentence that starts with the atom.
int first_runaway(const Frame &frame, const Outputs &outputs, double ev, const Limits &limits, std::string &what);

}  // namespace equipot
