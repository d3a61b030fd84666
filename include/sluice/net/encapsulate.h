// The headers that a tunnel puts in front of an IP packet. Made once for a tunnel, copied in front of each packet, and
// changed where packets differ: lengths, DSCP and ECN, and the bits that spread flows.
//
//   kIpIp     IP | packet                                4 in 4, 6 in 4, 4 in 6, 6 in 6
//   kEsp      IP | ESP, made elsewhere: what is written in front of it is the IP header alone
//   kGre      IP | GRE, no options | packet
//   kGue      IP | UDP | packet                          GUE variant 1: the first nibble tells IPv4 from IPv6
//   kGueData  IP | UDP | GUE variant 0 | packet
//   kVxlan    IP | UDP | VXLAN | Ethernet | packet
//
// IPv4 is sent with DF and without an identifier, which has no meaning then (RFC 6864 section 4.1). UDP has no checksum:
// RFC 768 for IPv4; for IPv6 RFC 6935 and RFC 6936 allow it to tunnels, whose packets have checksums of their own.
// Threading: pure functions and values.
// Units:     ports, lengths and VNI in host order.
// Spec:      RFC 2003, RFC 2473, RFC 4213 (IP in IP), RFC 2784 (GRE), draft-ietf-intarea-gue (GUE), RFC 7348 (VXLAN),
//            RFC 6040 section 4.1 normal mode (DSCP and ECN are copied), RFC 6438 (flow label).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "sluice/net/address.h"
#include "sluice/net/checksum.h"
#include "sluice/net/parse.h"
#include "sluice/net/wire.h"

namespace sluice::net {

enum class Encapsulation : std::uint8_t { kIpIp, kEsp, kGre, kGue, kGueData, kVxlan };

struct TunnelEnds {
  Encapsulation kind = Encapsulation::kIpIp;
  Family inner = Family::kIp4;   // of the packets: kIp4 | kIp6
  IpAddress src;                 // of the outer header, of one family with `dst`
  std::uint32_t src_spread = 0;  // bits of the last 32 of `src` that are the flow's; 0 there in `src`
  IpAddress dst;
  std::uint8_t ttl = 64;
  std::uint16_t port = 0;  // kGue, kGueData, kVxlan: UDP destination
  std::uint32_t vni = 0;   // kVxlan, as all below: 24 bits
  MacAddress inner_src, inner_dst;
};

// By what the packets of a flow are told from others' outside: the source port or address of the outer header and its
// flow label. Not secret: what receives the tunnel may compute it.
[[nodiscard]] constexpr std::uint32_t spread_hash(const IpAddress& client, std::uint16_t client_port) noexcept {
  const std::array<std::uint64_t, 2> words = client.words();
  const std::uint64_t mixed = (words[0] ^ std::rotl(words[1], 32) ^ client_port) * 0x9e3779b97f4a7c15u;
  return static_cast<std::uint32_t>(((mixed ^ (mixed >> 32)) * 0xd6e8feb86659fd93u) >> 32);
}

class EncapsulationHeader {
 public:
  static constexpr std::size_t kMaxBytes = 70;  // VXLAN over IPv6
  // In front of the packet there must be room for so much, of which size() bytes are the header and the rest is undefined.
  static constexpr std::size_t kRoom = 80;

  EncapsulationHeader() = default;
  explicit EncapsulationHeader(const TunnelEnds& ends) noexcept;

  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  // Writes the header in front of `packet`, whose first byte stands there: an IP packet of `len` bytes, with size() at
  // most 65,535. `traffic_class` is the packet's DSCP and ECN; `spread` the flow's spread_hash().
  [[gnu::always_inline]] void write(std::uint8_t* packet, std::size_t len, std::uint8_t traffic_class,
                                    std::uint32_t spread) const noexcept {
    // In two pieces of fixed size: a copy of any length is a call.
    std::memcpy(packet - kNear, bytes_.data() + kRoom - kNear, kNear);
    std::uint8_t* outer = packet - size_;
    if (plain_ip4_) [[likely]]
      return finish_ip4(outer, len, traffic_class, 0);
    if (size_ > kNear) std::memcpy(packet - kRoom, bytes_.data(), kRoom - kNear);
    if (outer4_) {
      finish_ip4(outer, len, traffic_class, spread & src_spread_);
    } else {
      finish_ip6(outer, len, traffic_class, spread);
    }
    if (udp_at_ == 0) return;
    auto& udp = *reinterpret_cast<UdpHeader*>(outer + udp_at_);
    udp.src_port = static_cast<std::uint16_t>(kFirstPort | spread >> 18);
    udp.len = static_cast<std::uint16_t>(size_ + len - udp_at_);
  }

 private:
  static constexpr std::size_t kNear = 32;             // holds all of IP in IPv4, GRE and GUE over IPv4
  static constexpr std::uint16_t kFirstPort = 0xc000;  // 49152..65535: RFC 7348 section 5, RFC 6335 section 6

  // Nothing is read of what was written just now: that would wait until it is in the cache. `flow_bits`: of the source.
  [[gnu::always_inline]] void finish_ip4(std::uint8_t* outer, std::size_t len, std::uint8_t traffic_class,
                                         std::uint32_t flow_bits) const noexcept {
    const auto& made = *reinterpret_cast<const Ip4Header*>(bytes_.data() + kRoom - size_);
    auto& ip = *reinterpret_cast<Ip4Header*>(outer);
    ip.dscp_ecn = traffic_class;
    const Be16 total(static_cast<std::uint16_t>(size_ + len));
    ip.total_len = total;
    const Be32 bits(flow_bits);
    ip.src = Be32::from_raw(made.src.raw() | bits.raw());
    // From the header with a length of 0, a traffic class of 0 and no bits of a flow: those add to its sum, no more than five
    // words of 16 bits, and adding the carries twice leaves none.
    std::uint32_t sum = static_cast<std::uint16_t>(~made.checksum.raw());
    sum += Be16(std::uint16_t{traffic_class}).raw();
    sum += total.raw();
    sum += (bits.raw() & 0xffff) + (bits.raw() >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum += sum >> 16;
    ip.checksum = Be16::from_raw(static_cast<std::uint16_t>(~sum));
  }
  void finish_ip6(std::uint8_t* outer, std::size_t len, std::uint8_t traffic_class,
                  std::uint32_t spread) const noexcept {
    auto& ip = *reinterpret_cast<Ip6Header*>(outer);
    ip.version_class_flow = 6u << 28 | std::uint32_t{traffic_class} << 20 | (spread & 0xfffffu);
    ip.payload_len = static_cast<std::uint16_t>(size_ + len - sizeof(Ip6Header));
    if (src_spread_ == 0) return;
    std::uint32_t low = 0;
    std::memcpy(&low, ip.src.data() + 12, 4);
    low |= Be32(spread & src_spread_).raw();
    std::memcpy(ip.src.data() + 12, &low, 4);
  }

  std::array<std::uint8_t, kRoom> bytes_{};  // ends with the header, as it is before the packet
  std::uint32_t src_spread_ = 0;
  std::uint8_t size_ = 0;
  std::uint8_t udp_at_ = 0;  // 0: there is no UDP
  bool outer4_ = true;
  bool plain_ip4_ = false;  // IPv4, in kNear, no UDP, one source address: no bit of the flow is in it
};

// DSCP and ECN of an IP header.
[[nodiscard]] inline std::uint8_t traffic_class_of(const std::uint8_t* ip, Family family) noexcept {
  if (family == Family::kIp4) return ip[1];
  return static_cast<std::uint8_t>(ip[0] << 4 | ip[1] >> 4);
}

}  // namespace sluice::net
