#include "sluice/net/quic.h"

#include <cstddef>

#include "sluice/net/wire.h"

namespace sluice::net {
namespace {

constexpr std::uint8_t kLongHeader = 0x80;
constexpr std::uint32_t kVersion1 = 0x00000001;  // RFC 9000
constexpr std::uint32_t kVersion2 = 0x6b3343cf;  // RFC 9369

// Initial and 0-RTT are neighbours among the packet types of both versions.
bool may_be_the_clients_own(std::uint32_t version, std::uint8_t first) noexcept {
  const unsigned type = first >> 4 & 3u;
  if (version == kVersion1) return type <= 1;
  return version == kVersion2 && (type == 1 || type == 2);
}

}  // namespace

std::optional<std::span<const std::uint8_t>> quic_destination_id(std::span<const std::uint8_t> datagram) noexcept {
  if (datagram.empty()) return std::nullopt;
  if ((datagram[0] & kLongHeader) == 0) return datagram.subspan(1);
  constexpr std::size_t kLengthAt = 5;  // behind the version
  if (datagram.size() <= kLengthAt) return std::nullopt;
  if (may_be_the_clients_own(header_at<Be32>(datagram, 1).host(), datagram[0])) return std::nullopt;
  const std::size_t len = datagram[kLengthAt];
  if (datagram.size() - kLengthAt - 1 < len) return std::nullopt;
  return datagram.subspan(kLengthAt + 1, len);
}

}  // namespace sluice::net
