// Where health checks write what they found and everybody reads it: one word per backend.
// Threading: per backend one writer (the proxy that checks it); any thread reads. No locks.
// Use:       control polls changes(), and builds a new snapshot when it moved.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "sluice/lb/ids.h"

namespace sluice::lb {

enum class Health : std::uint8_t { kUnknown, kUp, kDown };  // kUnknown: no check has ended yet

enum class HealthReason : std::uint8_t {  // of the last check
  kNone,
  kSuccess,
  kTimeout,      // no answer within the timeout
  kRefused,      // RST
  kUnreachable,  // no route, no neighbour, ICMP
  kClosed,       // the connection ended before an answer
  kBadResponse,  // not what the protocol allows
  kBadStatus,    // an HTTP status that the configuration does not count as success
};
[[nodiscard]] const char* text_of(Health health) noexcept;
[[nodiscard]] const char* text_of(HealthReason reason) noexcept;

struct HealthReport {
  Health health = Health::kUnknown;
  HealthReason reason = HealthReason::kNone;
  std::uint16_t detail = 0;  // kBadStatus: the status
};

class HealthBoard {
 public:
  HealthBoard();

  // Writer: the proxy that checks this backend.
  void report(BackendId backend, const HealthReport& report) noexcept;

  // kUnknown, too, when the slot's last report was about another generation.
  [[nodiscard]] HealthReport read(BackendId backend) const noexcept;
  // Grows whenever the health of some backend (not only the reason) has changed; read it before the reports.
  [[nodiscard]] std::uint64_t changes() const noexcept { return changes_.load(std::memory_order_acquire); }

 private:
  // generation 16 | detail 16 | reason 8 | health 8; each slot is written by one proxy at a time
  std::unique_ptr<std::atomic<std::uint64_t>[]> slots_;
  alignas(64) std::atomic<std::uint64_t> changes_{0};  // proxies: w, control: r
};

}  // namespace sluice::lb
