// What was learnt of the ways to others: the largest packet that reaches them, where that is less than what we can send. New
// connections begin with it.
// Threading: one cache per stack.
// Ownership: owns its records.
// Limits:    kSets sets of kWays records; the one that would expire first makes room. Which set an address goes to is keyed, so
//            that nobody can aim at another's.
// Units:     bytes of the whole IP packet.
// Spec:      RFC 1191 section 6.3, RFC 8201 section 5.3: what is learnt is forgotten after ten minutes.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "seq.h"
#include "sluice/net/address.h"
#include "tuple_table.h"

namespace sluice::tcp {

class PathCache {
 public:
  static constexpr Ticks kLife = 10 * 60 * 1000;
  static constexpr std::size_t kSets = 256;
  static constexpr std::size_t kWays = 4;
  struct Record {
    net::IpAddress to;
    std::uint16_t mtu = 0;  // 0: unused
    Ticks expires = 0;
  };

  explicit PathCache(const TupleHash& hash) : hash_(hash), sets_(kSets) {}

  // nullptr: nothing is known, or no longer.
  [[nodiscard]] const Record* find(const net::IpAddress& to, Ticks now) const noexcept {
    return is_empty_ ? nullptr : find_in(sets_[set_of(to)], to, now);
  }
  // A larger one than is known says nothing: it came from before.
  void learn(const net::IpAddress& to, std::uint16_t mtu, Ticks now) noexcept;

 private:
  using Set = std::array<Record, kWays>;
  // Also once the clock has come round.
  [[nodiscard]] static bool is_alive(const Record& r, Ticks now) noexcept {
    return r.mtu != 0 && r.expires - now - 1 < kLife;
  }
  [[nodiscard]] static const Record* find_in(const Set& set, const net::IpAddress& to, Ticks now) noexcept;
  [[nodiscard]] std::size_t set_of(const net::IpAddress& to) const noexcept {
    return hash_({.local = {}, .remote = {.address = to, .port = 0}}) % kSets;
  }

  TupleHash hash_;
  std::vector<Set> sets_;
  bool is_empty_ = true;
};

}  // namespace sluice::tcp
