// A set of prefixes of both families, made once and then only asked: allow and deny lists of hundreds of thousands.
// Overlapping and neighbouring prefixes are merged into ranges, which lie sorted; IPv4 has an index of the upper 16 bits over
// them, so that a lookup compares a few neighbours. 8 bytes an IPv4 range and 256 KiB of index, 32 bytes an IPv6 range.
// Threading: immutable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "sluice/net/address.h"

namespace sluice::net {

class PrefixSet {
 public:
  PrefixSet() = default;
  explicit PrefixSet(std::span<const Prefix> prefixes);

  [[nodiscard]] bool empty() const noexcept { return ranges4_.empty() && ranges6_.empty(); }
  [[nodiscard]] std::size_t ranges() const noexcept { return ranges4_.size() + ranges6_.size(); }
  [[nodiscard]] bool contains(const IpAddress& address) const noexcept;

 private:
  struct Range4 {
    std::uint32_t first, last;
  };
  struct Key6 {
    std::uint64_t upper = 0, lower = 0;
    constexpr auto operator<=>(const Key6&) const noexcept = default;
  };
  struct Range6 {
    Key6 first, last;
  };
  [[nodiscard]] static Key6 key_of(const IpAddress& address) noexcept;

  std::vector<Range4> ranges4_;
  std::vector<std::uint32_t> index4_;  // by the upper 16 bits: the first range that ends there or behind
  std::vector<Range6> ranges6_;
};

}  // namespace sluice::net
