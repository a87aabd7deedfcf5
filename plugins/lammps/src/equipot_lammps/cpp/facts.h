// What a compiled file of equipot says of its model, as flat words; no torch and no LAMMPS in here.
#pragma once

#include <stdexcept>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace equipot {

/// A problem that the user can solve; its text is shown as it is.
struct Problem : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Further edges of terms with a radius of their own.
struct EdgeSet {
  std::string name;
  double radius;  ///< Å
};

/// Sets of edges that the same parts of the model read, and the hops along them that matter.
struct Walk {
  int hops;
  std::vector<size_t> sets;  ///< 0 for the model's own edges, then those of edge_sets
};

struct Facts {
  std::vector<std::string> type_names;
  double r_max = 0.0;           ///< Å
  std::vector<double> cutoffs;  ///< R[centre, neighbour] in Å, row by row; always n_types * n_types numbers
  std::vector<EdgeSet> edge_sets;
  bool metal = true;  ///< energies in eV, else in kcal/mol
  int hops = 0;       ///< message layers; 1 for a strictly local model
  std::vector<Walk> walks;
  std::vector<int> exchanges;  ///< width of the features in each exchange; none if the file does not exchange any
  std::string dtype, torch;
  std::vector<std::string> inputs, outputs, kernels;

  int type_of(const std::string &name) const;                 ///< index of a type, or -1
  int output(const std::string &name) const;                  ///< place of an output, or -1
  double pair_radius(int first, int second) const;            ///< Å, largest over both directions and all edge sets
  double radius(size_t set) const;                            ///< Å, largest of an edge set
  double reach() const;                                       ///< Å, largest radius of all edge sets and pairs
  double wide_shell() const;                                  ///< Å, how far ghosts matter without an exchange
  std::string listed_types() const;
};

using Metadata = std::unordered_map<std::string, std::string>;

/// Read and check the metadata of a file.
/// Throws Problem if it was compiled for another engine or in a newer format, or if an entry is damaged.
Facts read_facts(const Metadata &metadata, const std::string &path);

}  // namespace equipot
