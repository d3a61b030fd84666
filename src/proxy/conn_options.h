// From the configuration's TCP options to the stack's.
// Threading: a pure function.
// Ownership: none.
#pragma once

#include "sluice/config/tcp_options.h"
#include "sluice/tcp/stack.h"

namespace sluice::proxy {

[[nodiscard]] constexpr tcp::ConnOptions conn_options(const config::TcpOptions& options) noexcept {
  return {.congestion = options.congestion == config::CongestionControl::kReno ? tcp::CongestionControl::kReno
                                                                               : tcp::CongestionControl::kCubic,
          .initial_window = options.initial_window,
          .keepalive_idle = options.keepalive};
}

}  // namespace sluice::proxy
