#include "sluice/dataplane/handoff.h"

#include <algorithm>
#include <bit>

namespace sluice::dataplane {

Result<std::unique_ptr<Inbox>> Inbox::create(const std::string& name, unsigned cpu, std::uint32_t capacity) {
  Result<dpdk::MbufRing> ring = dpdk::MbufRing::create(name, capacity);
  if (!ring) return std::unexpected(ring.error());
  return std::unique_ptr<Inbox>(new Inbox(cpu, capacity, std::move(*ring)));
}

Inbox::Inbox(unsigned cpu, std::uint32_t capacity, dpdk::MbufRing ring)
    : cpu_(cpu), ring_(std::move(ring)), local_(std::bit_ceil(capacity)) {}

Inbox::~Inbox() {
  while (local_head_ != local_tail_) rte_pktmbuf_free(local_[local_head_++ & (local_.size() - 1)]);
}

std::size_t Inbox::receive(std::span<rte_mbuf*> room) noexcept {
  std::size_t got = 0;
  while (got < room.size() && local_head_ != local_tail_) {
    room[got++] = local_[local_head_++ & (local_.size() - 1)];
  }
  if (got < room.size()) got += ring_.receive(room.subspan(got));
  return got;
}

std::size_t Inbox::send(unsigned from_cpu, std::span<rte_mbuf* const> mbufs) noexcept {
  if (from_cpu != cpu_) return ring_.send(mbufs);
  const std::size_t free = local_.size() - (local_tail_ - local_head_);
  const std::size_t taken = std::min(free, mbufs.size());
  for (std::size_t i = 0; i < taken; ++i) local_[local_tail_++ & (local_.size() - 1)] = mbufs[i];
  return taken;
}

Handoff::Handoff(unsigned cpu, std::vector<Inbox*> inboxes)
    : cpu_(cpu), inboxes_(std::move(inboxes)), stages_(inboxes_.size()) {
  dirty_.reserve(inboxes_.size());
}

std::size_t Handoff::give(RoleId to, rte_mbuf* mbuf) noexcept {
  Stage& stage = stages_[to];
  if (stage.count == 0) dirty_.push_back(to);  // never beyond the reserve: a role is in it once
  stage.mbufs[stage.count++] = mbuf;
  if (stage.count < kStage) return 0;
  const std::size_t dropped = flush(to);
  std::erase(dirty_, to);
  return dropped;
}

std::size_t Handoff::flush(RoleId to) noexcept {
  Stage& stage = stages_[to];
  const std::span<rte_mbuf*> staged(stage.mbufs.data(), stage.count);
  const std::size_t taken = inboxes_[to]->send(cpu_, staged);
  const std::span<rte_mbuf*> left = staged.subspan(taken);
  if (!left.empty()) rte_pktmbuf_free_bulk(left.data(), static_cast<unsigned>(left.size()));
  stage.count = 0;
  return left.size();
}

std::size_t Handoff::flush() noexcept {
  std::size_t dropped = 0;
  for (const RoleId to : dirty_) dropped += flush(to);
  dirty_.clear();
  return dropped;
}

}  // namespace sluice::dataplane
