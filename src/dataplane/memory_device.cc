#include "sluice/dataplane/memory_device.h"

#include <algorithm>
#include <utility>

namespace sluice::dataplane {

MemoryDevice::MemoryDevice(const net::MacAddress& mac, std::uint16_t queues) : mac_(mac), incoming_(queues) {
  capabilities_.rx_queues = capabilities_.tx_queues = queues;
  stats_.link_up = true;
}

MemoryDevice::~MemoryDevice() {
  for (auto& queue : incoming_) {
    for (rte_mbuf* mbuf : queue) rte_pktmbuf_free(mbuf);
  }
  for (rte_mbuf* mbuf : sent_) rte_pktmbuf_free(mbuf);
}

void MemoryDevice::put(rte_mbuf* mbuf, std::uint16_t queue) { incoming_[queue].push_back(mbuf); }

std::vector<rte_mbuf*> MemoryDevice::take_sent() { return std::exchange(sent_, {}); }

std::size_t MemoryDevice::receive(std::uint16_t queue, std::span<rte_mbuf*> room) noexcept {
  std::deque<rte_mbuf*>& from = incoming_[queue];
  const std::size_t count = std::min(room.size(), from.size());
  for (std::size_t i = 0; i < count; ++i) {
    room[i] = from.front();
    stats_.rx_bytes += rte_pktmbuf_pkt_len(room[i]);
    from.pop_front();
  }
  stats_.rx_packets += count;
  return count;
}

std::size_t MemoryDevice::send(std::uint16_t /*queue*/, std::span<rte_mbuf*> mbufs) noexcept {
  const std::size_t count = std::min(mbufs.size(), accepts_);
  accepts_ -= accepts_ == ~std::size_t{0} ? 0 : count;
  for (rte_mbuf* mbuf : mbufs.first(count)) {
    stats_.tx_bytes += rte_pktmbuf_pkt_len(mbuf);
    sent_.push_back(mbuf);
  }
  stats_.tx_packets += count;
  return count;
}

}  // namespace sluice::dataplane
