// What has been used of every key that this process, or those before it, ever sealed with: the sequence numbers that are
// gone. A key that comes back (a restart, a configuration taken back) goes on behind them, so that no IV is used twice and
// the receivers' windows go on.
// On disk: numbers are reserved ahead, kAhead at a time and before any of them is used; a process that dies loses those that
// it had not used. Keys stand there by their fingerprints.
// Threading: control thread. What it hands out is shared with the workers as KeyUse says.
// Ownership: shared by the snapshots in turn. Locks its file against other processes.
// Spec:      RFC 4106 section 10: with keys that are not negotiated, uniqueness of the IV is what has to be kept over restarts.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "sluice/base/result.h"
#include "sluice/esp/association.h"

namespace sluice::esp {

using Fingerprint = std::array<std::uint8_t, 32>;  // SHA-256 of key and salt
[[nodiscard]] Result<Fingerprint> fingerprint(std::span<const std::uint8_t> material);

class KeyLedger {
 public:
  static constexpr std::uint64_t kAhead = std::uint64_t{1} << 24;  // at 10 million packets a second: 1.7 s

  // In memory alone: numbers begin at 1, and nothing bounds them.
  explicit KeyLedger(std::size_t workers) noexcept : workers_(workers) {}
  // In a file, which is made where it is missing.
  [[nodiscard]] static Result<std::shared_ptr<KeyLedger>> open(const std::string& file, std::size_t workers);
  ~KeyLedger();
  KeyLedger(const KeyLedger&) = delete;
  KeyLedger& operator=(const KeyLedger&) = delete;

  // The same one for the same key, always. No number of it may be taken before the next reserve().
  [[nodiscard]] Result<std::shared_ptr<KeyUse>> use_of(std::span<const std::uint8_t> material);
  // Whether anything was ever sealed under the key. Who seals with it at the other end would use the same IVs again.
  [[nodiscard]] Result<bool> has_sealed(std::span<const std::uint8_t> material) const;
  // Reserves more of the keys that have used up half of what they had; to be called often. Writes only then.
  [[nodiscard]] Result<void> reserve();
  // When no worker takes numbers any more: gives back what was reserved and not used.
  [[nodiscard]] Result<void> close();

 private:
  struct Entry {
    std::uint64_t used = 0;       // as read from the file
    std::shared_ptr<KeyUse> use;  // nullptr: not asked for since the start
  };
  [[nodiscard]] Result<void> lock();
  [[nodiscard]] Result<void> read();
  template <typename Number>
  [[nodiscard]] Result<void> write(Number number_of) const;

  std::size_t workers_;
  std::string file_;  // empty: none
  int lock_ = -1;
  std::map<Fingerprint, Entry> entries_;
};

}  // namespace sluice::esp
