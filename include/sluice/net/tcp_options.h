// TCP options as a middlebox sees them: what the two ends tell each other in SYN and SYN-ACK, and timestamps.
// Threading: pure functions.
// Spec:      RFC 9293 section 3.1 (MSS), RFC 7323 (window scale, timestamps), RFC 2018 (SACK).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "sluice/net/wire.h"

namespace sluice::net {

enum class TcpOption : std::uint8_t {
  kEnd = 0,
  kNop = 1,
  kMss = 2,
  kWindowScale = 3,
  kSackPermitted = 4,
  kSack = 5,
  kTimestamps = 8,
};

inline constexpr std::uint8_t kNoWindowScale = 15;  // RFC 7323 section 2.3: 14 is the most
inline constexpr std::uint8_t kMaxWindowScale = 14;

struct TcpOptions {
  std::uint16_t mss = 0;  // 0: not said
  std::uint8_t window_scale = kNoWindowScale;
  bool sack_permitted = false;
  bool timestamps = false;
  std::uint32_t timestamp = 0, timestamp_echo = 0;

  bool operator==(const TcpOptions&) const noexcept = default;
};

// Of the header that begins at `l4_offset`, which parse() has judged. A malformed option ends the list.
[[nodiscard]] TcpOptions parse_tcp_options(std::span<const std::uint8_t> frame, std::size_t l4_offset) noexcept;

// As Linux orders them: MSS; SACK permitted and timestamps; window scale. Those that `options` does not have are left out:
// without timestamps SACK permitted stands alone. `out` has kMaxTcpOptionBytes; gives their length, a multiple of 4.
inline constexpr std::size_t kMaxTcpOptionBytes = 20;
std::size_t write_tcp_options(std::uint8_t* out, const TcpOptions& options) noexcept;

// Of a whole SYN: an MSS that is larger than `most` becomes `most`, and the checksum follows; each of several, since
// receivers differ in which they take. A SYN that says none is left as it is, and so is what a malformed option hides.
void clamp_mss(std::span<std::uint8_t> frame, std::size_t l4_offset, std::uint16_t most) noexcept;

}  // namespace sluice::net
