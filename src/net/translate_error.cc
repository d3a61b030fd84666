// ICMP errors between the families: the tables of RFC 7915 sections 4.2 and 5.2, and the packet that an error quotes.
#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "sluice/net/build.h"
#include "sluice/net/sctp.h"
#include "sluice/net/translate.h"
#include "translated_ip.h"

namespace sluice::net {
namespace {

using Bytes = std::span<const std::uint8_t>;

// The first 8 bytes of an error, but for its checksum.
struct ErrorHead {
  std::uint8_t type;
  std::uint8_t code;
  std::uint32_t rest = 0;
};
using Translated = std::optional<ErrorHead>;  // nullopt: the other family has no such error

constexpr std::uint8_t type_of(IcmpType type) noexcept { return static_cast<std::uint8_t>(type); }
constexpr std::uint8_t type_of(Icmpv6Type type) noexcept { return static_cast<std::uint8_t>(type); }

// RFC 1191 section 7: a router that gives no MTU has one of these; the largest that is below the packet.
std::uint32_t plateau_below(std::uint32_t packet_len) noexcept {
  constexpr std::array<std::uint16_t, 10> kPlateaus = {32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68};
  const auto at = std::ranges::find_if(kPlateaus, [&](std::uint16_t plateau) { return plateau < packet_len; });
  return at == kPlateaus.end() ? kPlateaus.back() : *at;
}

// Where a field of the quoted header lies in the other header; a field that the other lacks is 0xff.
constexpr std::uint8_t kNoField = 0xff;
constexpr std::array<std::uint8_t, 20> kIp6FieldOf = {0,        1, 4,  4,        kNoField, kNoField, kNoField,
                                                      kNoField, 7, 6,  kNoField, kNoField, 8,        8,
                                                      8,        8, 24, 24,       24,       24};  // RFC 7915 figure 3
std::uint8_t ip4_field_of(std::uint32_t pointer) noexcept {                                      // figure 6
  if (pointer < 2) return static_cast<std::uint8_t>(pointer);
  if (pointer == 4 || pointer == 5) return 2;
  if (pointer == 6) return 9;
  if (pointer == 7) return 8;
  if (pointer >= 8 && pointer < 24) return 12;
  if (pointer >= 24 && pointer < 40) return 16;
  return kNoField;
}

Translated unreachable6(std::uint8_t code, std::uint32_t rest, std::uint32_t quoted_len,
                        const ErrorMtus& mtus) noexcept {
  constexpr std::uint8_t kType = type_of(Icmpv6Type::kUnreachable);
  constexpr std::uint8_t kNoRoute = 0, kProhibited = 1, kPort = 4;
  switch (code) {
    case 2: {  // protocol: the next header field is what the host has no use for
      constexpr std::uint8_t kNextHeaderUnknown = 1;
      return ErrorHead{type_of(Icmpv6Type::kParameterProblem), kNextHeaderUnknown, 6};
    }
    case 3:
      return ErrorHead{kType, kPort};
    case 4: {
      const std::uint32_t said = rest & 0xffff;
      const std::uint32_t mtu = said != 0 ? said : plateau_below(quoted_len);
      constexpr std::uint32_t kGrowth = kTranslationGrowth;
      const std::uint32_t least = std::min({mtu + kGrowth, std::uint32_t{mtus.of_other}, mtus.of_error + kGrowth});
      return ErrorHead{type_of(Icmpv6Type::kPacketTooBig), 0, std::max(least, std::uint32_t{kMinIp6Mtu})};
    }
    case 9:
    case 10:
    case 13:
    case 15:
      return ErrorHead{kType, kProhibited};
    case 0:
    case 1:
    case 5:
    case 6:
    case 7:
    case 8:
    case 11:
    case 12:
      return ErrorHead{kType, kNoRoute};
    default:
      return std::nullopt;
  }
}

// RFC 7915 section 4.2.
Translated to_icmp6(const Parsed& error, std::uint32_t rest, std::uint32_t quoted_len, const ErrorMtus& mtus) noexcept {
  switch (static_cast<IcmpType>(error.icmp_type)) {
    case IcmpType::kUnreachable:
      return unreachable6(error.icmp_code, rest, quoted_len, mtus);
    case IcmpType::kTimeExceeded:
      return ErrorHead{type_of(Icmpv6Type::kTimeExceeded), error.icmp_code};
    case IcmpType::kParameterProblem: {
      constexpr std::uint8_t kPointer = 0, kBadLength = 2;
      const std::uint32_t pointer = rest >> 24;
      if ((error.icmp_code != kPointer && error.icmp_code != kBadLength) || pointer >= kIp6FieldOf.size() ||
          kIp6FieldOf[pointer] == kNoField)
        return std::nullopt;
      return ErrorHead{type_of(Icmpv6Type::kParameterProblem), 0, kIp6FieldOf[pointer]};
    }
    default:
      return std::nullopt;
  }
}

// RFC 7915 section 5.2.
Translated to_icmp4(const Parsed& error, std::uint32_t rest, const ErrorMtus& mtus) noexcept {
  constexpr std::uint8_t kHost = 1, kProtocol = 2, kPort = 3, kTooBig = 4, kProhibited = 10;
  constexpr std::uint8_t kUnreachable = type_of(IcmpType::kUnreachable);
  switch (static_cast<Icmpv6Type>(error.icmp_type)) {
    case Icmpv6Type::kUnreachable:
      switch (error.icmp_code) {
        case 0:
        case 2:
        case 3:
          return ErrorHead{kUnreachable, kHost};
        case 1:
          return ErrorHead{kUnreachable, kProhibited};
        case 4:
          return ErrorHead{kUnreachable, kPort};
        default:
          return std::nullopt;
      }
    case Icmpv6Type::kPacketTooBig: {
      const auto less = [](std::uint32_t mtu) { return mtu - std::min<std::uint32_t>(mtu, kTranslationGrowth); };
      const std::uint32_t mtu = std::min({less(rest), std::uint32_t{mtus.of_other}, less(mtus.of_error)});
      return ErrorHead{kUnreachable, kTooBig, mtu};
    }
    case Icmpv6Type::kTimeExceeded:
      return ErrorHead{type_of(IcmpType::kTimeExceeded), error.icmp_code};
    case Icmpv6Type::kParameterProblem:
      if (error.icmp_code == 1) return ErrorHead{kUnreachable, kProtocol};
      if (error.icmp_code != 0 || ip4_field_of(rest) == kNoField) return std::nullopt;
      return ErrorHead{type_of(IcmpType::kParameterProblem), 0, std::uint32_t{ip4_field_of(rest)} << 24};
    default:
      return std::nullopt;
  }
}

// Where the quoted packet ends, or is cut off: RFC 4884 section 4 has its length where extensions follow, in the second
// byte of the rest and in units of 4 bytes over IPv4, in the first and in units of 8 over IPv6. (A packet too big of IPv6
// has its MTU there, and no extensions.)
std::size_t end_of_quote(const Parsed& error, std::uint32_t rest) noexcept {
  std::size_t len = 0;
  if (error.family == Family::kIp4) {
    len = (rest >> 16 & 0xff) * 4u;
  } else if (error.icmp_type != type_of(Icmpv6Type::kPacketTooBig) &&
             error.icmp_type != type_of(Icmpv6Type::kParameterProblem)) {
    len = (rest >> 24) * 8u;
  }
  return len == 0 ? error.end : std::min<std::size_t>(error.end, error.payload_offset + len);
}

// What the header says of the whole quoted packet, of which the quote may be a part.
struct QuotedHead {
  std::uint8_t traffic_class;
  std::size_t l4_len;
};
QuotedHead head_of(Bytes frame, const Parsed& quoted) noexcept {
  const std::size_t before_l4 = quoted.l4_offset - quoted.l3_offset;
  if (quoted.family == Family::kIp4) {
    const auto& ip = header_at<Ip4Header>(frame, quoted.l3_offset);
    const std::size_t len = ip.total_len.host();
    return {ip.dscp_ecn, len - std::min(len, before_l4)};
  }
  const auto& ip = header_at<Ip6Header>(frame, quoted.l3_offset);
  const std::size_t len = ip.payload_len.host() + sizeof(Ip6Header);
  return {static_cast<std::uint8_t>(ip.version_class_flow.host() >> 20), len - std::min(len, before_l4)};
}

// Ports, and as much of the checksum as is there, of the quoted packet's layer 4 at `l4`.
void rewrite_quoted(std::span<std::uint8_t> l4, const Parsed& quoted, std::size_t whole_len,
                    const IcmpErrorTuple& to) noexcept {
  if (quoted.proto == IpProto::kSctp) return rewrite_sctp_ports(l4, whole_len, to.quoted_src.port, to.quoted_dst.port);
  ChecksumDelta delta;
  delta.replace_family(quoted.src, to.quoted_src.address);
  delta.replace_family(quoted.dst, to.quoted_dst.address);
  rewrite_ports(l4, 0, to.quoted_src.port, to.quoted_dst.port, delta);
  if (quoted.proto == IpProto::kUdp) {
    auto& udp = header_at<UdpHeader>(l4, 0);
    udp.checksum = delta.apply_udp(udp.checksum);
  } else if (l4.size() >= offsetof(TcpHeader, urgent)) {
    auto& tcp = header_at<TcpHeader>(l4, 0);
    tcp.checksum = delta.apply(tcp.checksum);
  }
}

}  // namespace

std::size_t translate_icmp_error(std::span<std::uint8_t> out, Bytes frame, const Parsed& error, const Parsed& quoted,
                                 const IcmpErrorTuple& to, const ErrorMtus& mtus) noexcept {
  const bool to_ip6 = error.family == Family::kIp4;
  const std::size_t ip_len = to_ip6 ? sizeof(Ip6Header) : sizeof(Ip4Header);
  const std::uint32_t rest = header_at<IcmpHeader>(frame, error.l4_offset).rest.host();
  const QuotedHead quoted_head = head_of(frame, quoted);
  const std::size_t quoted_len = quoted_head.l4_len + quoted.l4_offset - quoted.l3_offset;
  const Translated head =
      to_ip6 ? to_icmp6(error, rest, static_cast<std::uint32_t>(quoted_len), mtus) : to_icmp4(error, rest, mtus);
  const std::size_t quote_end = end_of_quote(error, rest);
  constexpr std::size_t kPortsAndMore = sizeof(UdpHeader);  // what parse_quoted() has seen of layer 4
  if (!head || !has_ports(quoted.proto) || quote_end < quoted.l4_offset + kPortsAndMore) return 0;

  const std::size_t icmp_at = sizeof(EthernetHeader) + ip_len;
  const std::size_t l4_at = icmp_at + sizeof(IcmpHeader) + ip_len;
  const std::size_t bound = sizeof(EthernetHeader) + (to_ip6 ? kMaxIcmp6ErrorBytes : kMaxIcmp4ErrorBytes);
  const std::size_t l4_len = std::min(quote_end - quoted.l4_offset, bound - l4_at);
  const std::span<std::uint8_t> l4 = out.subspan(l4_at, l4_len);
  std::memcpy(l4.data(), frame.data() + quoted.l4_offset, l4_len);
  rewrite_quoted(l4, quoted, quoted_head.l4_len, to);
  const TranslatedIp inner{.traffic_class = quoted_head.traffic_class,
                           .l4_len = quoted_head.l4_len,
                           .ttl = quoted.ttl,  // as it was when the error was made
                           .proto = quoted.proto,
                           .src = to.quoted_src.address,
                           .dst = to.quoted_dst.address};
  const std::size_t message_len = sizeof(IcmpHeader) + ip_len + l4_len;
  const TranslatedIp outer{.traffic_class = head_of(frame, error).traffic_class,
                           .l4_len = message_len,
                           .ttl = static_cast<std::uint8_t>(error.ttl - 1),
                           .proto = to_ip6 ? IpProto::kIcmpv6 : IpProto::kIcmp,
                           .src = to.src,
                           .dst = to.dst};
  auto& icmp = header_at<IcmpHeader>(out, icmp_at);
  icmp = {.type = head->type, .code = head->code, .checksum = Be16(0), .rest = Be32(head->rest)};
  const std::span<const std::uint8_t> message = out.subspan(icmp_at, message_len);
  if (to_ip6) {
    write_ip6(inner, header_before<Ip6Header>(l4.data()));
    icmp.checksum = l4_checksum(to.src, to.dst, IpProto::kIcmpv6, message);
    write_ip6(outer, header_at<Ip6Header>(out, sizeof(EthernetHeader)));
  } else {
    write_ip4(inner, Be16(0), header_before<Ip4Header>(l4.data()));
    icmp.checksum = checksum(message);
    write_ip4(outer, icmp.checksum, header_at<Ip4Header>(out, sizeof(EthernetHeader)));
  }
  return icmp_at + message_len;
}

}  // namespace sluice::net
