// A proxy::Proxy as what a ProxyRole runs.
// Threading: the proxy's loop.
// Ownership: borrows the proxy.
#pragma once

#include "sluice/dataplane/proxy_role.h"
#include "sluice/proxy/proxy.h"

namespace sluice::dataplane {

class ProxyHost final : public PacketHost {
 public:
  explicit ProxyHost(proxy::Proxy& proxy) noexcept : proxy_(proxy) {}

  void receive(std::span<const tcp::Received> burst, Instant now) noexcept override { proxy_.receive(burst, now); }
  void receive_icmp_error(const tcp::IcmpMessage& message, Instant now) noexcept override {
    proxy_.receive_icmp_error(message, now);
  }
  bool poll(Instant now, UnixSeconds wall) noexcept override { return proxy_.poll(now, wall); }
  [[nodiscard]] std::optional<Instant> next_deadline() const noexcept override { return proxy_.next_deadline(); }
  [[nodiscard]] const lb::ProbePaths* probe_paths() const noexcept override { return &proxy_.probe_paths(); }

 private:
  proxy::Proxy& proxy_;
};

}  // namespace sluice::dataplane
