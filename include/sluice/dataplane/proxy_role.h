// Runs a host of packets (a proxy) in a poll loop: mbufs from the inbox become its packets, its packets become mbufs.
// Threading: everything on the loop of the proxy's CPU.
// Ownership: borrows the host, which is attached after both exist (a proxy needs the sink first).
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "sluice/dataplane/egress.h"
#include "sluice/dataplane/handoff.h"
#include "sluice/dataplane/role.h"
#include "sluice/dpdk/mempool.h"
#include "sluice/lb/probe_paths.h"
#include "sluice/lb/snapshot_slot.h"
#include "sluice/net/parse.h"
#include "sluice/tcp/packet_sink.h"
#include "sluice/tcp/stack.h"

namespace sluice::dataplane {

// Builds the proxy's packets in mbufs and sends them on their way.
class MbufSink final : public tcp::PacketSink {
 public:
  // `checksums`: by InterfaceId, whether its device completes TCP checksums. Where some do, those of the packets that leave
  // by another are completed here; where none does, the stack writes them whole.
  MbufSink(const dpdk::Mempool& pool, Egress& egress, const lb::SnapshotSlot& snapshots, DropCounters& drops,
           std::vector<bool> checksums)
      : pool_(pool),
        egress_(egress),
        snapshots_(snapshots),
        drops_(drops),
        checksums_(std::move(checksums)),
        completes_(std::ranges::find(checksums_, true) != checksums_.end()) {}
  ~MbufSink();
  MbufSink(const MbufSink&) = delete;
  MbufSink& operator=(const MbufSink&) = delete;

  [[nodiscard]] std::span<std::uint8_t> reserve(std::size_t bytes) noexcept override;
  void commit(std::size_t bytes) noexcept override;
  [[nodiscard]] tcp::Offloads offloads() const noexcept override { return {.tx_checksum = completes_}; }
  // What of the packets goes another way than to its destination; nullptr: nothing.
  void follow(const lb::ProbePaths* paths) noexcept { paths_ = paths; }

 private:
  void send_probe(rte_mbuf* mbuf, const net::Parsed& packet, const lb::ProbePath& path) noexcept;

  const dpdk::Mempool& pool_;
  Egress& egress_;
  const lb::SnapshotSlot& snapshots_;
  const lb::ProbePaths* paths_ = nullptr;
  DropCounters& drops_;
  std::vector<bool> checksums_;
  bool completes_;            // some of them
  rte_mbuf* open_ = nullptr;  // reserved, not yet committed
};

// What the role runs; proxy_host.h makes one of a proxy::Proxy.
class PacketHost {
 public:
  // A burst of IP packets, each from its header on; the bytes are copied before return.
  virtual void receive(std::span<const tcp::Received> burst, Instant now) noexcept = 0;
  // An ICMP error about a packet of the host's.
  virtual void receive_icmp_error(const tcp::IcmpMessage& message, Instant now) noexcept = 0;
  // One turn; true: it did something.
  virtual bool poll(Instant now, UnixSeconds wall) noexcept = 0;
  // nullptr: all that it sends goes to its destination.
  [[nodiscard]] virtual const lb::ProbePaths* probe_paths() const noexcept { return nullptr; }
  [[nodiscard]] virtual std::optional<Instant> next_deadline() const noexcept = 0;

 protected:
  ~PacketHost() = default;
};

class ProxyRole final : public Role {
 public:
  ProxyRole(Inbox& inbox, telemetry::ProxyCounters& counters)
      : inbox_(inbox), counters_(counters), one_piece_(std::size_t{1} << 16) {}

  void attach(PacketHost& host) noexcept { host_ = &host; }
  bool poll(Instant now) noexcept override;
  [[nodiscard]] std::optional<Instant> next_deadline() const noexcept override;

 private:
  void receive(std::span<rte_mbuf* const> mbufs, Instant now) noexcept;
  [[nodiscard]] std::span<const std::uint8_t> in_one_piece(const rte_mbuf& mbuf) noexcept;

  Inbox& inbox_;
  telemetry::ProxyCounters& counters_;
  PacketHost* host_ = nullptr;
  std::vector<std::uint8_t> one_piece_;  // as long as an IP packet can be: for one that came in fragments
};

}  // namespace sluice::dataplane
