#include "sluice/esp/key_ledger.h"

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string_view>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

namespace sluice::esp {
namespace {

constexpr std::string_view kTitle = "sluice: sequence numbers of ESP, by SHA-256 of key and salt";

Error system_error(const std::string& file) { return {fmt::format("esp.state: {}: {}", file, std::strerror(errno))}; }

// Makes what was written outlive a loss of power.
bool sync(const std::string& path, int flags) noexcept {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC);
  if (fd < 0) return false;
  const bool done = ::fsync(fd) == 0;
  ::close(fd);
  return done;
}

// "<64 hex digits> <number>"
bool parse_line(std::string_view line, Fingerprint& name, std::uint64_t& used) noexcept {
  constexpr std::size_t kDigits = 2 * std::tuple_size_v<Fingerprint>;
  if (line.size() < kDigits + 2 || line[kDigits] != ' ') return false;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const char* at = line.data() + 2 * i;
    if (std::from_chars(at, at + 2, name[i], 16).ptr != at + 2) return false;
  }
  const char* end = line.data() + line.size();
  const auto [stop, error] = std::from_chars(line.data() + kDigits + 1, end, used);
  return error == std::errc() && stop == end;
}

}  // namespace

KeyLedger::~KeyLedger() {
  if (lock_ >= 0) ::close(lock_);
}

Result<std::shared_ptr<KeyLedger>> KeyLedger::open(const std::string& file, std::size_t workers) {
  auto ledger = std::make_shared<KeyLedger>(workers);
  ledger->file_ = file;
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(file).parent_path(), error);
  if (error) return fail(fmt::format("esp.state: {}: {}", file, error.message()));
  if (auto done = ledger->lock(); !done) return std::unexpected(done.error());
  if (auto done = ledger->read(); !done) return std::unexpected(done.error());
  return ledger;
}

Result<void> KeyLedger::lock() {
  const std::string path = file_ + ".lock";
  lock_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_ < 0) return std::unexpected(system_error(path));
  if (::flock(lock_, LOCK_EX | LOCK_NB) == 0) return {};
  if (errno != EWOULDBLOCK) return std::unexpected(system_error(path));
  return fail(fmt::format("esp.state: {} is in use by another process: two may not seal with the same keys", file_));
}

Result<void> KeyLedger::read() {
  std::ifstream in(file_);
  if (!in) {
    if (errno == ENOENT) return {};
    return std::unexpected(system_error(file_));
  }
  std::string line;
  std::size_t number = 1;
  bool good = std::getline(in, line) && line == kTitle;
  while (good && std::getline(in, line)) {
    ++number;
    Fingerprint name{};
    std::uint64_t used = 0;
    good = parse_line(line, name, used);
    if (good) entries_[name] = {.used = used, .use = nullptr};
  }
  if (good && !in.bad()) return {};
  return fail(
      fmt::format("esp.state: {}:{}: not what sluice writes there; without it the keys must not be used again: "
                  "give every association a new key, then remove the file",
                  file_, number));
}

template <typename Number>
Result<void> KeyLedger::write(Number number_of) const {
  const std::string fresh = file_ + ".new";
  {
    std::ofstream out(fresh, std::ios::trunc);
    out << kTitle << '\n';
    for (const auto& [name, entry] : entries_) {
      for (const std::uint8_t byte : name) out << fmt::format("{:02x}", byte);
      out << ' ' << number_of(entry) << '\n';
    }
    out.flush();
    if (!out) return std::unexpected(system_error(fresh));
  }
  const std::string folder = std::filesystem::path(file_).parent_path().string();
  if (!sync(fresh, O_RDONLY)) return std::unexpected(system_error(fresh));
  if (std::rename(fresh.c_str(), file_.c_str()) != 0) return std::unexpected(system_error(file_));
  if (!sync(folder, O_RDONLY | O_DIRECTORY)) return std::unexpected(system_error(folder));
  return {};
}

Result<std::shared_ptr<KeyUse>> KeyLedger::use_of(std::span<const std::uint8_t> material) {
  const Result<Fingerprint> name = fingerprint(material);
  if (!name) return std::unexpected(name.error());
  Entry& entry = entries_[*name];
  if (entry.use == nullptr) {
    const std::uint64_t reserved = file_.empty() ? KeyUse::kUnbounded : entry.used;
    entry.use = std::make_shared<KeyUse>(workers_, entry.used, reserved);
  }
  return entry.use;
}

Result<bool> KeyLedger::has_sealed(std::span<const std::uint8_t> material) const {
  const Result<Fingerprint> name = fingerprint(material);
  if (!name) return std::unexpected(name.error());
  const auto at = entries_.find(*name);
  if (at == entries_.end()) return false;
  return (at->second.use != nullptr ? at->second.use->used() : at->second.used) != 0;
}

Result<void> KeyLedger::reserve() {
  if (file_.empty()) return {};
  const auto is_short = [](const Entry& entry) {
    return entry.use != nullptr && entry.use->reserved() - entry.use->used() < kAhead / 2;
  };
  bool any = false;
  for (const auto& [name, entry] : entries_) any |= is_short(entry);
  if (!any) return {};
  // On disk first: what is reserved there and not used is lost, what is used and not reserved would be used again.
  std::map<const Entry*, std::uint64_t> reserved;
  const auto done = write([&](const Entry& entry) {
    if (entry.use == nullptr) return entry.used;
    return reserved[&entry] = is_short(entry) ? entry.use->used() + kAhead : entry.use->reserved();
  });
  if (!done) return done;
  for (const auto& [name, entry] : entries_) {
    if (entry.use != nullptr) entry.use->reserve(reserved[&entry]);
  }
  return {};
}

Result<void> KeyLedger::close() {
  if (file_.empty()) return {};
  return write([](const Entry& entry) { return entry.use != nullptr ? entry.use->used() : entry.used; });
}

}  // namespace sluice::esp
