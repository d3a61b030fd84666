// From the configuration's TCP options to the stack's.
// Threading: a pure function.
// Ownership: none.
#pragma once

#include "sluice/config/tcp_options.h"
#include "sluice/tcp/stack.h"

namespace sluice::proxy {

[[nodiscard]] constexpr tcp::Ecn ecn_of(config::Ecn ecn) noexcept {
  switch (ecn) {
    case config::Ecn::kOff:
      return tcp::Ecn::kOff;
    case config::Ecn::kAccept:
      return tcp::Ecn::kAccept;
    case config::Ecn::kOn:
      break;
  }
  return tcp::Ecn::kOn;
}

[[nodiscard]] constexpr tcp::ConnOptions conn_options(const config::TcpOptions& options) noexcept {
  return {.congestion = options.congestion == config::CongestionControl::kReno ? tcp::CongestionControl::kReno
                                                                               : tcp::CongestionControl::kCubic,
          .initial_window = options.initial_window,
          .keepalive_idle = options.keepalive,
          .ecn = ecn_of(options.ecn)};
}

}  // namespace sluice::proxy
