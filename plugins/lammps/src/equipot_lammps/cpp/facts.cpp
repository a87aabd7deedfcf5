#include "facts.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>
#include <sstream>

namespace equipot {
namespace {

class Reader {
 public:
  Reader(const Metadata &metadata, const std::string &path) : metadata_(metadata), path_(path) {}

  std::string text(const std::string &key) const {
    auto found = metadata_.find("equipot_" + key);
    if (found == metadata_.end())
      throw Problem(path_ + ": its metadata lack equipot_" + key + "; compile it with: equipot compile MODEL " + path_ +
                    " --target lammps");
    return found->second;
  }

  /// An entry of the target lammps itself.
  std::string own(const std::string &key) const {
    auto found = metadata_.find("lammps_" + key);
    return found == metadata_.end() ? "" : found->second;
  }

  std::vector<std::string> words(const std::string &key) const {
    std::istringstream in(text(key));
    std::vector<std::string> found;
    for (std::string word; in >> word;) found.push_back(word);
    return found;
  }

  int number(const std::string &key, const std::string &word, int least) const {
    if (word.empty() || word.size() > 6 || word.find_first_not_of("0123456789") != std::string::npos ||
        std::stoi(word) < least)
      damaged(key, text(key));
    return std::stoi(word);
  }

  double radius(const std::string &key, const std::string &word) const {
    size_t end = 0;
    double value = 0.0;
    try {
      value = std::stod(word, &end);
    } catch (const std::exception &) {
      end = 0;
    }
    if (end != word.size() || !(value > 0.0) || !std::isfinite(value)) damaged(key, word);
    return value;
  }

  [[noreturn]] void damaged(const std::string &key, const std::string &got) const {
    throw Problem(path_ + ": its metadata equipot_" + key + " are damaged, got '" + got + "'; compile it again");
  }

 private:
  const Metadata &metadata_;
  std::string path_;
};

std::vector<double> read_cutoffs(const Reader &reader, const Facts &facts) {
  size_t n = facts.type_names.size();
  std::vector<double> cutoffs;
  for (const auto &word : reader.words("cutoffs")) cutoffs.push_back(reader.radius("cutoffs", word));
  if (cutoffs.empty()) cutoffs.assign(n * n, facts.r_max);
  if (cutoffs.size() != n * n) reader.damaged("cutoffs", reader.text("cutoffs"));
  return cutoffs;
}

std::vector<EdgeSet> read_edge_sets(const Reader &reader) {
  auto words = reader.words("edge_sets");
  if (words.size() % 2) reader.damaged("edge_sets", reader.text("edge_sets"));
  std::vector<EdgeSet> sets;
  for (size_t k = 0; k < words.size(); k += 2) sets.push_back({words[k], reader.radius("edge_sets", words[k + 1])});
  return sets;
}

int read_hops(const Reader &reader, const std::string &path) {
  std::string locality = reader.text("locality");
  if (locality == "strict") return 1;
  if (locality == "global")
    throw Problem(path + ": the model is global (an atom matters at any distance), which LAMMPS cannot distribute");
  int hops = 0;
  if (std::sscanf(locality.c_str(), "hops(%d)", &hops) != 1 || hops < 1) reader.damaged("locality", locality);
  return hops;
}

/// Words "HOPS:SET:SET…", with each set in one of them.
std::vector<Walk> read_walks(const Reader &reader, size_t n_sets) {
  std::vector<Walk> walks;
  std::vector<int> seen(n_sets, 0);
  for (const auto &word : reader.words("hops")) {
    std::istringstream in(word);
    std::string part;
    std::getline(in, part, ':');
    Walk walk{reader.number("hops", part, 1), {}};
    while (std::getline(in, part, ':')) {
      walk.sets.push_back(reader.number("hops", part, 0));
      if (walk.sets.back() >= n_sets || seen[walk.sets.back()]++) reader.damaged("hops", reader.text("hops"));
    }
    walks.push_back(walk);
  }
  if (std::count(seen.begin(), seen.end(), 0)) reader.damaged("hops", reader.text("hops"));
  return walks;
}

void check_fields(const Facts &facts, const std::string &path) {
  std::set<std::string> known = {"positions", "cell",       "pbc",   "atom_types",     "batch",
                                 "num_atoms", "edge_index", "owned", "edge_cell_shift"};
  for (const auto &set : facts.edge_sets)
    for (const char *field : {"edge_index:", "edge_cell_shift:"}) known.insert(field + set.name);
  for (const auto &input : facts.inputs)
    if (!known.count(input)) throw Problem(path + ": the model needs the input '" + input + "', which LAMMPS does not give");
  for (const char *needed : {"atomic_energy", "forces", "virial"})
    if (facts.output(needed) < 0) throw Problem(path + ": the file does not give '" + std::string(needed) + "'");
}

}  // namespace

Facts read_facts(const Metadata &metadata, const std::string &path) {
  Reader reader(metadata, path);
  if (reader.text("format") != "1")
    throw Problem(path + ": has format " + reader.text("format") + ", which this pair style does not know; build it again: equipot lammps build");
  if (reader.text("target") != "lammps")
    throw Problem(path + ": was compiled for '" + reader.text("target") + "'; compile it with --target lammps");
  Facts facts;
  facts.type_names = reader.words("type_names");
  if (facts.type_names.empty()) reader.damaged("type_names", "");
  facts.r_max = reader.radius("r_max", reader.text("r_max"));
  facts.cutoffs = read_cutoffs(reader, facts);
  facts.edge_sets = read_edge_sets(reader);
  std::string units = reader.text("units");
  if (units != "metal" && units != "real") reader.damaged("units", units);
  facts.metal = units == "metal";
  facts.hops = read_hops(reader, path);
  facts.walks = read_walks(reader, 1 + facts.edge_sets.size());
  for (const auto &word : reader.words("exchanges")) facts.exchanges.push_back(reader.number("exchanges", word, 1));
  facts.dtype = reader.text("dtype");
  facts.torch = reader.own("torch");
  facts.inputs = reader.words("inputs");
  facts.outputs = reader.words("outputs");
  facts.kernels = reader.words("kernels");
  check_fields(facts, path);
  return facts;
}

int Facts::type_of(const std::string &name) const {
  auto found = std::find(type_names.begin(), type_names.end(), name);
  return found == type_names.end() ? -1 : static_cast<int>(found - type_names.begin());
}

int Facts::output(const std::string &name) const {
  auto found = std::find(outputs.begin(), outputs.end(), name);
  return found == outputs.end() ? -1 : static_cast<int>(found - outputs.begin());
}

double Facts::pair_radius(int first, int second) const {
  size_t n = type_names.size();
  double radius = std::max(cutoffs[first * n + second], cutoffs[second * n + first]);
  for (const auto &set : edge_sets) radius = std::max(radius, set.radius);
  return radius;
}

double Facts::radius(size_t set) const {
  return set ? edge_sets[set - 1].radius : *std::max_element(cutoffs.begin(), cutoffs.end());
}

double Facts::reach() const {
  double found = 0.0;
  for (size_t set = 0; set <= edge_sets.size(); set++) found = std::max(found, radius(set));
  return found;
}

double Facts::wide_shell() const {
  double found = 0.0;
  for (const auto &walk : walks)
    for (size_t set : walk.sets) found = std::max(found, walk.hops * radius(set));
  return found;
}

std::string Facts::listed_types() const {
  std::string text;
  for (const auto &name : type_names) text += (text.empty() ? "" : " ") + name;
  return text;
}

}  // namespace equipot
