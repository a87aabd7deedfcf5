// From LAMMPS' atoms and neighbour lists to the frame of one rank: atoms, types and sorted edges.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "facts.h"

namespace equipot {

/// Edges of one set, sorted by centre; indices are those of the frame.
struct Edges {
  std::vector<int64_t> centre, neighbour;
  std::vector<double> shift;    ///< integer cell shifts, 3 for each edge
  std::vector<double> vectors;  ///< Å, 3 for each edge, from the centre to the neighbour
};

struct Frame {
  std::vector<int> atoms;  ///< index in LAMMPS of each atom of the frame, owned ones first; a stand-in has none
  size_t n_owned = 0;
  std::vector<double> positions;  ///< Å, 3 for each atom
  std::vector<int64_t> types;
  std::vector<Edges> sets;  ///< the model's own edges, then those of each further set
  double cell[9] = {0};     ///< rows; zero if no edge crosses the boundary by a shift
  bool pbc[3] = {false, false, false};
};

/// LAMMPS' atoms on this rank; ghosts follow the local ones.
struct Atoms {
  const double *const *x;
  const int *type;                  ///< from 1
  const std::vector<int> *type_of;  ///< the model's type of each of LAMMPS' types, -1 for none
  int n_local, n_all;

  int model_type(int i) const { return (*type_of)[type[i]]; }
};

/// LAMMPS' neighbour list.
struct Neighbours {
  int n_rows;  ///< with the rows of ghosts, if there are any
  const int *rows, *counts;
  const int *const *lists;
  int mask;  ///< bits of an entry that are the index of an atom
};

/// The periodic box: h and its inverse in LAMMPS' order xx, yy, zz, yz, xz, xy.
struct Box {
  const double *h, *h_inverse;
  const int *periodic;
};

class FrameMaker {
 public:
  explicit FrameMaker(const Facts &facts);

  /// The local atoms, with edges to their periodic images by cell shifts: for one rank, which has all atoms.
  /// `owners` is the local atom of each ghost.
  Frame folded(const Atoms &atoms, const Neighbours &neighbours, const Box &box, const std::vector<int> &owners);

  /// The local atoms and the ghosts that they see, without a cell; edges are those of the local atoms.
  /// Without any, there is an atom that stands in, so that the model is evaluated all the same.
  Frame spread(const Atoms &atoms, const Neighbours &neighbours);

  /// The local atoms and all ghosts that they see through the model's layers, without a cell.
  /// Edges of a set are those of each atom that is fewer hops away along it than the model's layers go.
  Frame widely_spread(const Atoms &atoms, const Neighbours &neighbours);

 private:
  struct Image {
    int atom;         ///< index in the frame
    double shift[3];  ///< of a ghost, in units of the cell vectors
  };

  void start(Frame &frame, const Atoms &atoms);
  void add_atom(Frame &frame, const Atoms &atoms, int i);
  Frame of_owned(const Atoms &atoms, const Neighbours &neighbours);
  void widen(Frame &frame, const Atoms &atoms, const Neighbours &neighbours, const Walk &walk);
  void add_ghost_edges(Frame &frame, const Atoms &atoms, const Neighbours &neighbours, int centre,
                       const std::vector<size_t> &sets);
  template <class Place>
  void add_edges(Frame &frame, const Atoms &atoms, const Neighbours &neighbours, int centre,
                 const std::vector<size_t> &sets, Place place);
  void mark_rows(const Neighbours &neighbours, int n_all);

  size_t n_types_;
  std::vector<Walk> walks_;
  std::vector<size_t> all_sets_;
  std::vector<std::vector<double>> squares_;  ///< squared radius of each set, by centre and neighbour type
  std::vector<int> slot_;                     ///< place in the frame of each of LAMMPS' atoms, or -1
  std::vector<char> has_row_;
};

}  // namespace equipot
