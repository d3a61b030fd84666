#include "sluice/net/fragment.h"

#include <algorithm>
#include <cstring>

#include "sluice/net/checksum.h"

namespace sluice::net {
namespace {

constexpr std::uint8_t kCopied = 0x80;  // of an option's type
constexpr std::uint8_t kEndOfOptions = 0, kNoOperation = 1;

// The header of a later fragment: options that say so are copied, the others are for the first one (RFC 791 section 3.1).
// Returns its length.
std::size_t put_later_header(std::span<std::uint8_t> out, std::span<const std::uint8_t> header) noexcept {
  std::memcpy(out.data(), header.data(), sizeof(Ip4Header));
  std::size_t len = sizeof(Ip4Header);
  for (std::size_t at = sizeof(Ip4Header); at < header.size() && header[at] != kEndOfOptions;) {
    if (header[at] == kNoOperation) {
      ++at;
      continue;
    }
    if (at + 1 >= header.size()) break;
    const std::size_t size = header[at + 1];
    if (size < 2 || at + size > header.size()) break;
    if ((header[at] & kCopied) != 0) {
      std::memcpy(out.data() + len, header.data() + at, size);
      len += size;
    }
    at += size;
  }
  while (len % 4 != 0) out[len++] = kEndOfOptions;
  return len;
}

}  // namespace

Cut cut_ip4(std::span<std::uint8_t> out, std::span<const std::uint8_t> packet, std::size_t done,
            std::size_t mtu) noexcept {
  const auto& whole = header_at<Ip4Header>(packet, 0);
  const std::span<const std::uint8_t> header = packet.first(whole.header_len());
  const std::span<const std::uint8_t> left = packet.subspan(header.size() + done);
  std::size_t header_len = header.size();
  if (done == 0) {
    std::memcpy(out.data(), header.data(), header.size());
  } else {
    header_len = put_later_header(out, header);
  }
  const bool last = left.size() <= mtu - header_len;
  const std::size_t payload = last ? left.size() : (mtu - header_len) & ~std::size_t{7};
  std::memcpy(out.data() + header_len, left.data(), payload);

  auto& ip = header_at<Ip4Header>(out, 0);
  const std::uint16_t flags = whole.fragment.host();
  const bool more = !last || (flags & kIp4MoreFragments) != 0;
  ip.version_ihl = static_cast<std::uint8_t>(0x40 | header_len / 4);
  ip.total_len = static_cast<std::uint16_t>(header_len + payload);
  ip.fragment = static_cast<std::uint16_t>((flags & ~kIp4MoreFragments) + done / 8 + (more ? kIp4MoreFragments : 0));
  ip.checksum = 0;
  ip.checksum = checksum(out.first(header_len));
  return {.bytes = header_len + payload, .payload = payload};
}

Cut cut_ip6(std::span<std::uint8_t> out, std::span<const std::uint8_t> packet, std::size_t done, std::size_t mtu,
            std::uint32_t id) noexcept {
  constexpr std::size_t kHeaders = sizeof(Ip6Header) + sizeof(Ip6Fragment);
  const std::span<const std::uint8_t> left = packet.subspan(sizeof(Ip6Header) + done);
  const bool last = left.size() <= mtu - kHeaders;
  const std::size_t payload = last ? left.size() : (mtu - kHeaders) & ~std::size_t{7};
  std::memcpy(out.data(), packet.data(), sizeof(Ip6Header));
  auto& ip = header_at<Ip6Header>(out, 0);
  auto& fragment = header_at<Ip6Fragment>(out, sizeof(Ip6Header));
  fragment = {.next_header = ip.next_header,
              .reserved = 0,
              .offset_more = Be16(static_cast<std::uint16_t>(done | (last ? 0 : 1))),
              .id = Be32(id)};
  ip.next_header = kIp6FragmentHeader;
  ip.payload_len = static_cast<std::uint16_t>(sizeof(Ip6Fragment) + payload);
  std::memcpy(out.data() + kHeaders, left.data(), payload);
  return {.bytes = kHeaders + payload, .payload = payload};
}

void permit_cut(std::span<std::uint8_t> packet, std::uint16_t id) noexcept {
  auto& ip = header_at<Ip4Header>(packet, 0);
  ip.id = id;
  ip.fragment = static_cast<std::uint16_t>(ip.fragment.host() & ~kIp4DontFragment);
  ip.checksum = 0;
  ip.checksum = checksum(packet.first(ip.header_len()));
}

std::size_t make_whole(std::span<std::uint8_t> packet, std::size_t at, std::size_t payload) noexcept {
  if (packet[0] >> 4 == 4) {
    auto& ip = header_at<Ip4Header>(packet, 0);
    ip.total_len = static_cast<std::uint16_t>(at + payload);
    ip.fragment = 0;
    ip.checksum = 0;
    ip.checksum = checksum(packet.first(at));
    return 0;
  }
  // The fragment header lies right before its part; what names it is the next header field of the one before.
  auto& ip = header_at<Ip6Header>(packet, 0);
  const std::size_t fragment_header = at - sizeof(Ip6Fragment);
  std::uint8_t* names_next = &ip.next_header;
  for (std::size_t header = sizeof(Ip6Header); header < fragment_header;) {
    auto& extension = header_at<Ip6Extension>(packet, header);
    names_next = &extension.next_header;
    header += (extension.len + 1u) * 8u;
  }
  *names_next = packet[fragment_header];
  ip.payload_len = static_cast<std::uint16_t>(fragment_header - sizeof(Ip6Header) + payload);
  std::memmove(packet.data() + sizeof(Ip6Fragment), packet.data(), fragment_header);
  return sizeof(Ip6Fragment);
}

}  // namespace sluice::net
