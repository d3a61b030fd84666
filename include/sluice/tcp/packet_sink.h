// Where a TcpStack's packets go: the stack writes an IP packet into room that the sink gives, so that it is built in
// the mbuf.
// Threading: one sink per stack, called on the stack's thread.
// Errors:    empty room means "no buffer now": the stack counts it and tries again from its timers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace sluice::tcp {

// What the device will do to the packet, so that the stack need not; each has a software path.
struct Offloads {
  bool tx_checksum = false;       // the sink completes the TCP checksum, which holds the sum of the pseudo header
  bool rx_checksum_good = false;  // per packet: the NIC has checked it
};

class PacketSink {
 public:
  // Room for one IP packet of at most `bytes`. Valid until commit() or the next reserve(), which drops it.
  [[nodiscard]] virtual std::span<std::uint8_t> reserve(std::size_t bytes) noexcept = 0;
  // Queues the reserved packet, now `bytes` long; it leaves with the burst at the end of the turn.
  virtual void commit(std::size_t bytes) noexcept = 0;
  // What it does to every packet; the same as long as it lives.
  [[nodiscard]] virtual Offloads offloads() const noexcept { return {}; }

 protected:
  ~PacketSink() = default;
};

}  // namespace sluice::tcp
