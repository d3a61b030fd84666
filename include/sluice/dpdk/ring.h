// A bounded queue of mbufs between CPUs: any number of senders, one receiver.
// Threading: send() from any thread, receive() from one.
// Ownership: who sends gives the mbufs away; what the ring did not take stays the sender's. Mbufs still queued when the
//            ring is destroyed are freed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include <rte_mbuf.h>
#include <rte_ring.h>

#include "sluice/base/result.h"

namespace sluice::dpdk {

class MbufRing {
 public:
  // Holds `capacity` mbufs. The name is unique in the process.
  [[nodiscard]] static Result<MbufRing> create(const std::string& name, std::uint32_t capacity);
  ~MbufRing();
  MbufRing(MbufRing&& other) noexcept;
  MbufRing& operator=(MbufRing&&) = delete;

  // How many of the mbufs, from the front, the ring took.
  std::size_t send(std::span<rte_mbuf* const> mbufs) noexcept {
    return rte_ring_enqueue_burst(ring_, reinterpret_cast<void* const*>(mbufs.data()),
                                  static_cast<unsigned>(mbufs.size()), nullptr);
  }
  std::size_t receive(std::span<rte_mbuf*> room) noexcept {
    return rte_ring_dequeue_burst(ring_, reinterpret_cast<void**>(room.data()), static_cast<unsigned>(room.size()),
                                  nullptr);
  }
  [[nodiscard]] bool empty() const noexcept { return rte_ring_empty(ring_) != 0; }
  [[nodiscard]] std::size_t count() const noexcept { return rte_ring_count(ring_); }

 private:
  explicit MbufRing(rte_ring* ring) noexcept : ring_(ring) {}
  rte_ring* ring_;
};

}  // namespace sluice::dpdk
