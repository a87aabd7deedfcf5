#include "frame.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace equipot {
namespace {

void sort_by_centre(Edges &edges) {
  std::vector<size_t> order(edges.centre.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return edges.centre[a] < edges.centre[b]; });
  Edges sorted;
  for (size_t e : order) {
    sorted.centre.push_back(edges.centre[e]);
    sorted.neighbour.push_back(edges.neighbour[e]);
    sorted.shift.insert(sorted.shift.end(), &edges.shift[3 * e], &edges.shift[3 * e] + 3);
    sorted.vectors.insert(sorted.vectors.end(), &edges.vectors[3 * e], &edges.vectors[3 * e] + 3);
  }
  edges = std::move(sorted);
}

}  // namespace

FrameMaker::FrameMaker(const Facts &facts) : n_types_(facts.type_names.size()), walks_(facts.walks) {
  std::vector<double> own;
  for (double radius : facts.cutoffs) own.push_back(radius * radius);
  squares_.push_back(own);
  for (const auto &set : facts.edge_sets) squares_.emplace_back(n_types_ * n_types_, set.radius * set.radius);
  for (size_t set = 0; set < squares_.size(); set++) all_sets_.push_back(set);
}

void FrameMaker::start(Frame &frame, const Atoms &atoms) {
  slot_.assign(atoms.n_all, -1);
  frame.sets.resize(squares_.size());
  for (int i = 0; i < atoms.n_local; i++)
    if (atoms.model_type(i) >= 0) add_atom(frame, atoms, i);
  frame.n_owned = frame.atoms.size();
}

void FrameMaker::add_atom(Frame &frame, const Atoms &atoms, int i) {
  slot_[i] = static_cast<int>(frame.atoms.size());
  frame.atoms.push_back(i);
  frame.positions.insert(frame.positions.end(), atoms.x[i], atoms.x[i] + 3);
  frame.types.push_back(atoms.model_type(i));
}

void FrameMaker::mark_rows(const Neighbours &neighbours, int n_all) {
  has_row_.assign(n_all, 0);
  for (int k = 0; k < neighbours.n_rows; k++) has_row_[neighbours.rows[k]] = 1;
}

/// All edges of some sets of a centre, given by its place in the frame. `place(j)` gives the frame's atom of LAMMPS' atom j and its
/// shift; it is asked only for neighbours that are near enough.
template <class Place>
void FrameMaker::add_edges(Frame &frame, const Atoms &atoms, const Neighbours &neighbours, int centre,
                           const std::vector<size_t> &sets, Place place) {
  int i = frame.atoms[centre];
  if (!has_row_[i]) throw Problem("an atom of the ghost shell has no neighbour list; use a larger comm_modify cutoff");
  const double *xi = atoms.x[i];
  size_t row = atoms.model_type(i) * n_types_;
  for (int k = 0; k < neighbours.counts[i]; k++) {
    int j = neighbours.lists[i][k] & neighbours.mask;
    int type = atoms.model_type(j);
    if (type < 0) continue;
    double vector[3] = {atoms.x[j][0] - xi[0], atoms.x[j][1] - xi[1], atoms.x[j][2] - xi[2]};
    double square = vector[0] * vector[0] + vector[1] * vector[1] + vector[2] * vector[2];
    for (size_t s : sets) {
      if (!(square < squares_[s][row + type])) continue;
      Image image = place(j);
      Edges &edges = frame.sets[s];
      edges.centre.push_back(centre);
      edges.neighbour.push_back(image.atom);
      edges.shift.insert(edges.shift.end(), image.shift, image.shift + 3);
      edges.vectors.insert(edges.vectors.end(), vector, vector + 3);
    }
  }
}

Frame FrameMaker::folded(const Atoms &atoms, const Neighbours &neighbours, const Box &box,
                         const std::vector<int> &owners) {
  Frame frame;
  start(frame, atoms);
  mark_rows(neighbours, atoms.n_all);
  const double *h = box.h, *inverse = box.h_inverse;
  double rows[9] = {h[0], 0.0, 0.0, h[5], h[1], 0.0, h[4], h[3], h[2]};
  std::copy(rows, rows + 9, frame.cell);
  for (int k = 0; k < 3; k++) frame.pbc[k] = box.periodic[k];
  auto place = [&](int j) -> Image {
    if (j < atoms.n_local) return {slot_[j], {0.0, 0.0, 0.0}};
    int owner = owners[j - atoms.n_local];
    double d[3];
    for (int k = 0; k < 3; k++) d[k] = atoms.x[j][k] - atoms.x[owner][k];
    return {slot_[owner],
            {std::round(inverse[0] * d[0] + inverse[5] * d[1] + inverse[4] * d[2]),
             std::round(inverse[1] * d[1] + inverse[3] * d[2]), std::round(inverse[2] * d[2])}};
  };
  for (size_t centre = 0; centre < frame.n_owned; centre++)
    add_edges(frame, atoms, neighbours, static_cast<int>(centre), all_sets_, place);
  return frame;
}

Frame FrameMaker::of_owned(const Atoms &atoms, const Neighbours &neighbours) {
  Frame frame;
  start(frame, atoms);
  mark_rows(neighbours, atoms.n_all);
  for (size_t centre = 0; centre < frame.n_owned; centre++)
    add_ghost_edges(frame, atoms, neighbours, static_cast<int>(centre), all_sets_);
  return frame;
}

Frame FrameMaker::spread(const Atoms &atoms, const Neighbours &neighbours) {
  Frame frame = of_owned(atoms, neighbours);
  if (frame.types.empty()) {
    frame.positions.assign(3, 0.0);
    frame.types.push_back(0);
  }
  return frame;
}

Frame FrameMaker::widely_spread(const Atoms &atoms, const Neighbours &neighbours) {
  Frame frame = of_owned(atoms, neighbours);
  for (const auto &walk : walks_) widen(frame, atoms, neighbours, walk);
  for (auto &edges : frame.sets)
    if (!std::is_sorted(edges.centre.begin(), edges.centre.end())) sort_by_centre(edges);
  return frame;
}

/// Add the edges of ghosts, hop by hop; those of the local atoms are there.
void FrameMaker::widen(Frame &frame, const Atoms &atoms, const Neighbours &neighbours, const Walk &walk) {
  std::vector<char> has_edges(frame.n_owned, 1);
  std::vector<size_t> seen(frame.sets.size(), 0);  // edges of each set whose neighbours have been looked at
  for (int hop = 1; hop < walk.hops; hop++) {
    has_edges.resize(frame.atoms.size(), 0);
    std::vector<int> centres;
    for (size_t set : walk.sets) {
      const auto &found = frame.sets[set].neighbour;
      for (; seen[set] < found.size(); seen[set]++)
        if (!has_edges[found[seen[set]]]) {
          has_edges[found[seen[set]]] = 1;
          centres.push_back(static_cast<int>(found[seen[set]]));
        }
    }
    std::sort(centres.begin(), centres.end());
    for (int centre : centres) add_ghost_edges(frame, atoms, neighbours, centre, walk.sets);
  }
}

void FrameMaker::add_ghost_edges(Frame &frame, const Atoms &atoms, const Neighbours &neighbours, int centre,
                                 const std::vector<size_t> &sets) {
  add_edges(frame, atoms, neighbours, centre, sets, [&](int j) -> Image {
    if (slot_[j] < 0) add_atom(frame, atoms, j);
    return {slot_[j], {0.0, 0.0, 0.0}};
  });
}

}  // namespace equipot
