// Who owns which local port of our source addresses: 1024..65535 in disjoint blocks, one per worker and per proxy, the
// same on every source address. So the destination port of a reply names the thread that it belongs to.
// Threading: immutable.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace sluice::lb {

enum class PortOwnerKind : std::uint8_t { kNone, kWorker, kProxy };

struct PortOwner {
  PortOwnerKind kind = PortOwnerKind::kNone;
  std::uint8_t index = 0;
  bool operator==(const PortOwner&) const noexcept = default;
};

struct PortBlock {
  std::uint16_t first = 0;
  std::uint16_t count = 0;  // 0: owns none
  bool operator==(const PortBlock&) const noexcept = default;
};

class PortPlan {
 public:
  static constexpr std::uint32_t kFirstPort = 1024;
  static constexpr std::uint32_t kGranule = 64;  // ports; blocks are whole granules
  static constexpr std::size_t kMaxOwners = 250;

  // workers + proxies is at most kMaxOwners; all blocks are of equal size but for the last granules.
  PortPlan(std::size_t workers, std::size_t proxies) noexcept;

  [[nodiscard]] PortOwner owner_of(std::uint16_t port) const noexcept { return owners_[port / kGranule]; }
  [[nodiscard]] PortBlock worker_block(std::size_t worker) const noexcept { return block(worker); }
  [[nodiscard]] PortBlock proxy_block(std::size_t proxy) const noexcept { return block(workers_ + proxy); }

 private:
  [[nodiscard]] PortBlock block(std::size_t owner) const noexcept;

  std::size_t workers_;
  std::size_t total_;
  std::array<PortOwner, 65536 / kGranule> owners_{};  // 2 KiB
};

}  // namespace sluice::lb
