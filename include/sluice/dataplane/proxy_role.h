// Runs a proxy::Proxy in a poll loop: mbufs from the inbox become its packets, and its packets become mbufs.
// Threading: everything on the loop of the proxy's CPU.
// Ownership: borrows the Proxy, which is attached after both exist (the proxy needs the sink first).
#pragma once

#include <cstdint>
#include <span>

#include "sluice/dataplane/egress.h"
#include "sluice/dataplane/handoff.h"
#include "sluice/dataplane/role.h"
#include "sluice/dpdk/mempool.h"
#include "sluice/proxy/proxy.h"
#include "sluice/tcp/packet_sink.h"

namespace sluice::dataplane {

// Builds the proxy's packets in mbufs and sends them on their way.
class MbufSink final : public tcp::PacketSink {
 public:
  MbufSink(const dpdk::Mempool& pool, Egress& egress, DropCounters& drops) noexcept
      : pool_(pool), egress_(egress), drops_(drops) {}
  ~MbufSink();
  MbufSink(const MbufSink&) = delete;
  MbufSink& operator=(const MbufSink&) = delete;

  [[nodiscard]] std::span<std::uint8_t> reserve(std::size_t bytes) noexcept override;
  void commit(std::size_t bytes) noexcept override;

 private:
  const dpdk::Mempool& pool_;
  Egress& egress_;
  DropCounters& drops_;
  rte_mbuf* open_ = nullptr;  // reserved, not yet committed
};

class ProxyRole final : public Role {
 public:
  ProxyRole(Inbox& inbox, telemetry::ProxyCounters& counters) noexcept : inbox_(inbox), counters_(counters) {}

  void attach(proxy::Proxy& proxy) noexcept { proxy_ = &proxy; }
  bool poll(Instant now) noexcept override;
  [[nodiscard]] std::optional<Instant> next_deadline() const noexcept override;

 private:
  void receive(rte_mbuf* mbuf, Instant now) noexcept;

  Inbox& inbox_;
  telemetry::ProxyCounters& counters_;
  proxy::Proxy* proxy_ = nullptr;
};

}  // namespace sluice::dataplane
