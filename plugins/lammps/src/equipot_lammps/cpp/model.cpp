#include "model.h"

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <dlfcn.h>
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <torch/headeronly/version.h>
#include <torch/library.h>

#include <algorithm>

namespace equipot {
namespace {

using Loader = torch::inductor::AOTIModelPackageLoader;

std::string first_line(const std::exception &error) {
  std::string text = error.what();
  return text.substr(0, text.find('\n'));
}

Metadata metadata_of(const std::string &path, const OpenFile &file) {
  try {
    return Loader::load_metadata_from_package(file.path(), "model");
  } catch (const std::exception &error) {
    throw Problem(path + ": is not a compiled file of equipot (" + first_line(error) + "); make one with equipot compile");
  }
}

void check_torch(const Facts &facts, const std::string &path) {
  std::string here = std::to_string(TORCH_VERSION_MAJOR) + "." + std::to_string(TORCH_VERSION_MINOR) + "." +
                     std::to_string(TORCH_VERSION_PATCH);
  if (!facts.torch.empty() && facts.torch != here)
    throw Problem(path + ": was compiled with torch " + facts.torch + ", but this pair style was built with torch " + here +
                  "; compile the model again here");
}

/// Register the operators that the model calls; the library takes their code from the file itself.
void load_kernels(const std::string &modifier, const std::string &path, const OpenFile &file, const std::string &libraries) {
  std::string library = libraries + "/libequipot_ops_" + modifier + ".so";
  void *handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle)
    throw Problem(path + ": it calls kernels of " + modifier + ", whose library cannot be loaded (" + dlerror() +
                  "); run: equipot lammps build");
  using Load = const char *(*)(const char *);
  auto load = reinterpret_cast<Load>(dlsym(handle, "equipot_load_kernels"));
  if (!load) throw Problem(library + ": lacks equipot_load_kernels; run: equipot lammps build --force");
  std::string opened = file.path();
  if (const char *wrong = load(opened.c_str())) {
    std::string text = wrong;  // which begins with the name that was given
    if (text.rfind(opened + ": ", 0) == 0) text.erase(0, opened.size() + 2);
    throw Problem(path + ": its kernels cannot be loaded: " + text);
  }
}

// ---------------------------------------------------------------- exchange of ghosts

thread_local Exchange *running = nullptr;  // that of the model which is being evaluated

at::Tensor exchanged(const at::Tensor &given, void (Exchange::*way)(double *, int)) {
  if (!running) return given.clone(at::MemoryFormat::Contiguous);
  auto rows = given.to(at::kDouble, false, true).contiguous();
  (running->*way)(rows.data_ptr<double>(), static_cast<int>(rows.numel() / rows.size(0)));
  return rows.to(given.scalar_type());
}

at::Tensor exchange(const at::Tensor &features) { return exchanged(features, &Exchange::forward); }
at::Tensor exchange_reverse(const at::Tensor &gradients) { return exchanged(gradients, &Exchange::reverse); }

/// Make the ops known to torch; a process that has imported equipot knows their schemas already.
void register_exchange() {
  static torch::Library schemas(torch::Library::FRAGMENT, "equipot", std::nullopt, __FILE__, __LINE__);
  static torch::Library functions(torch::Library::IMPL, "equipot", c10::DispatchKey::CPU, __FILE__, __LINE__);
  static bool done = false;
  if (done) return;
  auto &known = c10::Dispatcher::singleton();
  if (!known.findSchema({"equipot::exchange", ""})) schemas.def("exchange(Tensor features) -> Tensor");
  if (!known.findSchema({"equipot::exchange_reverse", ""})) schemas.def("exchange_reverse(Tensor gradients) -> Tensor");
  functions.impl("exchange", &exchange);
  functions.impl("exchange_reverse", &exchange_reverse);
  done = true;
}

/// Sets what the ops do during an evaluation.
struct Running {
  explicit Running(Exchange *exchange) { running = exchange; }
  ~Running() { running = nullptr; }
};

// ----------------------------------------------------------------------------- inputs

template <class T>
at::Tensor tensor(const std::vector<T> &values, at::IntArrayRef shape, at::ScalarType type) {
  auto made = at::empty(shape, type);
  std::copy(values.begin(), values.end(), made.data_ptr<T>());
  return made;
}

at::Tensor edge_index(const Edges &edges) {
  auto n = static_cast<int64_t>(edges.centre.size());
  auto made = at::empty({2, n}, at::kLong);
  auto *values = made.data_ptr<int64_t>();
  std::copy(edges.centre.begin(), edges.centre.end(), values);
  std::copy(edges.neighbour.begin(), edges.neighbour.end(), values + n);
  return made;
}

at::Tensor owned(const Frame &frame) {
  auto made = at::zeros({static_cast<int64_t>(frame.types.size())}, at::kBool);
  made.narrow(0, 0, static_cast<int64_t>(frame.n_owned)).fill_(true);
  return made;
}

at::Tensor cell(const Frame &frame) {
  auto made = at::empty({1, 3, 3}, at::kDouble);
  std::copy(frame.cell, frame.cell + 9, made.data_ptr<double>());
  return made;
}

at::Tensor pbc(const Frame &frame) {
  auto made = at::empty({1, 3}, at::kBool);
  std::copy(frame.pbc, frame.pbc + 3, made.data_ptr<bool>());
  return made;
}

at::Tensor input(const std::string &name, const Frame &frame, const Facts &facts) {
  auto n = static_cast<int64_t>(frame.types.size());
  if (name == "positions") return tensor(frame.positions, {n, 3}, at::kDouble);
  if (name == "atom_types") return tensor(frame.types, {n}, at::kLong);
  if (name == "batch") return at::zeros({n}, at::kLong);
  if (name == "num_atoms") return at::full({1}, n, at::kLong);
  if (name == "owned") return owned(frame);
  if (name == "cell") return cell(frame);
  if (name == "pbc") return pbc(frame);
  size_t separator = name.find(':'), set = 0;
  if (separator != std::string::npos)
    while (facts.edge_sets[set++].name != name.substr(separator + 1)) continue;
  const Edges &edges = frame.sets[set];
  if (name.rfind("edge_index", 0) == 0) return edge_index(edges);
  return tensor(edges.shift, {static_cast<int64_t>(edges.centre.size()), 3}, at::kDouble);
}

}  // namespace

