#include "vlan.h"

#include "packet.h"
#include "sluice/net/vlan.h"

namespace sluice::dataplane {
namespace {

constexpr std::uint64_t kStripped = RTE_MBUF_F_RX_VLAN_STRIPPED | RTE_MBUF_F_RX_QINQ_STRIPPED;

}  // namespace

void enter_vlan(rte_mbuf* mbuf, const Topology& topology) noexcept {
  const net::FoundTags found = net::find_tags(frame_of(mbuf));
  net::VlanIds ids = found.ids;
  if ((mbuf->ol_flags & kStripped) != 0) {
    // One tag: the outer one, what the frame has is the inner one. Both: `vlan_tci` is of the inner one.
    const auto tci = static_cast<std::uint16_t>(mbuf->vlan_tci & net::kVlanId);
    if ((mbuf->ol_flags & RTE_MBUF_F_RX_QINQ_STRIPPED) != 0) {
      ids = {static_cast<std::uint16_t>(mbuf->vlan_tci_outer & net::kVlanId), tci};
    } else if (tci != 0) {
      ids = {tci, found.ids.outer};
    }
  }
  if (ids.outer == 0) return;
  const std::optional<InterfaceId> vlan = topology.vlan_interface(interface_of(mbuf), ids);
  if (!vlan) return;
  if (found.bytes != 0) {
    net::remove_tags(frame_of(mbuf), found.bytes);
    rte_pktmbuf_adj(mbuf, static_cast<std::uint16_t>(found.bytes));
  }
  mbuf->ol_flags &= ~(kStripped | RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_QINQ);
  mbuf->port = *vlan;
}

}  // namespace sluice::dataplane
