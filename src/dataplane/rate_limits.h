// How much may come: packets, bits and new flows a second, of a service and of each source prefix.
// A bucket is one number: when it would be full again. What is taken moves that on by its cost, and nothing may be taken
// that would move it further than `burst` ahead of now (the generic cell rate algorithm of ITU-T I.371).
// Units:     time is milliseconds in 64 bits, which never wrap.
// Threading: one per worker. Each worker has its share of every rate, a 1/workers part: what one worker alone sees (all of
//            a connection) gets no more than that.
// Limits:    sources are kept in a table of fixed size, in sets of 4: the one that was quiet for longest makes room, and who
//            comes back begins with a full bucket.
#pragma once

#include <array>
#include <cstdint>

#include "sluice/base/huge_pages.h"
#include "sluice/base/siphash.h"
#include "sluice/base/time.h"
#include "sluice/config/config.h"
#include "sluice/net/address.h"

namespace sluice::dataplane {

enum class Limit : std::uint8_t { kPackets, kBits, kFlows, kNone };

class Rates {
 public:
  using Buckets = std::array<std::uint64_t, 3>;  // by Limit, in sixteenths of a nanosecond

  Rates() = default;
  Rates(const config::Limits& limits, std::size_t workers) noexcept;
  [[nodiscard]] bool limits_packets() const noexcept { return cost_[0] != 0 || cost_[1] != 0; }
  [[nodiscard]] bool limits_flows() const noexcept { return cost_[2] != 0; }
  // The limit that a packet of so many bytes exceeds; kNone: it was taken off the buckets.
  [[nodiscard]] Limit take_packet(Buckets& buckets, std::size_t bytes, std::uint64_t now_ms) const noexcept;
  [[nodiscard]] bool take_flow(Buckets& buckets, std::uint64_t now_ms) const noexcept;

 private:
  std::array<std::uint64_t, 3> cost_{};  // of a packet, of 256 bytes, of a flow; 0: no limit
  std::uint64_t burst_ = 0;
};

class SourceTable {
 public:
  SourceTable() = default;
  SourceTable(std::size_t entries, const SipKey& secret);
  // Those of a source prefix, which is the address with its host bits cleared.
  [[nodiscard]] Rates::Buckets& buckets_of(const net::IpAddress& prefix, std::uint64_t now_ms) noexcept;

 private:
  static constexpr std::size_t kWays = 4;
  struct Entry {
    net::IpAddress prefix;
    std::uint64_t seen = 0;
    Rates::Buckets buckets{};
  };
  static_assert(sizeof(Entry) == 48);

  SipKey secret_{};
  HugeArray<Entry> entries_;
};

}  // namespace sluice::dataplane
