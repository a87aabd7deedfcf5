// Whether a compiled file, which is native code, was built by this user; no torch and no LAMMPS in here.
#pragma once

#include <string>

namespace equipot {

/// A regular file that stays open: what is read from `path()` is this one, even if its name is given to another.
class OpenFile {
 public:
  /// Throws Problem if there is no such file, or it is not a regular one.
  explicit OpenFile(const std::string &name);
  ~OpenFile();
  OpenFile(const OpenFile &) = delete;
  OpenFile &operator=(const OpenFile &) = delete;

  std::string path() const;
  std::string sha256() const;  ///< of its contents, in hexadecimal digits

 private:
  std::string name_;
  int descriptor_;
};

/// Why the file with a digest is not known to be built by this user, or an empty text.
///
/// The record is that of Python (equipot/artifacts/_trust.py), in the same folder and with the same rules: it counts
/// only if folder and record belong to this user or root, and nobody else can write to them.
std::string unknown_origin(const std::string &digest);

}  // namespace equipot
