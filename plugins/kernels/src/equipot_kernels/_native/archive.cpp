// Members of a compiled file, which is a zip archive. Only members that are stored, not compressed, are read.

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error(what); }

template <class N> N number_at(const std::string& bytes, std::size_t at) {
  if (at > bytes.size() || sizeof(N) > bytes.size() - at) fail("is damaged: a part of its directory is missing");
  N value;
  std::memcpy(&value, bytes.data() + at, sizeof(N));
  return value;
}

std::uint32_t checksum(const std::string& bytes) {  // CRC-32 as zip has it
  static const std::array<std::uint32_t, 256> table = [] {
    std::array<std::uint32_t, 256> made{};
    for (std::uint32_t n = 0; n < 256; n++) {
      made[n] = n;
      for (int bit = 0; bit < 8; bit++) made[n] = made[n] & 1 ? 0xEDB88320u ^ (made[n] >> 1) : made[n] >> 1;
    }
    return made;
  }();
  std::uint32_t sum = ~0u;
  for (unsigned char byte : bytes) sum = table[(sum ^ byte) & 255] ^ (sum >> 8);
  return ~sum;
}

class Archive {
 public:
  struct Member {
    std::string name;
    std::uint64_t header, size;
    std::uint32_t sum;
    bool stored;
  };

  explicit Archive(const std::string& path) : file_(path, std::ios::binary) {
    if (!file_) fail("cannot be read");
    file_.seekg(0, std::ios::end);
    length_ = static_cast<std::uint64_t>(file_.tellg());
    read_directory();
  }

  const std::vector<Member>& members() const { return members_; }

  std::string read(const std::string& name) {
    for (const Member& member : members_)
      if (member.name == name) return read(member);
    fail("lacks its member " + name);
  }

 private:
  enum : std::uint32_t { END = 0x06054b50, WIDE_END = 0x06064b50, LOCATOR = 0x07064b50, ENTRY = 0x02014b50, LOCAL = 0x04034b50 };
  static constexpr std::uint32_t WIDE = 0xFFFFFFFFu;  // the number is in a field of 64 bits

  std::string bytes(std::uint64_t at, std::uint64_t count) {
    if (at > length_ || count > length_ - at) fail("is damaged: it ends too early");
    std::string read(count, '\0');
    file_.seekg(static_cast<std::streamoff>(at));
    if (!file_.read(&read[0], static_cast<std::streamsize>(count))) fail("cannot be read");
    return read;
  }

  std::string read(const Member& member) {
    if (!member.stored) fail("holds " + member.name + " compressed, which no engine reads");
    const std::string head = bytes(member.header, 30);
    if (number_at<std::uint32_t>(head, 0) != LOCAL) fail("is damaged: " + member.name + " is not where it should be");
    const std::uint64_t skipped = 30u + number_at<std::uint16_t>(head, 26) + number_at<std::uint16_t>(head, 28);
    std::string found = bytes(member.header + skipped, member.size);
    if (checksum(found) != member.sum) fail("is damaged: the checksum of " + member.name + " differs");
    return found;
  }

  void read_directory() {
    const std::uint64_t tail = std::min<std::uint64_t>(length_, 22 + 65535);
    const std::string end = bytes(length_ - tail, tail);
    std::size_t at = end.size() < 22 ? std::string::npos : end.size() - 22;
    while (at != std::string::npos && number_at<std::uint32_t>(end, at) != END) at = at ? at - 1 : std::string::npos;
    if (at == std::string::npos) fail("is not a compiled file of equipot");
    std::uint64_t size = number_at<std::uint32_t>(end, at + 12), begin = number_at<std::uint32_t>(end, at + 16);
    if (at >= 20 && number_at<std::uint32_t>(end, at - 20) == LOCATOR) {
      const std::string wide = bytes(number_at<std::uint64_t>(end, at - 12), 56);
      if (number_at<std::uint32_t>(wide, 0) != WIDE_END) fail("is damaged: its directory is not where it should be");
      size = number_at<std::uint64_t>(wide, 40);
      begin = number_at<std::uint64_t>(wide, 48);
    }
    const std::string directory = bytes(begin, size);
    for (std::size_t place = 0; place < directory.size();) place = read_entry(directory, place);
  }

  std::size_t read_entry(const std::string& directory, std::size_t at) {
    if (number_at<std::uint32_t>(directory, at) != ENTRY) fail("is damaged: its directory is not readable");
    const std::size_t name = number_at<std::uint16_t>(directory, at + 28), extra = number_at<std::uint16_t>(directory, at + 30);
    const std::size_t next = at + 46 + name + extra + number_at<std::uint16_t>(directory, at + 32);
    if (next > directory.size()) fail("is damaged: a part of its directory is missing");
    Member member{directory.substr(at + 46, name), number_at<std::uint32_t>(directory, at + 42),
                  number_at<std::uint32_t>(directory, at + 24), number_at<std::uint32_t>(directory, at + 16),
                  number_at<std::uint16_t>(directory, at + 10) == 0};
    std::size_t field = at + 46 + name;
    while (field + 4 <= at + 46 + name + extra && number_at<std::uint16_t>(directory, field) != 1)
      field += 4u + number_at<std::uint16_t>(directory, field + 2);
    for (std::uint64_t* value : {&member.size, &member.header}) {  // the order of the wide fields
      if (*value != WIDE) continue;
      *value = number_at<std::uint64_t>(directory, field + 4);
      field += value == &member.size && number_at<std::uint32_t>(directory, at + 20) == WIDE ? 16 : 8;
    }
    members_.push_back(member);
    return next;
  }

  std::ifstream file_;
  std::uint64_t length_ = 0;
  std::vector<Member> members_;
};
