#include "sluice/dpdk/ring.h"

#include <utility>

#include <fmt/format.h>
#include <rte_errno.h>

namespace sluice::dpdk {

Result<MbufRing> MbufRing::create(const std::string& name, std::uint32_t capacity) {
  // Many senders in RTS mode: a sender that loses its CPU amid a send() does not make the others spin.
  rte_ring* ring =
      rte_ring_create(name.c_str(), capacity, SOCKET_ID_ANY, RING_F_MP_RTS_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ);
  if (ring == nullptr) {
    return fail(fmt::format("no ring `{}` of {} packets: {}", name, capacity, rte_strerror(rte_errno)));
  }
  return MbufRing(ring);
}

MbufRing::MbufRing(MbufRing&& other) noexcept : ring_(std::exchange(other.ring_, nullptr)) {}

MbufRing::~MbufRing() {
  if (ring_ == nullptr) return;
  rte_mbuf* left[32];
  for (std::size_t n = receive(left); n > 0; n = receive(left)) {
    rte_pktmbuf_free_bulk(left, static_cast<unsigned>(n));
  }
  rte_ring_free(ring_);
}

}  // namespace sluice::dpdk
