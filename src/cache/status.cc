#include "sluice/cache/status.h"

namespace sluice::cache {
namespace {

const char* token(Forward forward) noexcept {
  switch (forward) {
    case Forward::kNone:
      return "";
    case Forward::kBypass:
      return "bypass";
    case Forward::kMethod:
      return "method";
    case Forward::kUriMiss:
      return "uri-miss";
    case Forward::kVaryMiss:
      return "vary-miss";
    case Forward::kMiss:
      return "miss";
    case Forward::kRequest:
      return "request";
    case Forward::kStale:
      return "stale";
    case Forward::kPartial:
      return "partial";
  }
  return "";
}

}  // namespace

void append_cache_status(std::string& out, const CacheStatus& status) {
  out.append("Cache-Status: sluice; ");
  if (status.forward == Forward::kNone) {
    out.append("hit");
  } else {
    out.append("fwd=").append(token(status.forward));
    if (status.forward_status != 0) out.append("; fwd-status=").append(std::to_string(status.forward_status));
  }
  if (status.ttl) out.append("; ttl=").append(std::to_string(*status.ttl));
  if (status.stored) out.append("; stored");
  if (status.collapsed) out.append("; collapsed");
  out.append("\r\n");
}

}  // namespace sluice::cache
