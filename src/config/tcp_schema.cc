// services.*.proxy.tcp and pools.*.tcp.
#include "schema.h"
#include "values.h"

namespace sluice::config {

const Section<TcpOptions>& tcp_options_schema() {
  static const Section<TcpOptions> table =
      Section<TcpOptions>()
          .optional("congestion", &TcpOptions::congestion,
                    one_of<CongestionControl>(
                        {{"cubic", CongestionControl::kCubic}, {"reno", CongestionControl::kReno}}, {"bbr", "dctcp"}))
          .optional("initial_window", &TcpOptions::initial_window, number<std::uint8_t>(1, 100))
          .optional("keepalive", &TcpOptions::keepalive, duration(1s, 24h))
          .optional("ecn", &TcpOptions::ecn,
                    one_of<Ecn>({{"off", Ecn::kOff}, {"accept", Ecn::kAccept}, {"on", Ecn::kOn}}, {}));
  return table;
}

}  // namespace sluice::config
