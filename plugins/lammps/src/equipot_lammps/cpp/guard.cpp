#include "guard.h"

#include <cmath>
#include <cstdio>

namespace equipot {
namespace {

std::string number(const char *format, double value, double limit) {
  char text[160];
  std::snprintf(text, sizeof(text), format, value, limit);
  return text;
}

}  // namespace

int first_runaway(const Frame &frame, const Outputs &outputs, double ev, const Limits &limits, std::string &what) {
  for (size_t i = 0; i < frame.atoms.size(); i++) {
    const double *f = outputs.forces + 3 * i;
    double force = std::sqrt(f[0] * f[0] + f[1] * f[1] + f[2] * f[2]) * ev;
    if (!std::isfinite(force) || !std::isfinite(outputs.energies[i])) {
      what = "has an energy or force that is not finite";
      return static_cast<int>(i);
    }
    if (force > limits.max_force) {
      what = number("has a force of %.3g eV/A, more than max_force %g", force, limits.max_force);
      return static_cast<int>(i);
    }
  }
  return -1;
}

}  // namespace equipot
