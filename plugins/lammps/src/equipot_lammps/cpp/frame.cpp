#include "frame.h"

#include <cmath>

namespace equipot {

FrameMaker::FrameMaker(const Facts &facts) : n_types_(facts.type_names.size()), hops_(facts.hops) {
  std::vector<double> own;
  for (double radius : facts.cutoffs) own.push_back(radius * radius);
  squares_.push_back(own);
  for (const auto &set : facts.edge_sets) squares_.emplace_back(n_types_ * n_types_, set.radius * set.radius);
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

/// All edges of a centre, given by its place in the frame. `place(j)` gives the frame's atom of LAMMPS' atom j and its
/// shift; it is asked only for neighbours that are near enough.
template <class Place>
void FrameMaker::add_edges(Frame &frame, const Atoms &atoms, const Neighbours &neighbours, int centre, Place place) {
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
    for (size_t s = 0; s < squares_.size(); s++) {
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
    add_edges(frame, atoms, neighbours, static_cast<int>(centre), place);
  return frame;
}

Frame FrameMaker::spread(const Atoms &atoms, const Neighbours &neighbours) {
  Frame frame;
  start(frame, atoms);
  mark_rows(neighbours, atoms.n_all);
  auto place = [&](int j) -> Image {
    if (slot_[j] < 0) add_atom(frame, atoms, j);
    return {slot_[j], {0.0, 0.0, 0.0}};
  };
  size_t begin = 0;
  for (int depth = 0; depth < hops_; depth++) {  // the atoms from begin to end are this number of hops away
    size_t end = frame.atoms.size();
    for (size_t centre = begin; centre < end; centre++)
      add_edges(frame, atoms, neighbours, static_cast<int>(centre), place);
    begin = end;
  }
  return frame;
}

}  // namespace equipot
