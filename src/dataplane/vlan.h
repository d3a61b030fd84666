// A frame of a VLAN comes in: its tags, in the frame or taken off by the NIC, name the interface that it belongs to. They
// are put on again in Tx.
// Threading: pure functions.
#pragma once

#include <rte_mbuf.h>

#include "sluice/dataplane/topology.h"

namespace sluice::dataplane {

// If `mbuf` is tagged for a VLAN that is configured: takes the tags off and makes that interface the mbuf's, which is an
// untagged frame then, and true. All else is left as it is, for the parser and its caller to judge. The mbuf's interface
// is that of its device.
[[nodiscard]] bool enter_vlan(rte_mbuf* mbuf, const Topology& topology) noexcept;

// Set by a NIC that took off a tag: the only one or the inner one, and the outer one of two.
inline constexpr std::uint64_t kTagStripped = RTE_MBUF_F_RX_VLAN_STRIPPED, kOuterStripped = RTE_MBUF_F_RX_QINQ_STRIPPED;

// The NIC took off a tag that names a VLAN.
[[nodiscard]] inline bool lost_its_tag(const rte_mbuf* mbuf) noexcept {
  return ((mbuf->ol_flags & kTagStripped) != 0 && (mbuf->vlan_tci & net::kVlanId) != 0) ||
         ((mbuf->ol_flags & kOuterStripped) != 0 && (mbuf->vlan_tci_outer & net::kVlanId) != 0);
}

}  // namespace sluice::dataplane