struct Model::Torch {
  std::unique_ptr<Loader> loader;
  std::vector<at::Tensor> kept;  // what Outputs points into

  const double *keep(const at::Tensor &found) {
    kept.push_back(found.to(at::kDouble).contiguous());
    return kept.back().const_data_ptr<double>();
  }
};

Model::Model(const std::string &path, const OpenFile &file, const std::string &libraries)
    : path_(path), facts_(read_facts(metadata_of(path, file), path)), torch_(std::make_unique<Torch>()) {
  check_torch(facts_, path);
  if (!facts_.exchanges.empty()) register_exchange();
  for (const auto &modifier : facts_.kernels) load_kernels(modifier, path, file, libraries);
  try {
    torch_->loader = std::make_unique<Loader>(file.path());
  } catch (const std::exception &error) {
    throw Problem(path + ": torch cannot load its code (" + first_line(error) + "); compile it again here");
  }
}

Model::~Model() = default;

bool Model::has_edge_forces() const {
  if (facts_.output("edge_forces") < 0) return false;
  return std::all_of(facts_.edge_sets.begin(), facts_.edge_sets.end(),
                     [this](const EdgeSet &set) { return facts_.output("edge_forces:" + set.name) >= 0; });
}

void Model::set_threads(int threads) { at::set_num_threads(std::max(threads, 1)); }

Outputs Model::run(const Frame &frame, bool with_gradients, Exchange *exchange) {
  c10::InferenceMode guard;
  Running exchanging(exchange);
  std::vector<at::Tensor> inputs;
  for (const auto &name : facts_.inputs) inputs.push_back(input(name, frame, facts_));
  std::vector<at::Tensor> found;
  try {
    found = torch_->loader->run(inputs);
  } catch (const std::exception &error) {
    throw Problem(path_ + ": the model failed (" + first_line(error) + ")");
  }
  if (found.size() != facts_.outputs.size()) throw Problem(path_ + ": gives another number of outputs than it states");
  torch_->kept.clear();
  auto kept = [&](const std::string &name) { return torch_->keep(found[facts_.output(name)]); };
  Outputs outputs{kept("atomic_energy"), kept("forces"), kept("virial"), {}};
  if (with_gradients) {
    outputs.gradients.push_back(kept("edge_forces"));
    for (const auto &set : facts_.edge_sets) outputs.gradients.push_back(kept("edge_forces:" + set.name));
  }
  return outputs;
}

}  // namespace equipot
