// A frame of a VLAN comes in: its tags, in the frame or taken off by the NIC, name the interface that it belongs to. They
// are put on again in Tx.
// Threading: pure functions.
#pragma once

#include <rte_mbuf.h>

#include "sluice/dataplane/topology.h"

namespace sluice::dataplane {

// If `mbuf` is tagged for a VLAN that is configured: takes the tags off and makes that interface the mbuf's. All else is
// left as it is, for the parser and its caller to judge. The mbuf's interface is that of its device.
void enter_vlan(rte_mbuf* mbuf, const Topology& topology) noexcept;

// The NIC took off a tag that names a VLAN.
[[nodiscard]] inline bool lost_its_tag(const rte_mbuf* mbuf) noexcept {
  return (mbuf->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) != 0 && (mbuf->vlan_tci & net::kVlanId) != 0;
}

}  // namespace sluice::dataplane
