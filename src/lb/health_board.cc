#include "sluice/lb/health_board.h"

namespace sluice::lb {
namespace {

constexpr std::uint64_t pack(BackendId backend, const HealthReport& report) noexcept {
  return std::uint64_t{backend.generation} << 32 | std::uint64_t{report.detail} << 16 |
         std::uint64_t{static_cast<std::uint8_t>(report.reason)} << 8 | static_cast<std::uint8_t>(report.health);
}

constexpr HealthReport unpack(std::uint64_t word) noexcept {
  return {static_cast<Health>(word & 0xff), static_cast<HealthReason>(word >> 8 & 0xff),
          static_cast<std::uint16_t>(word >> 16)};
}

constexpr bool is_about(std::uint64_t word, BackendId backend) noexcept {
  return static_cast<std::uint16_t>(word >> 32) == backend.generation;
}

}  // namespace

HealthBoard::HealthBoard() : slots_(std::make_unique<std::atomic<std::uint64_t>[]>(kMaxBackends)) {}

void HealthBoard::report(BackendId backend, const HealthReport& report) noexcept {
  if (backend.index >= kMaxBackends) return;
  std::atomic<std::uint64_t>& slot = slots_[backend.index];
  const Health before = read(backend).health;
  slot.store(pack(backend, report), std::memory_order_release);
  if (before != report.health) changes_.fetch_add(1, std::memory_order_release);
}

HealthReport HealthBoard::read(BackendId backend) const noexcept {
  if (backend.index >= kMaxBackends) return {};
  const std::uint64_t word = slots_[backend.index].load(std::memory_order_acquire);
  return is_about(word, backend) ? unpack(word) : HealthReport{};
}

const char* text_of(Health health) noexcept {
  switch (health) {
    case Health::kUnknown:
      return "unknown";
    case Health::kUp:
      return "up";
    case Health::kDown:
      return "down";
  }
  return "unknown";
}

const char* text_of(HealthReason reason) noexcept {
  switch (reason) {
    case HealthReason::kNone:
      return "not checked yet";
    case HealthReason::kSuccess:
      return "ok";
    case HealthReason::kTimeout:
      return "timeout";
    case HealthReason::kRefused:
      return "connection refused";
    case HealthReason::kUnreachable:
      return "unreachable";
    case HealthReason::kClosed:
      return "closed without an answer";
    case HealthReason::kBadResponse:
      return "malformed answer";
    case HealthReason::kBadStatus:
      return "unexpected status";
  }
  return "unknown";
}

}  // namespace sluice::lb
