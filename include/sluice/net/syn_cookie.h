// SYN cookies: an initial sequence number that says by itself, when it comes back, which SYN it answered, so that a flood of
// SYNs costs no memory. The other options of the SYN travel in the timestamp of the answer, which comes back too.
//
// A cookie is 29 bits of SipHash-1-3 over addresses, ports and the client's sequence number, and 3 bits that say which of
// eight segment sizes the client has, masked by further bits of the hash; the 29 depend on those too. The key is made anew
// from the secret every kEpochMs, and a cookie is good in its epoch and the next: for 65 to 131 seconds. A guess succeeds
// once in 2^28.
// Threading: one per owner of tuples; every call comes from its thread.
// Units:     Ms is milliseconds since start, and may wrap; the epoch is its upper half.
// Spec:      RFC 4987 section 3.6. Options in the timestamp: as Linux does.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "sluice/base/siphash.h"
#include "sluice/base/time.h"
#include "sluice/net/address.h"
#include "sluice/net/tcp_options.h"

namespace sluice::net {

struct CookieTuple {
  IpAddress client, service;  // of one family
  std::uint16_t client_port = 0, service_port = 0;
  std::uint32_t client_sequence = 0;  // of its SYN
};

class SynCookies {
 public:
  static constexpr std::uint32_t kEpochMs = 1u << 16;
  // What a client's segment size is rounded down to. 536 and 1220 are what is assumed where none is said (RFC 9293 section
  // 3.7.1), 1440 and 1460 Ethernet's, those between tunnels' and mobile networks'.
  static constexpr std::array<std::uint16_t, 8> kSizes{536, 1220, 1340, 1380, 1420, 1440, 1460, 8940};

  explicit SynCookies(const SipKey& secret) noexcept : secret_(secret) {}

  [[nodiscard]] std::uint32_t make(const CookieTuple& tuple, std::uint16_t client_mss, Ms now) noexcept;
  // The client's segment size, of kSizes; nothing: the cookie is forged or too old.
  [[nodiscard]] std::optional<std::uint16_t> check(const CookieTuple& tuple, std::uint32_t cookie, Ms now) noexcept;

  // The timestamp of the answer: the clock, its lower 6 bits replaced by the client's window scale and whether it permits
  // SACK, and never ahead of the clock.
  [[nodiscard]] static std::uint32_t timestamp_for(std::uint32_t clock, const TcpOptions& client) noexcept;
  // What timestamp_for() kept: window scale and SACK of a client that has timestamps. `mss` stays 0.
  [[nodiscard]] static TcpOptions options_of(std::uint32_t timestamp) noexcept;

 private:
  void turn_to(Ms now) noexcept;
  [[nodiscard]] SipKey key_of(std::uint64_t epoch) const noexcept;
  [[nodiscard]] static std::uint64_t hash(const SipKey& key, const CookieTuple& tuple) noexcept;

  SipKey secret_;
  SipKey key_{}, key_before_{};
  std::uint64_t epoch_ = 0;  // counted on when Ms wraps
  bool begun_ = false;
};

}  // namespace sluice::net
