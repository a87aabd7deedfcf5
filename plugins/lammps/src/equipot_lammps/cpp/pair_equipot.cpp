#include "pair_equipot.h"

#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <thread>
#include <unordered_map>

#include "atom.h"
#include "comm.h"
#include "domain.h"
#include "error.h"
#include "force.h"
#include "memory.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "update.h"
#include "utils.h"

namespace LAMMPS_NS {
namespace {

constexpr double KCAL_PER_MOL_IN_EV = 0.0433641153087705;  // 4184 J / (N_A e), CODATA 2018
constexpr const char *ME = "pair_style equipot";

std::string own_folder() {
  Dl_info info;
  if (!dladdr(reinterpret_cast<void *>(&own_folder), &info) || !info.dli_fname) return ".";
  std::string path = info.dli_fname;
  return path.find('/') == std::string::npos ? "." : path.substr(0, path.rfind('/'));
}

}  // namespace

PairEquipot::PairEquipot(LAMMPS *lmp) : Pair(lmp) {
  restartinfo = 0;  // the model's file may have moved: give pair_style and pair_coeff again
  one_coeff = 1;
  manybody_flag = 1;
  single_enable = 0;
  no_virial_fdotr_compute = 1;
  centroidstressflag = CENTROID_NOTAVAIL;
}

PairEquipot::~PairEquipot() {
  if (copymode || !allocated) return;
  memory->destroy(setflag);
  memory->destroy(cutsq);
}

void PairEquipot::settings(int narg, char **arg) {
  if (narg % 2)
    error->all(FLERR, "{}: options are max_force VALUE|none, max_temperature VALUE|none, ghosts auto|layers|shell and "
               "allow_native yes|no", ME);
  limits_ = {};  // LAMMPS keeps the style if it is given again
  asked_ = Ghosts::automatic;
  allow_native_ = false;
  for (int k = 0; k < narg; k += 2) read_option(arg[k], arg[k + 1]);
}

void PairEquipot::read_option(const char *name, const char *value) {
  if (!strcmp(name, "ghosts")) {
    if (strcmp(value, "auto") != 0 && strcmp(value, "layers") != 0 && strcmp(value, "shell") != 0)
      error->all(FLERR, "{}: ghosts must be auto, layers or shell, got '{}'", ME, value);
    asked_ = *value == 'a' ? Ghosts::automatic : *value == 'l' ? Ghosts::layers : Ghosts::shell;
    return;
  }
  if (!strcmp(name, "allow_native")) {
    allow_native_ = utils::logical(FLERR, value, false, lmp);
    return;
  }
  double *limit = !strcmp(name, "max_force")         ? &limits_.max_force
                  : !strcmp(name, "max_temperature") ? &limits_.max_temperature
                                                     : nullptr;
  if (!limit)
    error->all(FLERR, "{}: unknown option '{}'; options are max_force, max_temperature, ghosts and allow_native", ME, name);
  bool none = !strcmp(value, "none");
  *limit = none ? std::numeric_limits<double>::infinity() : utils::numeric(FLERR, value, false, lmp);
  if (!(*limit > 0.0)) error->all(FLERR, "{}: {} must be greater than 0, got {}", ME, name, value);
}

void PairEquipot::coeff(int narg, char **arg) {
  int n = atom->ntypes;
  if (narg != 3 + n || strcmp(arg[0], "*") != 0 || strcmp(arg[1], "*") != 0)
    error->all(FLERR, "{}: write pair_coeff * * FILE.equipot.pt2 and one type name for each of the {} atom types", ME, n);
  if (!allocated) allocate_types();
  load(arg[2]);
  map_types(arg + 3);
}

void PairEquipot::allocate_types() {
  int n = atom->ntypes + 1;
  memory->create(setflag, n, n, "pair:setflag");
  memory->create(cutsq, n, n, "pair:cutsq");
  allocated = 1;
}

/// Load the model on all ranks.
void PairEquipot::load(const std::string &path) {
  std::string wrong;
  std::unique_ptr<equipot::OpenFile> file;
  try {
    file = std::make_unique<equipot::OpenFile>(path);
  } catch (const std::exception &problem) {
    wrong = problem.what();
  }
  stop_if_any(wrong);
  check_origin(path, *file);
  try {
    model_ = std::make_unique<equipot::Model>(path, *file, own_folder());
    maker_ = std::make_unique<equipot::FrameMaker>(model_->facts());
  } catch (const std::exception &problem) {
    wrong = problem.what();
  }
  stop_if_any(wrong);
  bool metal = model_->facts().metal, here = !strcmp(update->unit_style, "metal");
  if (!here && strcmp(update->unit_style, "real") != 0)
    error->all(FLERR, "{}: needs units metal or real, not {}", ME, update->unit_style);
  ev_ = metal ? 1.0 : KCAL_PER_MOL_IN_EV;
  factor_ = metal == here ? 1.0 : metal ? 1.0 / KCAL_PER_MOL_IN_EV : KCAL_PER_MOL_IN_EV;
}

/// Before its code runs: all ranks have the same file, and it was built by this user, as rank 0 sees, or it is allowed.
void PairEquipot::check_origin(const std::string &path, const equipot::OpenFile &file) {
  std::string digest, wrong;
  try {
    digest = file.sha256();
  } catch (const std::exception &problem) {
    wrong = problem.what();
  }
  stop_if_any(wrong);
  std::string first = digest;
  MPI_Bcast(&first[0], static_cast<int>(first.size()), MPI_CHAR, 0, world);
  if (digest != first) wrong = fmt::format("{}: is another file on rank {} than on rank 0", path, comm->me);
  stop_if_any(wrong);
  if (allow_native_) return;
  std::string reason = comm->me == 0 ? equipot::unknown_origin(digest) : "";
  int refused = !reason.empty();
  MPI_Bcast(&refused, 1, MPI_INT, 0, world);
  if (refused && !utils::strmatch(path, "\\.pt2$"))
    error->all(FLERR, "{}: {}: is not a compiled file of equipot; make one with: equipot compile MODEL OUT.equipot.pt2 "
               "--target lammps", ME, path);
  if (refused)
    error->all(FLERR, "{}: {}: holds native code, and {} that you built it (each EQUIPOT_CACHE_DIR and home folder has "
               "records of its own, and an edited file is another one); compile it here with 'equipot compile', or, if you "
               "trust its source, write: pair_style equipot allow_native yes", ME, path, reason);
}

/// Stop if something is wrong on any rank; a rank where it is stops the others.
void PairEquipot::stop_if_any(const std::string &wrong) {
  int failed = !wrong.empty(), total = 0;
  MPI_Allreduce(&failed, &total, 1, MPI_INT, MPI_SUM, world);
  if (total == comm->nprocs) error->all(FLERR, "{}: {}", ME, wrong);
  if (failed) error->one(FLERR, "{}: {}", ME, wrong);
}

void PairEquipot::map_types(char **arg) {
  int n = atom->ntypes;
  type_of_.assign(n + 1, -1);
  for (int i = 1; i <= n; i++) {
    if (!strcmp(arg[i - 1], "NULL")) continue;
    type_of_[i] = model_->facts().type_of(arg[i - 1]);
    if (type_of_[i] < 0)
      error->all(FLERR, "{}: the model has no type '{}'; it has: {}", ME, arg[i - 1], model_->facts().listed_types());
  }
  for (int i = 1; i <= n; i++)
    for (int j = 1; j <= n; j++) setflag[i][j] = type_of_[i] >= 0 && type_of_[j] >= 0;
}

double PairEquipot::init_one(int i, int j) {
  if (!setflag[i][j]) return 0.0;
  return model_->facts().pair_radius(type_of_[i], type_of_[j]);
}

void PairEquipot::init_style() {
  if (!model_) error->all(FLERR, "{}: there is no model yet; give pair_coeff", ME);
  choose_ghosts();
  check_setup();
  model_->set_threads(comm->nthreads);
  bool wide = ghosts_ == Ghosts::shell && model_->facts().hops > 1;
  neighbor->add_request(this, NeighConst::REQ_FULL | (wide ? NeighConst::REQ_GHOST : 0));
}

void PairEquipot::check_setup() {
  if (!force->newton_pair && ghosts_ != Ghosts::none)
    error->all(FLERR, "{}: needs newton on with several MPI ranks, or with ghosts on one", ME);
  if (neighbor->nex_type + neighbor->nex_group + neighbor->nex_mol > 0)
    error->all(FLERR, "{}: neigh_modify exclude takes neighbours away that the model needs", ME);
  bool bonded = atom->nbonds > 0;
  for (int k = 1; k < 4; k++)
    if (bonded && force->special_lj[k] == 0.0 && force->special_coul[k] == 0.0)
      error->all(FLERR, "{}: special_bonds takes bonded neighbours away that the model needs; give it factors of 1", ME);
}

void PairEquipot::find_owners() {
  std::unordered_map<tagint, int> local;
  local.reserve(atom->nlocal);
  for (int i = 0; i < atom->nlocal; i++) local[atom->tag[i]] = i;
  owners_.resize(atom->nghost);
  for (int j = 0; j < atom->nghost; j++) {
    auto found = local.find(atom->tag[atom->nlocal + j]);
    if (found == local.end()) error->one(FLERR, "{}: ghost atom {} has no owner", ME, atom->tag[atom->nlocal + j]);
    owners_[j] = found->second;
  }
}

equipot::Frame PairEquipot::make_frame() {
  equipot::Atoms atoms{atom->x, atom->type, &type_of_, atom->nlocal, atom->nlocal + atom->nghost};
  bool wide = ghosts_ == Ghosts::shell && model_->facts().hops > 1;
  int rows = list->inum + (wide ? list->gnum : 0);
  equipot::Neighbours neighbours{rows, list->ilist, list->numneigh, list->firstneigh, NEIGHMASK};
  if (wide) return maker_->widely_spread(atoms, neighbours);
  if (ghosts_ != Ghosts::none) return maker_->spread(atoms, neighbours);
  if (neighbor->ago == 0 || owners_.size() != static_cast<size_t>(atom->nghost)) find_owners();
  return maker_->folded(atoms, neighbours, {domain->h, domain->h_inv, domain->periodicity}, owners_);
}

void PairEquipot::compute(int eflag, int vflag) {
  ev_init(eflag, vflag);
  check_speeds();
  bool exchanging = ghosts_ == Ghosts::layers;  // in which a rank without atoms takes part too
  if (atom->nlocal == 0 && !exchanging) return;
  try {
    equipot::Frame frame = make_frame();
    if (frame.n_owned == 0 && !exchanging) return;
    if (vflag_atom && !model_->has_edge_forces()) throw equipot::Problem("the file has no edge_forces, which a virial per atom needs");
    frame_ = &frame;
    width_ = 0;
    equipot::Outputs outputs = model_->run(frame, vflag_atom, exchanging ? this : nullptr);
    if (exchanging && !width_) throw equipot::Problem("the model did not exchange features; build the pair style and the file again");
    check_outputs(frame, outputs);
    add_forces(frame, outputs);
    add_energies(frame, outputs);
    add_virials(frame, outputs);
  } catch (const equipot::Problem &problem) {
    stop(problem.what());
  }
}

/// End all ranks. What a rank printed last is lost if another one ends them first, so there is time to pass it on.
void PairEquipot::stop(const std::string &what) {
  if (comm->nprocs > 1) {
    std::fprintf(stderr, "ERROR: %s: %s\n", ME, what.c_str());
    std::fflush(stderr);
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
  }
  error->one(FLERR, "{}: {}", ME, what);
}

void PairEquipot::check_speeds() {
  if (!std::isfinite(limits_.max_temperature)) return;
  for (int i = 0; i < atom->nlocal; i++) {
    const double *v = atom->v[i];
    double mass = atom->rmass ? atom->rmass[i] : atom->mass[atom->type[i]];
    double kinetic = mass * (v[0] * v[0] + v[1] * v[1] + v[2] * v[2]) * force->mvv2e;
    double kelvin = kinetic / (3.0 * force->boltz);
    if (!(kelvin <= limits_.max_temperature))
      stop(fmt::format("step {}: atom {} moves with a kinetic energy of {:.3g} K, more than max_temperature {:g}",
                       update->ntimestep, atom->tag_enable ? atom->tag[i] : i, kelvin, limits_.max_temperature));
  }
}

void PairEquipot::check_outputs(const equipot::Frame &frame, const equipot::Outputs &outputs) {
  std::string what;
  int found = equipot::first_runaway(frame, outputs, ev_, limits_, what);
  if (found < 0) return;
  int i = frame.atoms[found];
  const double *x = atom->x[i];
  stop(fmt::format("step {}: atom {} at ({:.4g}, {:.4g}, {:.4g}) A {}; the time step is too long, atoms are too close, or the "
                   "structure is far from the training data", update->ntimestep, atom->tag_enable ? atom->tag[i] : i, x[0],
                   x[1], x[2], what));
}

void PairEquipot::add_forces(const equipot::Frame &frame, const equipot::Outputs &outputs) {
  for (size_t i = 0; i < frame.atoms.size(); i++) {
    double *f = atom->f[frame.atoms[i]];
    for (int k = 0; k < 3; k++) f[k] += factor_ * outputs.forces[3 * i + k];
  }
}

void PairEquipot::add_energies(const equipot::Frame &frame, const equipot::Outputs &outputs) {
  for (size_t i = 0; i < frame.n_owned; i++) {
    double energy = factor_ * outputs.energies[i];
    if (eflag_global) eng_vdwl += energy;
    if (eflag_atom) eatom[frame.atoms[i]] += energy;
  }
}

/// The virial of an edge is -r x dE/dr; half of it belongs to each of its atoms.
void PairEquipot::add_virials(const equipot::Frame &frame, const equipot::Outputs &outputs) {
  static const int row[6] = {0, 1, 2, 0, 0, 1}, column[6] = {0, 1, 2, 1, 2, 2};
  if (vflag_global)
    for (int k = 0; k < 6; k++) virial[k] += factor_ * outputs.virial[3 * row[k] + column[k]];
  if (!vflag_atom) return;
  for (size_t s = 0; s < frame.sets.size(); s++) {
    const equipot::Edges &edges = frame.sets[s];
    for (size_t e = 0; e < edges.centre.size(); e++) {
      const double *r = &edges.vectors[3 * e], *g = outputs.gradients[s] + 3 * e;
      double *centre = vatom[frame.atoms[edges.centre[e]]], *neighbour = vatom[frame.atoms[edges.neighbour[e]]];
      for (int k = 0; k < 6; k++) {
        double part = -0.25 * factor_ * (r[row[k]] * g[column[k]] + r[column[k]] * g[row[k]]);
        centre[k] += part;
        neighbour[k] += part;
      }
    }
  }
}

}  // namespace LAMMPS_NS
