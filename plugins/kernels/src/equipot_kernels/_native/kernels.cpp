// The kernels of a compiled file: read from its members, checked, and loaded into this process.

struct Table {  // what kernels.txt says
  std::string folder, machine;
  std::vector<std::string> flags;
  std::map<std::int64_t, std::map<std::string, std::int64_t>> sizes;
  std::map<std::pair<std::int64_t, std::string>, std::string> files;  // of each unit of each kernel
  std::string specs;
};

Table parsed(const std::string& text, const std::string& folder) {
  Table table;
  table.folder = folder;
  std::istringstream lines(text);
  std::string line, word, abi;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    words >> word;
    std::int64_t handle = 0, value;
    std::string name, file;
    if (word == "abi") {
      words >> abi;
    } else if (word == "processor") {
      words >> table.machine;
      while (words >> name) table.flags.push_back(name);
    } else if (word == "kernel" && words >> handle) {
      auto& sizes = table.sizes[handle];
      while (words >> name >> value) sizes[name] = value;
    } else if (word == "unit" && words >> handle >> name >> file && file.find('/') == std::string::npos) {
      table.files[{handle, name}] = file;
    } else if (word == "specs") {
      std::getline(words >> std::ws, table.specs);
    } else if (word != "equipot_kernels") {
      fail("is damaged: " + folder + "kernels.txt has a line that is not known: " + line.substr(0, 60));
    }
  }
  if (abi != EQUIPOT_ABI)
    fail("holds kernels of another version of equipot-kernels (" + abi + ") than this library (" EQUIPOT_ABI
         "): compile it again, and build the engine's libraries again, with the same version");
  return table;
}

std::set<std::string> flags_of_this_processor() {  // empty where they are not known
  std::ifstream facts("/proc/cpuinfo");
  std::string line, word;
  std::set<std::string> found;
  while (found.empty() && std::getline(facts, line)) {
    if (line.rfind("flags", 0) != 0 && line.rfind("Features", 0) != 0) continue;
    std::istringstream words(line.substr(line.find(':') + 1));
    while (words >> word) found.insert(word);
  }
  return found;
}

void check_processor(const Table& table) {
  utsname here;
  if (uname(&here) == 0 && table.machine != here.machine)
    fail("holds kernels for " + table.machine + ", but this is " + here.machine);
  const std::set<std::string> have = flags_of_this_processor();
  std::string missing;
  for (const std::string& flag : table.flags)
    if (!have.empty() && !have.count(flag)) missing += " " + flag;
  if (!missing.empty())
    fail("holds kernels for a processor with" + missing +
         ", which this one lacks: compile it on this machine, or with --portable");
}

class PrivateFolder {  // for this user alone, and gone at the end
 public:
  PrivateFolder() {
    for (const char* name : {"TMPDIR", "TMP", "TEMP"})
      if (const char* given = std::getenv(name); given && *given && path_.empty()) path_ = given;
    path_ = (path_.empty() ? std::string("/tmp") : path_) + "/equipot-XXXXXX";
    if (!mkdtemp(&path_[0])) fail("needs a folder for its kernels, but " + path_ + " cannot be made" + HINT);
  }
  PrivateFolder(const PrivateFolder&) = delete;
  ~PrivateFolder() {
    for (const std::string& file : files_) unlink(file.c_str());
    rmdir(path_.c_str());
  }

  void* load(const std::string& name, const std::string& contents) {
    files_.push_back(path_ + "/" + name);
    std::ofstream file(files_.back(), std::ios::binary);
    file.write(contents.data(), static_cast<std::streamsize>(contents.size()));
    file.close();
    if (!file) fail("needs room for its kernels, but " + files_.back() + " cannot be written" + HINT);
    void* library = dlopen(files_.back().c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) fail("holds the kernel " + name + ", which cannot be loaded (" + dlerror() + ")" + HINT);
    return library;
  }

 private:
  static constexpr const char* HINT = "; TMPDIR names the folder, which must allow to run code in it";
  std::string path_;
  std::vector<std::string> files_;
};

struct Known {
  std::shared_mutex lock;
  std::map<std::pair<std::int64_t, std::string>, void*> units;
  std::map<std::int64_t, std::map<std::string, std::int64_t>> sizes;
  std::set<std::string> specs;
};

Known& known() {
  static Known* const all = new Known;  // never destroyed: models may run until the process ends
  return *all;
}

const char* const HINT_OF_MISSING = ": compile the model again, for the target of this engine";

void* unit_of(std::int64_t kernel, const char* unit) {
  std::shared_lock<std::shared_mutex> held(known().lock);
  const auto found = known().units.find({kernel, unit});
  if (found == known().units.end())
    fail("equipot_kernels: no loaded file holds the kernel " + std::to_string(kernel) + " " + unit + HINT_OF_MISSING);
  return found->second;
}

std::int64_t size_of(std::int64_t kernel, const char* name) {
  std::shared_lock<std::shared_mutex> held(known().lock);
  const auto found = known().sizes.find(kernel);
  if (found == known().sizes.end() || !found->second.count(name))
    fail("equipot_kernels: no loaded file holds the kernel " + std::to_string(kernel) + HINT_OF_MISSING);
  return found->second.at(name);
}

void let_kernels_see_torch() {  // kernels of wheels link to nothing: they call the OpenMP that torch has loaded
  Dl_info torch;
  if (dladdr(reinterpret_cast<void*>(&aoti_torch_get_data_ptr), &torch) && torch.dli_fname)
    dlopen(torch.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_GLOBAL);
}

void load_units(Archive& archive, const Table& table) {
  let_kernels_see_torch();
  PrivateFolder folder;
  std::map<std::string, void*> libraries;
  std::map<std::pair<std::int64_t, std::string>, void*> units;
  std::unique_lock<std::shared_mutex> held(known().lock);
  for (const auto& [unit, file] : table.files) {
    if (known().units.count(unit)) continue;  // another file has brought the same kernel
    if (!libraries.count(file)) libraries[file] = folder.load(file, archive.read(table.folder + file));
    units[unit] = dlsym(libraries[file], unit.second.c_str());
    if (!units[unit]) fail("is damaged: " + file + " lacks the function " + unit.second);
  }
  known().units.insert(units.begin(), units.end());
  known().sizes.insert(table.sizes.begin(), table.sizes.end());
  known().specs.insert(table.specs);
}
