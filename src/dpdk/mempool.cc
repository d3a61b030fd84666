#include "sluice/dpdk/mempool.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <rte_errno.h>
#include <rte_ether.h>
#include <rte_mempool.h>

#include "log_capture.h"

namespace sluice::dpdk {
namespace {

constexpr std::size_t kFrameOverhead = RTE_ETHER_HDR_LEN + 8;                  // two VLAN tags
constexpr std::size_t kObjectOverhead = sizeof(rte_mbuf) + kMbufPrivate + 64;  // and the pool's own header
constexpr std::uint32_t kMinMbufs = 2048;

std::uint16_t room_for(std::uint16_t mtu) noexcept {
  const std::size_t packet = std::max<std::size_t>(mtu + kFrameOverhead, 2048);
  return static_cast<std::uint16_t>(RTE_PKTMBUF_HEADROOM + ((packet + 63) & ~std::size_t{63}));
}

}  // namespace

std::uint32_t mbufs_for(std::size_t memory_bytes, std::uint16_t mtu, std::size_t descriptors, std::size_t queued,
                        std::size_t threads) noexcept {
  constexpr std::size_t kCache = 256;
  const std::size_t wanted = descriptors + queued + threads * kCache * 2;
  const std::size_t affordable = memory_bytes / 4 * 3 / (room_for(mtu) + kObjectOverhead);
  // One less than a power of two is what the pool's ring uses best.
  std::size_t count = kMinMbufs;
  while (count < wanted) count *= 2;
  return static_cast<std::uint32_t>(std::min(count - 1, std::max<std::size_t>(affordable, 512)));
}

Result<Mempool> Mempool::create(const MempoolOptions& options) {
  const std::uint32_t cache =
      std::min({options.cache, static_cast<std::uint32_t>(RTE_MEMPOOL_CACHE_MAX_SIZE), options.mbufs * 2 / 3});
  clear_log_lines();
  rte_mempool* pool = rte_pktmbuf_pool_create(options.name.c_str(), options.mbufs, cache, kMbufPrivate,
                                              room_for(options.mtu), SOCKET_ID_ANY);
  if (pool == nullptr) {
    return fail(fmt::format("no memory for {} packets of {} bytes (raise runtime.memory or lower runtime.mbufs): {}",
                            options.mbufs, room_for(options.mtu), rte_strerror(rte_errno)));
  }
  return Mempool(pool);
}

Mempool::Mempool(Mempool&& other) noexcept : pool_(std::exchange(other.pool_, nullptr)) {}

Mempool::~Mempool() {
  if (pool_ != nullptr) rte_mempool_free(pool_);
}

std::uint32_t Mempool::in_use() const noexcept { return rte_mempool_in_use_count(pool_); }

std::uint32_t Mempool::size() const noexcept { return pool_->size; }

std::uint16_t Mempool::room() const noexcept {
  return static_cast<std::uint16_t>(rte_pktmbuf_data_room_size(pool_) - RTE_PKTMBUF_HEADROOM);
}

}  // namespace sluice::dpdk
