// pair_style equipot: LAMMPS' side.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "frame.h"
#include "guard.h"
#include "model.h"
#include "pair.h"

namespace LAMMPS_NS {

class PairEquipot : public Pair, private equipot::Exchange {
 public:
  explicit PairEquipot(LAMMPS *lmp);
  ~PairEquipot() override;

  void settings(int narg, char **arg) override;
  void coeff(int narg, char **arg) override;
  void init_style() override;
  double init_one(int i, int j) override;
  void compute(int eflag, int vflag) override;

  // exchange.cpp
  int pack_forward_comm(int n, int *atoms, double *buffer, int pbc_flag, int *pbc) override;
  void unpack_forward_comm(int n, int first, double *buffer) override;
  int pack_reverse_comm(int n, int first, double *buffer) override;
  void unpack_reverse_comm(int n, int *atoms, double *buffer) override;

 private:
  /// Where the features of ghosts come from.
  enum class Ghosts {
    automatic,  ///< what is expected to be faster
    layers,     ///< their owners, after each layer
    shell,      ///< edges of their own
    none        ///< there are none: edges to images have cell shifts
  };
  /// What a rank has to do, in edges.
  struct Work {
    double own = 0.0, ghosts = 0.0, exchange = 0.0;
  };

  void allocate_types();
  void map_types(char **arg);
  void load(const std::string &path);
  void check_origin(const std::string &path, const equipot::OpenFile &file);
  void stop_if_any(const std::string &wrong);
  void check_setup();
  void read_option(const char *name, const char *value);
  void choose_ghosts();
  Work predicted_work() const;
  void say_ghosts(double shell, const Work &work);
  void widen_ghost_shell(double shell);
  void prepare_exchange();
  void forward(double *rows, int width) override;
  void reverse(double *rows, int width) override;
  void begin_exchange(int width);
  void find_owners();
  equipot::Frame make_frame();
  [[noreturn]] void stop(const std::string &what);
  void check_speeds();
  void check_outputs(const equipot::Frame &frame, const equipot::Outputs &outputs);
  void add_forces(const equipot::Frame &frame, const equipot::Outputs &outputs);
  void add_energies(const equipot::Frame &frame, const equipot::Outputs &outputs);
  void add_virials(const equipot::Frame &frame, const equipot::Outputs &outputs);

  equipot::Limits limits_;
  bool allow_native_ = false;  // also load a file that this user did not build
  std::unique_ptr<equipot::Model> model_;
  std::unique_ptr<equipot::FrameMaker> maker_;
  std::vector<int> type_of_;  // the model's type of each of LAMMPS' types, -1 for none
  std::vector<int> owners_;   // the local atom of each ghost, on one rank
  double factor_ = 1.0;       // the model's energy unit in LAMMPS' unit
  double ev_ = 1.0;           // the model's energy unit in eV
  Ghosts asked_ = Ghosts::automatic, ghosts_ = Ghosts::none;
  std::string said_;

  const equipot::Frame *frame_ = nullptr;  // that which is being evaluated
  std::vector<double> values_;             // what is exchanged, for each of LAMMPS' atoms
  int width_ = 0;                          // numbers for each of them; 0 before the first exchange of a step
};

}  // namespace LAMMPS_NS
