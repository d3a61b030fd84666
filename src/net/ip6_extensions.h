// Walks the extension headers of an IPv6 packet to its layer 4 protocol, within bounds.
// Threading: pure function.
// Spec:      RFC 8200 section 4, RFC 5095.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "sluice/net/parse.h"

namespace sluice::net {

struct Ip6Chain {
  ParseError error = ParseError::kNone;
  std::uint8_t proto = 0;
  bool fragmented = false;  // a fragment header was there
  bool more_fragments = false;
  bool segments_left = false;         // of a routing header: hosts still to be passed
  std::uint16_t fragment_offset = 0;  // bytes
  std::uint32_t fragment_id = 0;
  std::size_t fragment_at = 0;  // behind the fragment header
  std::size_t offset = 0;       // behind the last extension header
};

// `packet` ends where the IP packet does; `offset` is behind the fixed header, `next` its next header.
[[nodiscard]] Ip6Chain walk_extensions(std::span<const std::uint8_t> packet, std::size_t offset,
                                       std::uint8_t next) noexcept;

}  // namespace sluice::net
