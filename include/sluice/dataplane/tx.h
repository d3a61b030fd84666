// How the packets of one CPU leave: per interface a queue of its own, or a ring to a CPU that has one.
// Threading: one Tx per poll loop, used by its thread; the rings between are thread safe.
// Ownership: takes the mbufs it is given; what can't be sent is freed and counted.
// Limits:    what a driver refuses waits for the next turn, up to kBacklog packets an interface, then Drop::kTxFull.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "sluice/base/own_lines.h"
#include "sluice/dataplane/routes.h"
#include "sluice/dpdk/device.h"
#include "sluice/dpdk/ring.h"
#include "sluice/net/vlan.h"
#include "sluice/telemetry/counters.h"

namespace sluice::dataplane {

using DropCounters = std::array<telemetry::Counter, telemetry::kDropReasons>;

// The way out of one interface for one CPU.
struct TxRoute {
  dpdk::Device* device = nullptr;  // set: this CPU owns `queue` of it
  std::uint16_t queue = 0;
  dpdk::MbufRing* to_owner = nullptr;     // no queue: through this ring
  dpdk::MbufRing* from_others = nullptr;  // a queue, and others send through it: their ring
  bool multi_segment = false;             // the device takes chained mbufs
  // A VLAN: with these tags through the interface that has the device, and none of the above.
  std::optional<InterfaceId> parent = {};
  net::VlanTags tags = {};
  bool inserted = false;  // ... which the device writes: there is one
};

class Tx {
 public:
  static constexpr std::size_t kBacklog = 512;

  // `routes`: by InterfaceId. `drops`: of the first role on this CPU.
  Tx(std::vector<TxRoute> routes, DropCounters& drops);
  ~Tx();
  Tx(const Tx&) = delete;
  Tx& operator=(const Tx&) = delete;

  // Takes a whole frame. It leaves with the next flush(), or before when a burst is full.
  void queue(InterfaceId interface, rte_mbuf* mbuf) noexcept {
    Out& out = out_[interface];
    if (mbuf->nb_segs > 1 || out.count == out.room) [[unlikely]] {
      if (out.route.parent) return queue_tagged(out.route, mbuf);
      if (!can_queue(out, mbuf)) return;
    }
    out.mbufs[out.count++] = mbuf;
    if (out.count % kBurst == 0) push(out);
  }
  // The same for a frame that is one segment.
  [[gnu::always_inline]] void queue_one(InterfaceId interface, rte_mbuf* mbuf) noexcept {
    Out& out = out_[interface];
    if (out.count == out.room) [[unlikely]]
      return queue(interface, mbuf);
    out.mbufs[out.count++] = mbuf;
    if (out.count % kBurst == 0) push(out);
  }
  // Sends what is queued and what other CPUs gave. True: something moved.
  bool flush() noexcept;

 private:
  static constexpr std::size_t kBurst = 32;
  struct alignas(kOwnLines) Out {
    TxRoute route;
    std::uint32_t count = 0;
    std::uint32_t room = kBacklog;  // 0 of a VLAN: its frames are queued at the parent
    std::array<rte_mbuf*, kBacklog> mbufs;
  };
  bool push(Out& out) noexcept;
  void queue_tagged(const TxRoute& vlan, rte_mbuf* mbuf) noexcept;
  void drop(rte_mbuf* mbuf, telemetry::Drop reason) noexcept;
  // False: the mbuf was freed, and counted.
  [[nodiscard]] bool can_queue(const Out& out, rte_mbuf* mbuf) noexcept;

  std::vector<Out> out_;
  DropCounters& drops_;
};

}  // namespace sluice::dataplane
