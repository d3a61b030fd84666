// Two halves of a TCP connection whose ends count differently, joined by who sits between them: to the client, sequence
// numbers and timestamps of the backend are moved by a constant, and back in what the client says of them.
// Threading: pure functions.
// Spec:      RFC 9293 section 3.4, RFC 2018 (SACK), RFC 7323 (timestamps, window scale), RFC 1624 (checksums: one that was
//            wrong stays wrong).
#pragma once

#include <cstdint>
#include <span>

#include "sluice/net/parse.h"

namespace sluice::net {

struct TcpShift {
  std::uint32_t sequence = 0;   // what the client sees less what the backend sent
  std::uint32_t timestamp = 0;  // the same of timestamps
  std::int8_t to_client = 0;    // windows are shifted left by so many bits, right where it is negative
  std::int8_t to_backend = 0;
};

// A segment of the backend: its sequence number, timestamp and window. `packet` is the result of parse(frame), TCP; the
// addresses may have been rewritten since. A later fragment has none of these, and stays as it is. A SYN's window is never scaled (RFC 7323 section 2.2).
void shift_to_client(std::span<std::uint8_t> frame, const Parsed& packet, const TcpShift& shift) noexcept;
// A segment of the client: its acknowledgment, the edges of its SACK blocks, the echoed timestamp, the window.
void shift_to_backend(std::span<std::uint8_t> frame, const Parsed& packet, const TcpShift& shift) noexcept;
// A segment that an ICMP error from the client's side quotes, as its sender, the backend, counted. Of its TCP header at least
// 8 bytes are there.
void unshift_quoted(std::span<std::uint8_t> frame, const Parsed& quoted, const TcpShift& shift) noexcept;

}  // namespace sluice::net
