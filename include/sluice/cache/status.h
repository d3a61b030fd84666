// The Cache-Status field: says to people how a response came about.
// Threading: pure functions.
// Spec:      RFC 9211 section 2.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace sluice::cache {

// Why a request went to the origin (RFC 9211 section 2.2).
enum class Forward : std::uint8_t { kNone, kBypass, kMethod, kUriMiss, kVaryMiss, kMiss, kRequest, kStale, kPartial };

struct CacheStatus {
  Forward forward = Forward::kNone;  // kNone: a hit
  std::uint16_t forward_status = 0;  // of the origin's answer, when it differs from what is sent (a 304); 0: left out
  std::optional<std::int64_t> ttl{};
  bool stored = false;
  bool collapsed = false;  // waited for another request's fetch
};
// The whole line: "Cache-Status: sluice; fwd=stale; fwd-status=304; ttl=60\r\n".
void append_cache_status(std::string& out, const CacheStatus& status);

}  // namespace sluice::cache
