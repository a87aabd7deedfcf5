// What engines call, and how torch learns of the ops.

using torch::stable::detail::StableLibrary;

std::string specs_of_loaded() {  // JSON: all lists of specs, which Python asks for when it takes over
  std::shared_lock<std::shared_mutex> held(known().lock);
  std::string text;
  for (const std::string& specs : known().specs) text += (text.empty() ? "" : ",") + specs;
  return "[" + text + "]";
}

void register_ops() {
  static std::mutex once;
  static bool done = false;
  const std::lock_guard<std::mutex> held(once);
  if (done) return;
  static auto* const schemas = new StableLibrary(StableLibrary::Kind::FRAGMENT, EQUIPOT_NAMESPACE, nullptr, __FILE__, __LINE__);
  static auto* const functions = new StableLibrary(StableLibrary::Kind::IMPL, EQUIPOT_NAMESPACE, "CPU", __FILE__, __LINE__);
  static auto* const others =
      new StableLibrary(StableLibrary::Kind::IMPL, EQUIPOT_NAMESPACE, "CompositeExplicitAutograd", __FILE__, __LINE__);
#define REGISTER(name, schema) \
  schemas->def(schema);        \
  functions->impl(#name, TORCH_BOX(&name));
  EQUIPOT_OPS(REGISTER)
  schemas->def("specs_of_loaded() -> str");
  others->impl("specs_of_loaded", TORCH_BOX(&specs_of_loaded));
  done = true;
}

bool registered_in_python() {
  StableIValue stack[1] = {0};
  return aoti_torch_call_dispatcher(EQUIPOT_NAMESPACE "::is_python", "", stack) == AOTI_TORCH_SUCCESS;
}

void prepare_in_python(const std::string& specs) {
  StableIValue stack[1] = {torch::stable::detail::from(specs)};
  if (aoti_torch_call_dispatcher(EQUIPOT_NAMESPACE "::prepare", "", stack) != AOTI_TORCH_SUCCESS)
    fail("holds kernels that equipot-kernels, which this process has imported, cannot build");
}

void load_kernels(const std::string& path) {
  Archive archive(path);
  bool found = false;
  for (const Archive::Member& member : archive.members()) {
    static const std::string ending = "/kernels.txt";
    const std::string& name = member.name;
    if (name.find("/equipot/kernels/") == std::string::npos || name.size() < ending.size() ||
        name.compare(name.size() - ending.size(), ending.size(), ending) != 0)
      continue;
    const std::string text = archive.read(name);
    if (text.rfind("equipot_kernels 1\n", 0) != 0) continue;  // of another plugin
    const Table table = parsed(text, name.substr(0, name.size() - ending.size() + 1));
    found = true;
    if (registered_in_python()) {
      prepare_in_python(table.specs);
    } else {
      check_processor(table);
      register_ops();
      load_units(archive, table);
    }
  }
  if (!found) fail("holds no kernels of equipot-kernels: compile the model again, for the target of this engine");
}

}  // namespace

// Make the kernels in a compiled file ready: null, or what is wrong, which stays valid until this thread's next call.
extern "C" __attribute__((visibility("default"))) const char* equipot_load_kernels(const char* pt2_path) {
  static thread_local std::string message;
  try {
    load_kernels(pt2_path);
    return nullptr;
  } catch (const std::exception& error) {
    message = std::string(pt2_path) + ": " + error.what();
    return message.c_str();
  }
}
