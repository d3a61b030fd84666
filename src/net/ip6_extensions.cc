#include "ip6_extensions.h"

#include "sluice/net/wire.h"

namespace sluice::net {
namespace {

enum : std::uint8_t { kHopByHop = 0, kRouting = 43, kDestinationOptions = 60 };

}  // namespace

Ip6Chain walk_extensions(std::span<const std::uint8_t> packet, std::size_t offset, std::uint8_t next) noexcept {
  Ip6Chain chain;
  const std::size_t start = offset;
  for (std::size_t headers = 0;; ++headers) {
    const bool extension =
        next == kHopByHop || next == kRouting || next == kIp6FragmentHeader || next == kDestinationOptions;
    // Behind the header of a later fragment lies the middle of something.
    if (!extension || chain.fragment_offset != 0) break;
    if (headers == kMaxExtensions) {
      chain.error = ParseError::kExtensionLimit;
      return chain;
    }
    if (next == kHopByHop && headers != 0) {  // RFC 8200 section 4.1: first or nowhere
      chain.error = ParseError::kExtensionUnknown;
      return chain;
    }
    if (packet.size() < offset + 8) {
      chain.error = ParseError::kExtensionTruncated;
      return chain;
    }
    const auto& header = header_at<Ip6Extension>(packet, offset);
    std::size_t len = 8;
    if (next == kIp6FragmentHeader) {
      if (chain.fragmented) {
        chain.error = ParseError::kExtensionUnknown;
        return chain;
      }
      const auto& fragment = header_at<Ip6Fragment>(packet, offset);
      chain.fragmented = true;
      chain.more_fragments = (fragment.offset_more.host() & 1) != 0;
      chain.fragment_offset = fragment.offset_more.host() & 0xfff8;
      chain.fragment_id = fragment.id.host();
      chain.fragment_at = offset + sizeof(Ip6Fragment);
    } else {
      len = (header.len + 1u) * 8u;
      if (next == kRouting && packet[offset + 2] == 0) {  // RFC 5095: type 0 is not processed
        chain.error = ParseError::kExtensionUnknown;
        return chain;
      }
      chain.segments_left |= next == kRouting && packet[offset + 3] != 0;
    }
    next = header.next_header;
    offset += len;
    if (offset > packet.size()) {
      chain.error = ParseError::kExtensionTruncated;
      return chain;
    }
    if (offset - start > kMaxExtensionBytes) {
      chain.error = ParseError::kExtensionLimit;
      return chain;
    }
  }
  chain.proto = next;
  chain.offset = offset;
  return chain;
}

}  // namespace sluice::net
