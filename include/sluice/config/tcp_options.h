// How TCP connections of an L7 service, or to the backends of a pool, behave.
// Threading: values; copy, compare or share as const.
// Ownership: none.
// Units:     durations are nanoseconds (Duration), the window is in segments.
// Spec:      docs/configuration.md says what each key means to a user, docs/tcp.md what it does.
#pragma once

#include <cstdint>

#include "sluice/base/time.h"

namespace sluice::config {

enum class CongestionControl : std::uint8_t { kCubic, kReno };
enum class Ecn : std::uint8_t { kOff, kAccept, kOn };

struct TcpOptions {
  CongestionControl congestion = CongestionControl::kCubic;
  std::uint8_t initial_window = 10;              // segments
  Duration keepalive = std::chrono::minutes(2);  // idle for so long: the peer is asked whether it is there
  Ecn ecn = Ecn::kAccept;
  bool operator==(const TcpOptions&) const = default;
};

}  // namespace sluice::config
