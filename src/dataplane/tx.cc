#include "sluice/dataplane/tx.h"

#include <algorithm>

namespace sluice::dataplane {

Tx::Tx(std::vector<TxRoute> routes, DropCounters& drops) : out_(routes.size()), drops_(drops) {
  for (std::size_t i = 0; i < routes.size(); ++i) {
    out_[i].route = routes[i];
    if (routes[i].parent) out_[i].room = 0;
  }
}

Tx::~Tx() {
  for (Out& out : out_) rte_pktmbuf_free_bulk(out.mbufs.data(), out.count);
}

bool Tx::can_queue(const Out& out, rte_mbuf* mbuf) noexcept {
  auto reason = telemetry::Drop::kNone;
  if (out.count == kBacklog) {
    reason = telemetry::Drop::kTxFull;
  } else if (!out.route.multi_segment && rte_pktmbuf_linearize(mbuf) != 0) {
    // net_af_xdp sends zeros for the further parts of a chained packet, and counts it as sent.
    reason = telemetry::Drop::kTooBig;
  }
  if (reason == telemetry::Drop::kNone) return true;
  drop(mbuf, reason);
  return false;
}

void Tx::queue_tagged(const TxRoute& vlan, rte_mbuf* mbuf) noexcept {
  const auto bytes = static_cast<std::uint16_t>(vlan.tags.bytes());
  // Drivers that do it in software need the room too, and count as sent what they free for want of it.
  if (vlan.inserted && rte_pktmbuf_headroom(mbuf) >= bytes) {
    mbuf->ol_flags |= RTE_MBUF_F_TX_VLAN;
    mbuf->vlan_tci = vlan.tags.ids.outer;
    return queue(*vlan.parent, mbuf);
  }
  auto* frame = reinterpret_cast<std::uint8_t*>(rte_pktmbuf_prepend(mbuf, bytes));
  if (frame == nullptr)
    return drop(mbuf, telemetry::Drop::kTooBig);  // no headroom: it was used up in front of the packet
  if ((mbuf->ol_flags & RTE_MBUF_F_TX_L4_MASK) != 0)
    mbuf->l2_len = (mbuf->l2_len + bytes) & 0x7f;  // all seven bits of it
  net::insert_tags({frame, rte_pktmbuf_data_len(mbuf)}, vlan.tags);
  queue(*vlan.parent, mbuf);
}

void Tx::drop(rte_mbuf* mbuf, telemetry::Drop reason) noexcept {
  drops_[static_cast<std::size_t>(reason)].add();
  rte_pktmbuf_free(mbuf);
}

bool Tx::push(Out& out) noexcept {
  const std::span<rte_mbuf*> all(out.mbufs.data(), out.count);
  const std::size_t taken =
      out.route.device != nullptr ? out.route.device->send(out.route.queue, all) : out.route.to_owner->send(all);
  std::copy(all.begin() + static_cast<std::ptrdiff_t>(taken), all.end(), all.begin());
  out.count -= static_cast<std::uint32_t>(taken);
  return taken != 0;
}

bool Tx::flush() noexcept {
  bool moved = false;
  for (Out& out : out_) {
    if (out.route.from_others != nullptr && out.count < kBacklog) {
      const std::span<rte_mbuf*> room(out.mbufs.data() + out.count, std::min(kBacklog - out.count, kBurst * 4));
      const std::size_t got = out.route.from_others->receive(room);
      out.count += static_cast<std::uint32_t>(got);
      moved |= got != 0;
    }
    if (out.count != 0) moved |= push(out);
  }
  return moved;
}

}  // namespace sluice::dataplane
