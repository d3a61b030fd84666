#include "vlan.h"

#include "packet.h"
#include "sluice/net/vlan.h"

namespace sluice::dataplane {

bool enter_vlan(rte_mbuf* mbuf, const Topology& topology) noexcept {
  const bool outer_stripped = (mbuf->ol_flags & kOuterStripped) != 0;
  const bool stripped = (mbuf->ol_flags & kTagStripped) != 0;
  const std::size_t left = net::kMaxVlanTags - std::size_t{outer_stripped} - std::size_t{stripped};
  const net::FoundTags found = net::find_tags(frame_of(mbuf), left);
  // From the outermost to the innermost; the device's words come first, as what it took off lay in front.
  net::VlanIds ids;
  const auto add = [&ids](std::uint16_t id) {
    if (id != 0) (ids.outer == 0 ? ids.outer : ids.inner) = id;
  };
  if (outer_stripped) add(mbuf->vlan_tci_outer & net::kVlanId);
  if (stripped) add(mbuf->vlan_tci & net::kVlanId);
  add(found.ids.outer);
  add(found.ids.inner);
  if (ids.outer == 0) return false;
  const std::optional<InterfaceId> vlan = topology.vlan_interface(interface_of(mbuf), ids);
  if (!vlan) return false;
  if (found.bytes != 0) {
    net::remove_tags(frame_of(mbuf), found.bytes);
    rte_pktmbuf_adj(mbuf, static_cast<std::uint16_t>(found.bytes));
  }
  mbuf->ol_flags &= ~(kTagStripped | kOuterStripped | RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_QINQ);
  mbuf->port = *vlan;
  return true;
}

}  // namespace sluice::dataplane
