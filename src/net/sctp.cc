#include "sluice/net/sctp.h"

#include <cstddef>
#include <cstring>

#include "sluice/net/crc32c.h"
#include "sluice/net/wire.h"

namespace sluice::net {
namespace {

std::uint8_t flags_of(SctpChunkType type) noexcept {
  switch (type) {
    case SctpChunkType::kInit:
      return kTcpSyn;
    case SctpChunkType::kInitAck:
      return kTcpSyn | kTcpAck;
    case SctpChunkType::kShutdown:
    case SctpChunkType::kShutdownAck:
      return kTcpFin | kTcpAck;
    case SctpChunkType::kAbort:
    case SctpChunkType::kShutdownComplete:
      return kTcpRst;
    case SctpChunkType::kCookieEcho:
      return kTcpAck;
  }
  return kTcpAck;
}

bool stands_alone(SctpChunkType type) noexcept {
  return type == SctpChunkType::kInit || type == SctpChunkType::kInitAck || type == SctpChunkType::kShutdownComplete;
}

}  // namespace

std::optional<std::uint8_t> sctp_flags(std::span<const std::uint8_t> chunks) noexcept {
  std::uint8_t flags = 0;
  for (std::size_t n = 0; n < kMaxSctpChunks && !chunks.empty(); ++n) {
    if (chunks.size() < sizeof(SctpChunk)) return std::nullopt;
    const auto& chunk = header_at<SctpChunk>(chunks, 0);
    const std::size_t len = chunk.len.host();
    if (len < sizeof(SctpChunk) || len > chunks.size()) return std::nullopt;
    const auto type = static_cast<SctpChunkType>(chunk.type);
    const std::size_t padded = (len + 3) & ~std::size_t{3};
    chunks = padded < chunks.size() ? chunks.subspan(padded) : chunks.last(0);
    if (stands_alone(type) && (n != 0 || !chunks.empty())) return std::nullopt;
    flags = static_cast<std::uint8_t>(flags | flags_of(type));
  }
  if (flags == 0) return std::nullopt;
  return (flags & kTcpRst) != 0 ? kTcpRst : flags;
}

std::uint32_t sctp_initiate_tag(std::span<const std::uint8_t> sctp) noexcept {
  constexpr std::size_t kAt = sizeof(SctpHeader) + sizeof(SctpChunk);
  return sctp.size() < kAt + sizeof(Be32) ? 0 : header_at<Be32>(sctp, kAt).host();
}

std::uint32_t sctp_checksum(std::span<const std::uint8_t> sctp) noexcept {
  constexpr std::uint8_t kZeros[sizeof(SctpHeader::checksum)] = {};
  std::uint32_t crc = crc32c_add(kCrc32cStart, sctp.first(offsetof(SctpHeader, checksum)));
  crc = crc32c_add(crc, kZeros);
  return ~crc32c_add(crc, sctp.subspan(sizeof(SctpHeader)));
}

void set_sctp_checksum(std::span<std::uint8_t> sctp) noexcept {
  const std::uint32_t crc = sctp_checksum(sctp);
  std::memcpy(header_at<SctpHeader>(sctp, 0).checksum, &crc, sizeof(crc));
}

bool sctp_checksum_ok(std::span<const std::uint8_t> sctp) noexcept {
  std::uint32_t there;
  std::memcpy(&there, header_at<SctpHeader>(sctp, 0).checksum, sizeof(there));
  return there == sctp_checksum(sctp);
}

void rewrite_sctp_ports(std::span<std::uint8_t> sctp, std::size_t len, std::uint16_t src_port,
                        std::uint16_t dst_port) noexcept {
  std::uint32_t before, after;
  std::memcpy(&before, sctp.data(), sizeof(before));
  auto& ports = header_at<UdpHeader>(sctp, 0);  // the ports lie alike
  ports.src_port = src_port;
  ports.dst_port = dst_port;
  if (sctp.size() < sizeof(SctpHeader) || len < sizeof(SctpHeader)) return;  // a quote without the checksum
  std::memcpy(&after, sctp.data(), sizeof(after));
  std::uint8_t* at = sctp.data() + offsetof(SctpHeader, checksum);
  std::uint32_t crc;
  std::memcpy(&crc, at, sizeof(crc));
  crc ^= crc32c_change(before ^ after, len - sizeof(before));
  std::memcpy(at, &crc, sizeof(crc));
}

}  // namespace sluice::net
