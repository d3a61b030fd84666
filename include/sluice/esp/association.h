// Security associations in tunnel mode. Outbound: every worker seals with an SPI of its own (spi + worker) and numbers of its
// own, so that no worker waits for another and every receiver's window sees numbers that rise. All of them share one key,
// so the IV says which worker it was: its upper 16 bits are the worker, its lower 48 the sequence number.
// Threading: made by control. KeyUse: each worker writes its own line, control reads all of them. An InboundSa belongs to the
//            worker that all its packets are given to.
// Ownership: shared by the snapshots in turn: what an association has used outlives a change of the configuration.
// Spec:      RFC 4303 section 3.3.3 (numbers never wrap), RFC 4106 section 3.1 and 10 (an IV is never used twice under a key).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>

#include "sluice/esp/gcm.h"
#include "sluice/esp/replay_window.h"

namespace sluice::esp {

inline constexpr std::uint64_t kMaxSequence = std::numeric_limits<std::uint32_t>::max();
inline constexpr std::uint64_t kMaxExtendedSequence = (std::uint64_t{1} << 48) - 1;  // what the IV has room for
inline constexpr std::size_t kMaxWorkers = 1 << 16;
inline constexpr std::uint32_t kFirstSpi = 256;  // RFC 4303 section 2.1: those below are reserved

// How many numbers of a key each worker has used. As long as anybody may use the key again, this must not be forgotten.
class KeyUse {
 public:
  static constexpr std::uint64_t kUnbounded = ~std::uint64_t{0};

  // Numbers up to `used` are gone. Workers take none beyond `reserved`.
  KeyUse(std::size_t workers, std::uint64_t used, std::uint64_t reserved = kUnbounded);

  // The worker's next number, at most `limit`; 0: there is none.
  [[nodiscard]] std::uint64_t take(std::size_t worker, std::uint64_t limit) noexcept {
    std::atomic<std::uint64_t>& last = lines_[worker].last;
    const std::uint64_t number = last.load(std::memory_order_relaxed) + 1;
    if (number > limit || number > reserved_.load(std::memory_order_relaxed)) [[unlikely]]
      return 0;
    last.store(number, std::memory_order_relaxed);
    return number;
  }
  [[nodiscard]] std::uint64_t used() const noexcept;  // the highest number that any worker has taken
  [[nodiscard]] std::uint64_t reserved() const noexcept { return reserved_.load(std::memory_order_relaxed); }
  void reserve(std::uint64_t up_to) noexcept { reserved_.store(up_to, std::memory_order_relaxed); }

 private:
  struct alignas(64) Line {
    std::atomic<std::uint64_t> last;  // worker: w, control: r
  };
  std::unique_ptr<Line[]> lines_;
  std::size_t workers_;
  alignas(64) std::atomic<std::uint64_t> reserved_;  // control: w, worker: r
};

struct OutboundSa {
  std::uint32_t spi = 0;  // of worker 0
  bool extended = false;  // 64-bit sequence numbers
  std::shared_ptr<const GcmKey> key;
  std::shared_ptr<KeyUse> use;

  [[nodiscard]] std::uint64_t limit() const noexcept { return extended ? kMaxExtendedSequence : kMaxSequence; }
  // From here on a new key is due.
  [[nodiscard]] std::uint64_t soft_limit() const noexcept { return limit() / 4 * 3; }
};

struct InboundSa {
  InboundSa(std::uint32_t spi_, bool extended_, std::shared_ptr<const GcmKey> key_) noexcept
      : spi(spi_), extended(extended_), key(std::move(key_)), window(extended_) {}

  std::uint32_t spi;
  bool extended;
  std::shared_ptr<const GcmKey> key;
  ReplayWindow window;  // worker: r, w
};

}  // namespace sluice::esp
