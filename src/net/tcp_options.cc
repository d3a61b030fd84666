#include "sluice/net/tcp_options.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "sluice/net/checksum.h"

namespace sluice::net {
namespace {

std::uint16_t read16(const std::uint8_t* at) noexcept { return static_cast<std::uint16_t>(at[0] << 8 | at[1]); }
std::uint32_t read32(const std::uint8_t* at) noexcept { return std::uint32_t{read16(at)} << 16 | read16(at + 2); }
void write32(std::uint8_t* at, std::uint32_t value) noexcept {
  const std::uint32_t big = Be32(value).raw();
  std::memcpy(at, &big, sizeof(big));
}
constexpr std::uint32_t bytes4(std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d) noexcept {
  return a << 24 | b << 16 | c << 8 | d;
}

void read_option(TcpOption kind, const std::uint8_t* at, std::size_t len, TcpOptions& out) noexcept {
  switch (kind) {
    case TcpOption::kMss:
      if (len == 4) out.mss = read16(at + 2);
      return;
    case TcpOption::kWindowScale:
      if (len == 3) out.window_scale = std::min(at[2], kMaxWindowScale);
      return;
    case TcpOption::kSackPermitted:
      out.sack_permitted = len == 2;
      return;
    case TcpOption::kTimestamps:
      if (len != 10) return;
      out.timestamps = true;
      out.timestamp = read32(at + 2);
      out.timestamp_echo = read32(at + 6);
      return;
    default:
      return;
  }
}

// The 20 bytes with which Linux, Android and most others open: MSS, SACK permitted, timestamps, NOP, window scale.
bool read_usual(const std::uint8_t* at, TcpOptions& out) noexcept {
  if (read16(at) != 0x0204 || read32(at + 4) != bytes4(4, 2, 8, 10) || (read32(at + 16) >> 8) != 0x010303) return false;
  out = {.mss = read16(at + 2),
         .window_scale = std::min(at[19], kMaxWindowScale),
         .sack_permitted = true,
         .timestamps = true,
         .timestamp = read32(at + 8),
         .timestamp_echo = read32(at + 12)};
  return true;
}

}  // namespace

TcpOptions parse_tcp_options(std::span<const std::uint8_t> frame, std::size_t l4_offset) noexcept {
  TcpOptions out;
  const std::uint8_t* at = frame.data() + l4_offset + sizeof(TcpHeader);
  std::size_t left = header_at<TcpHeader>(frame, l4_offset).header_len() - sizeof(TcpHeader);
  if (left == 20 && read_usual(at, out)) return out;
  while (left > 0) {
    const auto kind = static_cast<TcpOption>(at[0]);
    if (kind == TcpOption::kEnd) break;
    if (kind == TcpOption::kNop) {
      ++at;
      --left;
      continue;
    }
    if (left < 2 || at[1] < 2 || at[1] > left) break;
    const std::size_t len = at[1];
    read_option(kind, at, len, out);
    at += len;
    left -= len;
  }
  return out;
}

std::size_t write_tcp_options(std::uint8_t* out, const TcpOptions& options) noexcept {
  std::uint8_t* at = out;
  if (options.mss != 0) {
    write32(at, bytes4(2, 4, options.mss >> 8, options.mss & 0xff));
    at += 4;
  }
  if (options.timestamps) {
    write32(at, options.sack_permitted ? bytes4(4, 2, 8, 10) : bytes4(1, 1, 8, 10));
    write32(at + 4, options.timestamp);
    write32(at + 8, options.timestamp_echo);
    at += 12;
  } else if (options.sack_permitted) {
    write32(at, bytes4(1, 1, 4, 2));
    at += 4;
  }
  if (options.window_scale != kNoWindowScale) {
    write32(at, bytes4(1, 3, 3, options.window_scale));
    at += 4;
  }
  return static_cast<std::size_t>(at - out);
}

void clamp_mss(std::span<std::uint8_t> frame, std::size_t l4_offset, std::uint16_t most) noexcept {
  auto& tcp = header_at<TcpHeader>(frame, l4_offset);
  if (tcp.header_len() < sizeof(TcpHeader) || l4_offset + tcp.header_len() > frame.size()) return;
  std::uint8_t* at = frame.data() + l4_offset + sizeof(TcpHeader);
  std::size_t left = tcp.header_len() - sizeof(TcpHeader);
  while (left >= 2 && at[0] != static_cast<std::uint8_t>(TcpOption::kEnd)) {
    const bool nop = at[0] == static_cast<std::uint8_t>(TcpOption::kNop);
    const std::size_t len = nop ? 1 : at[1];
    if (len == 0 || len > left || (!nop && len < 2)) return;
    const bool size = at[0] == static_cast<std::uint8_t>(TcpOption::kMss) && len == 4;
    if (const std::uint16_t found = size ? read16(at + 2) : 0; found > most) {
      at[2] = static_cast<std::uint8_t>(most >> 8);
      at[3] = static_cast<std::uint8_t>(most);
      // The sum is of 16-bit words from the header's start: at an odd place the bytes count the other way round.
      const bool odd = ((left ^ tcp.header_len()) & 1) != 0;
      ChecksumDelta delta;
      delta.replace(Be16(odd ? std::byteswap(found) : found), Be16(odd ? std::byteswap(most) : most));
      tcp.checksum = delta.apply(tcp.checksum);
    }
    at += len;
    left -= len;
  }
}

}  // namespace sluice::net
