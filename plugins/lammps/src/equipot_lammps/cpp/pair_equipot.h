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

class PairEquipot : public Pair {
 public:
  explicit PairEquipot(LAMMPS *lmp);
  ~PairEquipot() override;

  void settings(int narg, char **arg) override;
  void coeff(int narg, char **arg) override;
  void init_style() override;
  double init_one(int i, int j) override;
  void compute(int eflag, int vflag) override;

 private:
  void allocate_types();
  void map_types(char **arg);
  void load(const std::string &path);
  void check_setup();
  void widen_ghost_shell();
  void find_owners();
  equipot::Frame make_frame();
  [[noreturn]] void stop(const std::string &what);
  void check_speeds();
  void check_outputs(const equipot::Frame &frame, const equipot::Outputs &outputs);
  void add_forces(const equipot::Frame &frame, const equipot::Outputs &outputs);
  void add_energies(const equipot::Frame &frame, const equipot::Outputs &outputs);
  void add_virials(const equipot::Frame &frame, const equipot::Outputs &outputs);

  equipot::Limits limits_;
  std::unique_ptr<equipot::Model> model_;
  std::unique_ptr<equipot::FrameMaker> maker_;
  std::vector<int> type_of_;  // the model's type of each of LAMMPS' types, -1 for none
  std::vector<int> owners_;   // the local atom of each ghost, on one rank
  double factor_ = 1.0;       // the model's energy unit in LAMMPS' unit
  double ev_ = 1.0;           // the model's energy unit in eV
  bool folded_ = false;       // whether edges to images have cell shifts
};

}  // namespace LAMMPS_NS
