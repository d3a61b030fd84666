// Packets for tests, built field by field and on their own (no code of net is used), so that a test row says what is
// special about its packet: ip4("192.0.2.1", "198.51.100.7").ttl(1).tcp(40000, 443).
// Checksums are right unless a row breaks them: set_ip() and set_l4() change bytes before, set() after they are made.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/net/address.h"
#include "sluice/net/wire.h"

namespace sluice::test {

using Bytes = std::vector<std::uint8_t>;

// From "00 1a 2b", spaces and line breaks anywhere.
[[nodiscard]] Bytes from_hex(std::string_view text);
[[nodiscard]] std::string to_hex(const std::uint8_t* data, std::size_t size);

// Two bytes at a time, as RFC 1071 section 1 words it: slow and plain.
[[nodiscard]] std::uint16_t naive_checksum(const Bytes& bytes, std::uint32_t start = 0);
// Bit by bit, as RFC 9260 appendix A words it.
[[nodiscard]] std::uint32_t naive_crc32c(const Bytes& bytes);
[[nodiscard]] Bytes sctp_chunk(std::uint8_t type, std::uint8_t flags = 0, Bytes value = {});  // padded

class PacketBuilder {
 public:
  PacketBuilder(const char* src, const char* dst);

  // Link layer. The default is from 02:00:00:00:00:01 to 02:00:00:00:00:02, without a tag.
  PacketBuilder& link(const net::MacAddress& src, const net::MacAddress& dst);
  PacketBuilder& vlan(std::uint16_t id);
  PacketBuilder& ether_type(std::uint16_t type);
  PacketBuilder& pad(std::size_t frame_bytes);  // zeros behind the packet
  PacketBuilder& cut(std::size_t frame_bytes);  // the frame ends here, whatever its headers say

  // IP.
  PacketBuilder& ttl(std::uint8_t ttl);
  PacketBuilder& options(Bytes options);  // IPv4; a multiple of 4 bytes
  PacketBuilder& fragment(std::uint16_t offset_bytes, bool more, std::uint32_t id = 0x1234);
  PacketBuilder& extension(std::uint8_t kind, Bytes body);  // IPv6; without its next header and length
  PacketBuilder& set_ip(std::size_t offset, std::uint8_t value);

  // Layer 4; the last of them counts.
  PacketBuilder& tcp(std::uint16_t src, std::uint16_t dst, std::uint8_t flags = net::kTcpSyn,
                     std::uint32_t sequence = 1, std::uint32_t acknowledgment = 0, Bytes payload = {});
  PacketBuilder& tcp_window(std::uint16_t window);
  PacketBuilder& tcp_options(Bytes options);  // a multiple of 4 bytes
  PacketBuilder& udp(std::uint16_t src, std::uint16_t dst, Bytes payload = {});
  PacketBuilder& icmp(std::uint8_t type, std::uint8_t code, std::uint32_t rest = 0, Bytes payload = {});
  PacketBuilder& sctp(std::uint16_t src, std::uint16_t dst, std::uint32_t tag, Bytes chunks);
  PacketBuilder& payload(net::IpProto proto, Bytes bytes);  // as it is, without a checksum
  PacketBuilder& set_l4(std::size_t offset, std::uint8_t value);
  PacketBuilder& no_checksum();  // layer 4's stays 0

  PacketBuilder& set(std::size_t frame_offset, std::uint8_t value);  // last of all

  [[nodiscard]] Bytes frame() const;
  [[nodiscard]] Bytes ip_packet() const;  // without the link layer and its padding

 private:
  using Patch = std::pair<std::size_t, std::uint8_t>;
  [[nodiscard]] Bytes finished_l4() const;

  net::IpAddress src_, dst_;
  net::MacAddress link_src_{{2, 0, 0, 0, 0, 1}}, link_dst_{{2, 0, 0, 0, 0, 2}};
  std::uint16_t vlan_ = 0;
  std::uint16_t ether_type_ = 0;
  std::size_t pad_ = 0, cut_ = 0;
  std::uint8_t ttl_ = 64;
  Bytes options_;
  std::uint16_t fragment_ = 0;
  std::uint32_t fragment_id_ = 0;
  bool fragmented_ = false;
  std::vector<std::pair<std::uint8_t, Bytes>> extensions_;
  std::uint8_t proto_ = 59;  // no next header
  Bytes l4_;
  std::size_t checksum_at_ = 0;  // 0: none
  bool pseudo_header_ = true;
  bool crc32c_ = false;  // SCTP's checksum rather than the Internet's
  std::vector<Patch> ip_patches_, l4_patches_, patches_;
};

[[nodiscard]] inline PacketBuilder ip4(const char* src, const char* dst) { return {src, dst}; }
[[nodiscard]] inline PacketBuilder ip6(const char* src, const char* dst) { return {src, dst}; }

}  // namespace sluice::test
