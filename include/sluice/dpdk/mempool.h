// The pool of packet buffers (mbufs) that all ports and roles of the process share.
// Threading: thread safe; registered threads have a cache of their own.
// Ownership: Mempool outlives every port and every mbuf taken from it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include <rte_mbuf.h>

#include "sluice/base/result.h"

namespace sluice::dpdk {

// Bytes behind each mbuf's header for the role that holds it (rte_mbuf_to_priv); worth nothing after a hand-over unless
// the two agree.
inline constexpr std::uint16_t kMbufPrivate = 64;

struct MempoolOptions {
  std::string name = "packets";
  std::uint32_t mbufs = 16'384;
  std::uint32_t cache = 256;  // per thread
  std::uint16_t mtu = 1500;   // the largest of the interfaces: a packet of it fits one mbuf
};

// What the pool should hold: all descriptors of all queues, rings and pending packets at once, but no more memory than
// three quarters of `memory_bytes`.
[[nodiscard]] std::uint32_t mbufs_for(std::size_t memory_bytes, std::uint16_t mtu, std::size_t descriptors,
                                      std::size_t queued, std::size_t threads) noexcept;

class Mempool {
 public:
  [[nodiscard]] static Result<Mempool> create(const MempoolOptions& options);
  ~Mempool();
  Mempool(Mempool&& other) noexcept;
  Mempool& operator=(Mempool&&) = delete;

  [[nodiscard]] rte_mempool* raw() const noexcept { return pool_; }
  [[nodiscard]] rte_mbuf* alloc() const noexcept { return rte_pktmbuf_alloc(pool_); }  // nullptr: empty
  [[nodiscard]] std::uint32_t in_use() const noexcept;                                 // slow: for tests and status
  [[nodiscard]] std::uint32_t size() const noexcept;
  [[nodiscard]] std::uint16_t room() const noexcept;  // bytes of a packet that fit one mbuf, headroom not counted

 private:
  explicit Mempool(rte_mempool* pool) noexcept : pool_(pool) {}
  rte_mempool* pool_;
};

}  // namespace sluice::dpdk
