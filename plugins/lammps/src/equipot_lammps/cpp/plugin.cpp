// The entry that LAMMPS calls when it loads the library: it registers the pair style.
#include "pair_equipot.h"

namespace {

/// What LAMMPS expects for one style of a plugin; the order of the members is its binary interface.
struct Style {
  const char *version, *style, *name, *info, *author;
  void *(*create)(LAMMPS_NS::LAMMPS *);
  void *handle;
};

using Register = void (*)(Style *, void *);

void *create(LAMMPS_NS::LAMMPS *lmp) { return static_cast<LAMMPS_NS::Pair *>(new LAMMPS_NS::PairEquipot(lmp)); }

}  // namespace

extern "C" void lammpsplugin_init(void *lmp, void *handle, void *register_style) {
  Style style{EQUIPOT_LAMMPS_VERSION, "pair", "equipot", "models of equipot", "The equipot developers", &create, handle};
  reinterpret_cast<Register>(register_style)(&style, lmp);
}
