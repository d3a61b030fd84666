// The hash by which NICs spread what they receive over their queues (receive-side scaling, RSS), in software: so that it
// is known beforehand on which queue a packet will come in.
// Threading: immutable.
// Units:     a *mirrored* hash is the hash with its bits in the opposite order: its top bits are those that a NIC looks up
//            in its table. It is what the computation gives, and turning it round would cost as much again.
// Spec:      Microsoft, "RSS Hashing Functions" (Toeplitz): source address, destination address, source port, destination
//            port, as they stand in the packet.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "sluice/net/address.h"

namespace sluice::net {

class Toeplitz {
 public:
  // What the longest tuple (two IPv6 addresses and two ports) makes use of; the rest of a longer key has no effect.
  static constexpr std::size_t kKeyBytes = 40;

  // Whether this CPU multiplies without carries (PCLMULQDQ, as all with AVX2 do); without, it is done bit by bit.
  [[nodiscard]] static bool cpu_has_carryless() noexcept;

  explicit Toeplitz(std::span<const std::uint8_t, kKeyBytes> key, bool carryless = cpu_has_carryless()) noexcept;

  // Of a packet on its way from `from` to `to`; both are of one family.
  [[nodiscard]] std::uint32_t mirrored(const Endpoint& from, const Endpoint& to) const noexcept;
  [[nodiscard]] std::uint32_t hash(const Endpoint& from, const Endpoint& to) const noexcept;

  // The hash is linear: mirrored(from, {to, port}) == mirrored(from, {to, 0}) ^ mirrored_port(family, port).
  [[nodiscard]] std::uint32_t mirrored_port(bool v4, std::uint16_t destination_port) const noexcept;

 private:
  static constexpr std::size_t kWords = 9;  // of 32 bits, of a tuple

  [[nodiscard]] std::uint32_t sum(const std::uint32_t* words, std::size_t first, std::size_t count) const noexcept;

  // For the n-th word of a tuple: the 63 bits of the key from bit 32n on, the first one as the lowest. Multiplied without
  // carries with the word, they give the word's part of the hash, mirrored, from bit 31 on.
  std::array<std::uint64_t, kWords> windows_{};
  bool carryless_;
};

}  // namespace sluice::net
