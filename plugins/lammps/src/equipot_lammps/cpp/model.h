// The compiled model: the only part that knows torch.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "facts.h"
#include "frame.h"
#include "trust.h"

namespace equipot {

/// Outputs for one frame, in the model's energy unit and Å; they are valid until the next call.
struct Outputs {
  const double *energies;                 ///< of each atom; zero for ghosts
  const double *forces;                   ///< 3 for each atom
  const double *virial;                   ///< 9, as -dE/d(strain)
  std::vector<const double *> gradients;  ///< dE/d(edge vector) for each edge set, 3 for each edge; empty if not asked
};

/// What an engine does for the ghosts of a frame between the layers of a model: the ops equipot::exchange and
/// equipot::exchange_reverse. There are `width` numbers for each atom of the frame, in `rows`.
class Exchange {
 public:
  virtual void forward(double *rows, int width) = 0;  ///< rows of ghosts become those of their owners
  virtual void reverse(double *rows, int width) = 0;  ///< rows of ghosts are added to their owners', and become zero

 protected:
  ~Exchange() = default;
};

class Model {
 public:
  /// Load a file, opened already, with the libraries of the kernels that it calls, which lie in `libraries`.
  /// Throws Problem, which names it by `path`, if it cannot be used here.
  Model(const std::string &path, const OpenFile &file, const std::string &libraries);
  ~Model();

  const Facts &facts() const { return facts_; }
  bool has_edge_forces() const;
  void set_threads(int threads);

  /// Evaluate a frame with at least one atom. Without an exchange, features of ghosts are what the frame gives.
  Outputs run(const Frame &frame, bool with_gradients, Exchange *exchange);

 private:
  struct Torch;
  std::string path_;
  Facts facts_;
  std::unique_ptr<Torch> torch_;
};

}  // namespace equipot
