// pair_style equipot: where the features of ghosts come from, and their exchange between ranks.
#include <algorithm>
#include <cmath>

#include "atom.h"
#include "comm.h"
#include "domain.h"
#include "error.h"
#include "force.h"
#include "neighbor.h"
#include "pair_equipot.h"
#include "utils.h"

namespace LAMMPS_NS {
namespace {

constexpr const char *ME = "pair_style equipot";

// What an exchange costs in units of one edge, which takes about 1 microsecond in a small model and more in others.
constexpr double NUMBERS_PER_EDGE = 100.0;  // packed, sent and unpacked in the time of one edge
constexpr double EDGES_PER_MESSAGE = 20.0;  // computed while a message is under way
constexpr double MESSAGES = 6.0;            // in each direction of each axis

/// Volume of a rank's part of the box with a shell around it, Å³; there are no ghosts beyond open ends.
double volume_with(double shell, const Comm &comm, const Domain &domain) {
  double volume = 1.0;
  for (int axis = 0; axis < 3; axis++) {
    double side = domain.prd[axis] / comm.procgrid[axis];
    volume *= side + (domain.periodicity[axis] || comm.procgrid[axis] > 1 ? 2.0 * shell : 0.0);
  }
  return volume;
}

}  // namespace

/// Choose where the features of ghosts come from, and prepare for it.
void PairEquipot::choose_ghosts() {
  const auto &facts = model_->facts();
  ghosts_ = asked_;
  if (comm->nprocs == 1 && atom->tag_enable && asked_ == Ghosts::automatic) ghosts_ = Ghosts::none;
  if (asked_ == Ghosts::layers && facts.hops > 1 && facts.exchanges.empty())
    error->all(FLERR, "{}: ghosts layers: the model exchanges no features between its layers; use ghosts shell", ME);
  Work work = predicted_work();
  if (ghosts_ == Ghosts::automatic)
    ghosts_ = !facts.exchanges.empty() && work.exchange < work.ghosts ? Ghosts::layers : Ghosts::shell;
  if (ghosts_ == Ghosts::layers && facts.exchanges.empty()) ghosts_ = Ghosts::shell;  // one layer: both are the same
  if (ghosts_ == Ghosts::none || facts.hops == 1) return;
  double shell = (ghosts_ == Ghosts::layers ? facts.reach() : facts.wide_shell()) + neighbor->skin;
  if (ghosts_ == Ghosts::layers) prepare_exchange();
  if (ghosts_ == Ghosts::shell) widen_ghost_shell(shell);
  say_ghosts(shell, work);
}

/// What a rank has to do, in edges, if atoms are spread evenly in the box.
PairEquipot::Work PairEquipot::predicted_work() const {
  const auto &facts = model_->facts();
  double density = static_cast<double>(atom->natoms) / (domain->prd[0] * domain->prd[1] * domain->prd[2]);
  double own = volume_with(0.0, *comm, *domain);
  Work work;
  for (const auto &walk : facts.walks)
    for (size_t set : walk.sets) {
      double radius = facts.radius(set), per_atom = density * 4.0 / 3.0 * M_PI * radius * radius * radius;
      work.own += per_atom * density * own;
      work.ghosts += per_atom * density * (volume_with((walk.hops - 1) * radius, *comm, *domain) - own);
    }
  double ghosts = density * (volume_with(facts.reach() + neighbor->skin, *comm, *domain) - own);
  for (int width : facts.exchanges)
    work.exchange += 2.0 * (width * ghosts / NUMBERS_PER_EDGE + MESSAGES * EDGES_PER_MESSAGE);
  return work;
}

void PairEquipot::say_ghosts(double shell, const Work &work) {
  const auto &facts = model_->facts();
  double times = work.own > 0.0 ? work.ghosts / work.own : 0.0;  // as many edges as own atoms have
  std::string way =
      ghosts_ == Ghosts::layers
          ? fmt::format("ghosts layers: features are exchanged, ghost shell of {:.4g} A; edges of ghosts would be about {:.2g} "
                        "times those of own atoms", shell, times)
          : fmt::format("ghosts shell: edges of ghosts are computed{}, about {:.2g} times those of own atoms; ghost shell of "
                        "{:.4g} A", facts.exchanges.empty() ? " as the model exchanges no features" : "", times, shell);
  std::string text = fmt::format("{}: {} message layers over {} rank{}: {}\n", ME, facts.hops, comm->nprocs,
                                 comm->nprocs > 1 ? "s" : "", way);
  if (comm->me == 0 && text != said_) utils::logmesg(lmp, text);
  said_ = text;
}

/// All atoms within the layers' reach must be ghosts.
void PairEquipot::widen_ghost_shell(double shell) {
  if (comm->mode != Comm::SINGLE) error->all(FLERR, "{}: the edges of ghosts need comm_modify mode single", ME);
  comm->cutghostuser = std::max(comm->cutghostuser, shell);
}

/// LAMMPS makes room for messages before the first step, as large as the active pair style says.
void PairEquipot::prepare_exchange() {
  const auto &widths = model_->facts().exchanges;
  int widest = *std::max_element(widths.begin(), widths.end());
  for (Pair *pair : {static_cast<Pair *>(this), force->pair}) {  // force->pair may be a hybrid style that holds this one
    pair->comm_forward = std::max(pair->comm_forward, widest);
    pair->comm_reverse = std::max(pair->comm_reverse, widest);
  }
}

void PairEquipot::begin_exchange(int width) {
  if (width > comm_forward) throw equipot::Problem("the model exchanges more features than its file states; compile it again");
  width_ = width;
  values_.assign(static_cast<size_t>(width) * (atom->nlocal + atom->nghost), 0.0);
}

void PairEquipot::forward(double *rows, int width) {
  begin_exchange(width);
  for (size_t i = 0; i < frame_->n_owned; i++) std::copy_n(rows + i * width, width, &values_[size_t(frame_->atoms[i]) * width]);
  comm->forward_comm(this, width);
  for (size_t i = frame_->n_owned; i < frame_->atoms.size(); i++)
    std::copy_n(&values_[size_t(frame_->atoms[i]) * width], width, rows + i * width);
}

void PairEquipot::reverse(double *rows, int width) {
  begin_exchange(width);
  for (size_t i = 0; i < frame_->atoms.size(); i++) std::copy_n(rows + i * width, width, &values_[size_t(frame_->atoms[i]) * width]);
  comm->reverse_comm(this, width);
  for (size_t i = 0; i < frame_->n_owned; i++) std::copy_n(&values_[size_t(frame_->atoms[i]) * width], width, rows + i * width);
  std::fill(rows + frame_->n_owned * width, rows + frame_->types.size() * width, 0.0);
}

int PairEquipot::pack_forward_comm(int n, int *atoms, double *buffer, int, int *) {
  for (int k = 0; k < n; k++) buffer = std::copy_n(&values_[size_t(atoms[k]) * width_], width_, buffer);
  return n * width_;
}

void PairEquipot::unpack_forward_comm(int n, int first, double *buffer) {
  std::copy_n(buffer, size_t(n) * width_, values_.begin() + size_t(first) * width_);
}

int PairEquipot::pack_reverse_comm(int n, int first, double *buffer) {
  std::copy_n(values_.begin() + size_t(first) * width_, size_t(n) * width_, buffer);
  return n * width_;
}

void PairEquipot::unpack_reverse_comm(int n, int *atoms, double *buffer) {
  for (int k = 0; k < n; k++)
    for (int c = 0; c < width_; c++) values_[size_t(atoms[k]) * width_ + c] += *buffer++;
}

}  // namespace LAMMPS_NS
