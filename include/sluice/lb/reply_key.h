// What a packet from a backend is known by: the backend's endpoint, and our source address and port.
// Threading: values.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "sluice/lb/ids.h"
#include "sluice/net/address.h"

namespace sluice::lb {

struct ReplyKey {
  net::IpAddress backend;
  std::uint16_t backend_port = 0;
  std::uint16_t local_port = 0;  // the NAT source port; 0: the flow is not translated
  SourceIndex source = kNoIndex;
  net::IpProto proto{};
  std::uint8_t zero = 0;  // so that no byte is undefined: keys are hashed and compared as bytes

  // All behind the address, as it lies in memory.
  [[nodiscard]] static constexpr std::uint64_t tail(std::uint16_t backend_port, SourceIndex source,
                                                    std::uint16_t local_port, net::IpProto proto) noexcept {
    return backend_port | (std::uint64_t{local_port} << 16) | (std::uint64_t{source} << 32) |
           (static_cast<std::uint64_t>(proto) << 48);
  }
  [[nodiscard]] std::array<std::uint64_t, 3> words() const noexcept {
    return std::bit_cast<std::array<std::uint64_t, 3>>(*this);
  }
  [[nodiscard]] net::Endpoint endpoint() const noexcept { return {backend, backend_port}; }
  bool operator==(const ReplyKey&) const noexcept = default;
};
static_assert(sizeof(ReplyKey) == 24);

}  // namespace sluice::lb
