// ESP in tunnel mode over the packets of a burst, in place: seal() puts header, padding, trailer and integrity check value
// around inner IP packets and encrypts them, open() undoes it. The outer IP header is the caller's.
// Threading: as the engine and the associations that are used.
// Spec:      RFC 4303 sections 3.3 and 3.4, RFC 4106.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "sluice/esp/association.h"
#include "sluice/esp/gcm.h"
#include "sluice/net/esp.h"

namespace sluice::esp {

inline constexpr std::uint8_t kNextIp4 = 4;   // what the trailer says of an inner IPv4 packet
inline constexpr std::uint8_t kNextIp6 = 41;  // and of an inner IPv6 packet

struct Outgoing {
  const OutboundSa* sa = nullptr;
  std::uint64_t sequence = 0;  // that KeyUse::take() gave
  std::uint8_t* inner =
      nullptr;  // in front of it sizeof(net::EspHeader) bytes of room, behind it net::kMaxEspTailBytes
  std::size_t inner_bytes = 0;
  std::uint8_t next_header = 0;
};
// At most kMaxBurst. The ESP packet begins sizeof(net::EspHeader) in front of `inner` and ends net::esp_tail_bytes() behind it.
void seal(GcmEngine& engine, std::span<const Outgoing> packets, std::size_t worker) noexcept;

enum class OpenResult : std::uint8_t {
  kGood,
  kTruncated,  // too short for ESP, or not of whole words
  kReplayed,   // seen before, or left of the window
  kForged,     // the integrity check value is wrong
  kPadding,    // the padding is not 1, 2, 3, or longer than the packet
};
struct Incoming {
  InboundSa* sa = nullptr;
  std::uint8_t* esp = nullptr;  // begins with its header
  std::size_t esp_bytes = 0;    // up to and with the integrity check value
  // What open() gives; the rest only for kGood.
  OpenResult result = OpenResult::kTruncated;
  std::uint8_t next_header = 0;
  std::span<std::uint8_t> inner{};
};
// At most kMaxBurst.
void open(GcmEngine& engine, std::span<Incoming> packets) noexcept;

}  // namespace sluice::esp
