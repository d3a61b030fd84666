// SCTP as a balancer sees it: the common header, what the chunks mean for a flow's state, and the checksum, which covers
// the ports but no addresses.
// Threading: pure functions.
// Spec:      RFC 9260 sections 3.1 (common header), 3.2 (chunks), 6.8 and appendix A (CRC32c).
// Limits:    what an INIT says of further addresses of a host is passed as it is: associations have one path.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "sluice/base/endian.h"

namespace sluice::net {

struct SctpHeader {
  Be16 src_port;
  Be16 dst_port;
  Be32 tag;
  std::uint8_t checksum[4];  // CRC32c, lowest byte first
};
static_assert(sizeof(SctpHeader) == 12 && alignof(SctpHeader) == 1);

struct SctpChunk {
  std::uint8_t type;
  std::uint8_t flags;
  Be16 len;  // with this header, without padding
};
static_assert(sizeof(SctpChunk) == 4 && alignof(SctpChunk) == 1);

enum class SctpChunkType : std::uint8_t {
  kInit = 1,
  kInitAck = 2,
  kAbort = 6,
  kShutdown = 7,
  kShutdownAck = 8,
  kCookieEcho = 10,
  kShutdownComplete = 14,
};
inline constexpr std::uint8_t kSctpTagReflected = 0x01;  // the T bit of ABORT: the tag is the receiver's own
inline constexpr std::size_t kMaxSctpChunks = 16;        // looked at; what is behind them changes no state

// The state of a flow moves by TCP's flags (lb/flow_limits.h), and SCTP's chunks are said in them: INIT is SYN, INIT ACK is SYN, ACK; SHUTDOWN
// and SHUTDOWN ACK are FIN, ACK; ABORT and SHUTDOWN COMPLETE are RST; all else is ACK. `chunks` is what lies behind the
// common header. nullopt: no chunk, one that is shorter than its header or beyond the packet, or INIT, INIT ACK or
// SHUTDOWN COMPLETE beside another (section 6.10).
[[nodiscard]] std::optional<std::uint8_t> sctp_flags(std::span<const std::uint8_t> chunks) noexcept;

// Of an INIT or INIT ACK, the tag that its sender wants to be sent; `sctp` begins with the common header. 0: it is cut short.
[[nodiscard]] std::uint32_t sctp_initiate_tag(std::span<const std::uint8_t> sctp) noexcept;

// The checksum of a whole packet, its own field counted as zeros; `sctp` is 12 bytes or more.
[[nodiscard]] std::uint32_t sctp_checksum(std::span<const std::uint8_t> sctp) noexcept;
void set_sctp_checksum(std::span<std::uint8_t> sctp) noexcept;
[[nodiscard]] bool sctp_checksum_ok(std::span<const std::uint8_t> sctp) noexcept;

// New ports in the header at the beginning of `sctp`, which may be cut short; the checksum, if it is there, changes with
// them. `len`: of the whole SCTP packet.
void rewrite_sctp_ports(std::span<std::uint8_t> sctp, std::size_t len, std::uint16_t src_port,
                        std::uint16_t dst_port) noexcept;

}  // namespace sluice::net
