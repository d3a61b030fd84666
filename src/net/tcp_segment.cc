#include "sluice/net/tcp_segment.h"

#include <array>
#include <cstring>

namespace sluice::net {
namespace {

constexpr std::uint8_t kTtl = 64;
constexpr std::uint32_t kTcp = static_cast<std::uint32_t>(IpProto::kTcp);
constexpr std::size_t kWords = (sizeof(TcpHeader) + kMaxTcpOptionBytes) / 4;

// Words as they lie in memory. Headers are made in registers and summed there: bytes that are written in pieces and read
// back in words, as a checksum does, stall.
using TcpWords = std::array<std::uint32_t, kWords>;

std::uint32_t big(std::uint32_t value) noexcept { return Be32(value).raw(); }
std::uint32_t word(std::uint32_t upper, std::uint32_t lower) noexcept { return big(upper << 16 | lower); }

std::uint16_t folded(std::uint64_t sum) noexcept {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~((sum & 0xffff) + (sum >> 16)));
}

// Behind the first five; gives how many there are.
std::size_t put_options(TcpWords& words, const TcpOptions& options) noexcept {
  std::array<std::uint8_t, kMaxTcpOptionBytes> bytes{};
  if (options.mss != 0 && options.timestamps && options.sack_permitted && options.window_scale != kNoWindowScale)
      [[likely]] {
    words[5] = word(0x0204, options.mss);
    words[6] = big(0x0402080a);
    words[7] = big(options.timestamp);
    words[8] = big(options.timestamp_echo);
    words[9] = big(0x01030300u | options.window_scale);
    return 5;
  }
  const std::size_t len = write_tcp_options(bytes.data(), options);
  std::memcpy(words.data() + 5, bytes.data(), bytes.size());
  return len / 4;
}

void put_ip4(std::uint8_t* out, const TcpSegment& segment, std::size_t l4_len) noexcept {
  std::array<std::uint32_t, 5> words{word(0x4500, static_cast<std::uint32_t>(sizeof(Ip4Header) + l4_len)),
                                     word(0, kIp4DontFragment),  // with DF the identifier has no meaning (RFC 6864)
                                     word(std::uint32_t{kTtl} << 8 | kTcp, 0), segment.src.address.v4().raw(),
                                     segment.dst.address.v4().raw()};
  std::uint64_t sum = 0;
  for (const std::uint32_t one : words) sum += one;
  words[2] |= std::uint32_t{folded(sum)} << 16;
  std::memcpy(out, words.data(), sizeof(words));
}

void put_ip6(std::uint8_t* out, const TcpSegment& segment, std::size_t l4_len) noexcept {
  const std::array<std::uint32_t, 2> words{big(6u << 28), word(static_cast<std::uint32_t>(l4_len), kTcp << 8 | kTtl)};
  std::memcpy(out, words.data(), sizeof(words));
  std::memcpy(out + 8, segment.src.address.bytes().data(), 16);
  std::memcpy(out + 24, segment.dst.address.bytes().data(), 16);
}

std::uint64_t sum_of(const IpAddress& address, bool v4) noexcept {
  const auto words = address.words();
  if (v4) return words[1] >> 32;
  return (words[0] & 0xffffffff) + (words[0] >> 32) + (words[1] & 0xffffffff) + (words[1] >> 32);
}

}  // namespace

std::size_t write_tcp_segment(std::span<std::uint8_t> frame, std::size_t l3_offset,
                              const TcpSegment& segment) noexcept {
  TcpWords words{word(segment.src.port, segment.dst.port), big(segment.sequence), big(segment.acknowledgment)};
  const std::size_t len = sizeof(TcpHeader) + put_options(words, segment.options) * 4;
  words[3] = word(static_cast<std::uint32_t>(len / 4) << 12 | segment.flags, segment.window);
  const bool v4 = segment.src.address.is_v4();
  std::uint64_t sum =
      sum_of(segment.src.address, v4) + sum_of(segment.dst.address, v4) + word(kTcp, static_cast<std::uint32_t>(len));
  for (const std::uint32_t one : words) sum += one;
  words[4] = folded(sum);
  std::uint8_t* ip = frame.data() + l3_offset;
  const std::size_t ip_len = v4 ? sizeof(Ip4Header) : sizeof(Ip6Header);
  if (v4) {
    put_ip4(ip, segment, len);
  } else {
    put_ip6(ip, segment, len);
  }
  if (len == sizeof(words)) [[likely]] {  // of a constant size it is a few moves
    std::memcpy(ip + ip_len, words.data(), sizeof(words));
  } else {
    std::memcpy(ip + ip_len, words.data(), len);  // nothing behind the segment's end
  }
  return l3_offset + ip_len + len;
}

}  // namespace sluice::net
