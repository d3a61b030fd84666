// ESP as it stands on the wire with AES-GCM: header, initialisation vector, the encrypted packet, its padding and trailer,
// and the integrity check value.
// Threading: values; pure functions.
// Units:     bytes.
// Spec:      RFC 4303 section 2 (format), RFC 4106 sections 3 and 4 (IV of 8 bytes, AES-GCM), RFC 8221 section 5 (ICV of 16).
#pragma once

#include <cstddef>
#include <cstdint>

#include "sluice/base/endian.h"
#include "sluice/net/address.h"

namespace sluice::net {

struct EspHeader {
  Be32 spi;
  Be32 sequence;  // of an extended number the low half: the high one is known to both ends and never sent
  Be32 iv_high;   // RFC 4106 section 3.1: unique for every packet under one key
  Be32 iv_low;
};
static_assert(sizeof(EspHeader) == 16 && alignof(EspHeader) == 1);

inline constexpr IpProto kEspProto{50};
inline constexpr std::size_t kEspIcvBytes = 16;
inline constexpr std::size_t kEspTrailerBytes = 2;  // length of the padding, next header
inline constexpr std::size_t kEspAlign = 4;         // where the trailer ends; AES-GCM asks for no more

// RFC 4303 section 2.4: padding in front of the trailer behind so many bytes.
[[nodiscard]] constexpr std::size_t esp_padding(std::size_t inner_bytes) noexcept {
  return (kEspAlign - (inner_bytes + kEspTrailerBytes) % kEspAlign) % kEspAlign;
}
// Behind the inner packet: padding, trailer and integrity check value.
[[nodiscard]] constexpr std::size_t esp_tail_bytes(std::size_t inner_bytes) noexcept {
  return esp_padding(inner_bytes) + kEspTrailerBytes + kEspIcvBytes;
}
inline constexpr std::size_t kMaxEspTailBytes = kEspAlign - 1 + kEspTrailerBytes + kEspIcvBytes;
// The largest inner packet of an outer payload (what follows the outer IP header) of so many bytes; 0: none fits.
[[nodiscard]] constexpr std::size_t esp_inner_limit(std::size_t payload_bytes) noexcept {
  constexpr std::size_t kAround = sizeof(EspHeader) + kEspTrailerBytes + kEspIcvBytes;
  if (payload_bytes < kAround) return 0;
  const std::size_t text = (payload_bytes - sizeof(EspHeader) - kEspIcvBytes) / kEspAlign * kEspAlign;
  return text - kEspTrailerBytes;
}

}  // namespace sluice::net
