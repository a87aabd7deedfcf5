#include "trust.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "facts.h"

namespace equipot {
namespace {

// ------------------------------------------------------------------- SHA-256 (FIPS 180-4)

class Sha256 {
 public:
  void add(const unsigned char *bytes, size_t n) {
    length_ += n;
    for (size_t k = 0; k < n; k++) {
      block_[filled_++] = bytes[k];
      if (filled_ == sizeof(block_)) next_block();
    }
  }

  std::string digits() {
    uint64_t bits = 8 * length_;
    const unsigned char one = 0x80, zero = 0;
    add(&one, 1);
    while (filled_ != 56) add(&zero, 1);
    unsigned char last[8];
    for (int k = 0; k < 8; k++) last[k] = static_cast<unsigned char>(bits >> (56 - 8 * k));
    add(last, 8);
    std::string text;
    for (uint32_t word : state_)
      for (int shift = 28; shift >= 0; shift -= 4) text += "0123456789abcdef"[(word >> shift) & 15];
    return text;
  }

 private:
  static uint32_t turned(uint32_t word, int bits) { return word >> bits | word << (32 - bits); }

  void next_block() {
    // the first 32 bits of the fractions of the cube roots of the first 64 primes
    static const uint32_t constants[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
        0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
        0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
        0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
        0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
        0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
    uint32_t words[64];
    for (int k = 0; k < 16; k++)
      words[k] = uint32_t(block_[4 * k]) << 24 | uint32_t(block_[4 * k + 1]) << 16 | uint32_t(block_[4 * k + 2]) << 8 |
                 block_[4 * k + 3];
    for (int k = 16; k < 64; k++) {
      uint32_t near = words[k - 2], far = words[k - 15];
      words[k] = words[k - 16] + (turned(far, 7) ^ turned(far, 18) ^ far >> 3) + words[k - 7] +
                 (turned(near, 17) ^ turned(near, 19) ^ near >> 10);
    }
    uint32_t s[8];
    std::memcpy(s, state_, sizeof(s));
    for (int k = 0; k < 64; k++) {
      uint32_t first = s[7] + (turned(s[4], 6) ^ turned(s[4], 11) ^ turned(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) +
                       constants[k] + words[k];
      uint32_t second =
          (turned(s[0], 2) ^ turned(s[0], 13) ^ turned(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
      std::memmove(s + 1, s, 7 * sizeof(uint32_t));
      s[4] += first;
      s[0] = first + second;
    }
    for (int k = 0; k < 8; k++) state_[k] += s[k];
    filled_ = 0;
  }

  // the same of the square roots of the first 8 primes
  uint32_t state_[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  unsigned char block_[64];
  size_t filled_ = 0;
  uint64_t length_ = 0;
};

// ------------------------------------------------------------------------------- records

constexpr size_t MOST_BYTES = 1 << 20;  // of a record

std::string variable(const char *name) {
  const char *value = std::getenv(name);
  return value ? value : "";
}

std::string home() {
  if (std::getenv("HOME")) return variable("HOME");
  const passwd *user = getpwuid(getuid());
  return user ? user->pw_dir : "";
}

/// As equipot.files.cache_folder; empty if there is none.
std::string cache_folder() {
  if (std::string own = variable("EQUIPOT_CACHE_DIR"); !own.empty()) return own;
  if (std::string own = variable("XDG_CACHE_HOME"); !own.empty()) return own + "/equipot";
  std::string place = home();
  return place.empty() ? "" : place + "/.cache/equipot";
}

/// As equipot.caches.distrust.
std::string distrust(const struct stat &status) {
  if (status.st_uid != getuid() && status.st_uid != 0) return "it belongs to another user";
  if (status.st_mode & (S_IWGRP | S_IWOTH)) return "other users can write to it";
  return "";
}

/// All of a file, or nothing if it cannot be read.
std::string contents(int descriptor, size_t most) {
  std::string text(most, '\0');
  size_t n = 0;
  for (ssize_t got; n < most && (got = read(descriptor, &text[n], most - n)) > 0;) n += got;
  text.resize(n);
  return text;
}

/// Python writes a record in exactly this form; what is not in it does not count.
bool says_built(const std::string &record, const std::string &digest) {
  return record.find("\"built\": true") != std::string::npos && record.find("\"key\": \"" + digest + "\"") != std::string::npos;
}

}  // namespace

OpenFile::OpenFile(const std::string &name)
    : name_(name), descriptor_(open(name.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)) {
  struct stat status;
  if (descriptor_ < 0) {
    std::string reason = errno == ENOENT ? "there is no such file" : std::string("cannot be read: ") + std::strerror(errno);
    throw Problem(name + ": " + reason);
  }
  if (fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
    close(descriptor_);
    throw Problem(name + ": is not a regular file; a folder, pipe or device cannot be read");
  }
}

OpenFile::~OpenFile() { close(descriptor_); }

std::string OpenFile::path() const {
  std::string opened = "/proc/self/fd/" + std::to_string(descriptor_);
  return access(opened.c_str(), R_OK) == 0 ? opened : name_;
}

std::string OpenFile::sha256() const {
  Sha256 hash;
  std::vector<unsigned char> part(1 << 16);
  off_t place = 0;
  for (ssize_t got; (got = pread(descriptor_, part.data(), part.size(), place)) != 0; place += got) {
    if (got < 0) throw Problem(name_ + ": cannot be read: " + std::strerror(errno));
    hash.add(part.data(), static_cast<size_t>(got));
  }
  return hash.digits();
}

std::string unknown_origin(const std::string &digest) {
  std::string folder = cache_folder();
  if (folder.empty()) return "there is no home folder, so there is no record";
  folder += "/compiled";
  struct stat status;
  if (stat(folder.c_str(), &status) != 0) return folder + " does not exist, so there is no record";
  std::string record = folder + "/" + digest + ".json", missing = folder + " has no record";
  int descriptor = open(record.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
  if (descriptor < 0) return missing;
  std::string reason = distrust(status), place = folder;
  if (reason.empty()) {
    bool regular = fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
    reason = regular ? distrust(status) : "it is not a regular file";
    place = record;
  }
  std::string text = contents(descriptor, MOST_BYTES);
  close(descriptor);
  if (!reason.empty()) return place + " is not believed, as " + reason + ", so there is no record";
  return says_built(text, digest) ? "" : missing;
}

}  // namespace equipot
