// Packets from role to role: a plain queue between roles of one CPU, an rte_ring between CPUs.
// Threading: an Inbox has one receiver, its role; local senders run on the same thread. A Handoff belongs to one
//            sender.
// Ownership: a packet given away belongs to the receiver; one that finds no room is freed and counted as
//            Drop::kHandoffFull by the sender.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "sluice/base/own_lines.h"
#include "sluice/dataplane/role.h"
#include "sluice/dpdk/ring.h"

namespace sluice::dataplane {

class Inbox {
 public:
  // `cpu`: of the receiver.
  [[nodiscard]] static Result<std::unique_ptr<Inbox>> create(const std::string& name, unsigned cpu,
                                                             std::uint32_t capacity);
  ~Inbox();
  Inbox(const Inbox&) = delete;
  Inbox& operator=(const Inbox&) = delete;

  // Takes up to room.size() packets, local ones first.
  [[nodiscard]] std::size_t receive(std::span<rte_mbuf*> room) noexcept;
  // How many, from the front, found room. `from_cpu` decides the way.
  std::size_t send(unsigned from_cpu, std::span<rte_mbuf* const> mbufs) noexcept;
  [[nodiscard]] unsigned cpu() const noexcept { return cpu_; }

 private:
  Inbox(unsigned cpu, std::uint32_t capacity, dpdk::MbufRing ring);

  // Read by every sender.
  unsigned cpu_;
  dpdk::MbufRing ring_;
  // The receiver's thread alone.
  alignas(kOwnLines) OwnVector<rte_mbuf*> local_;  // a circle
  std::uint32_t local_head_ = 0, local_tail_ = 0;
};
static_assert(alignof(Inbox) == kOwnLines && sizeof(Inbox) == 2 * kOwnLines);

class Handoff {
 public:
  static constexpr std::size_t kStage = 32;

  // `inboxes`: of every role, by RoleId; borrowed.
  Handoff(unsigned cpu, std::vector<Inbox*> inboxes);

  // Stages one packet; returns how many were dropped because the stage had to be emptied into a full ring.
  [[nodiscard]] std::size_t give(RoleId to, rte_mbuf* mbuf) noexcept;
  // Sends everything staged; returns how many were dropped.
  [[nodiscard]] std::size_t flush() noexcept;

 private:
  struct alignas(kOwnLines) Stage {
    std::array<rte_mbuf*, kStage> mbufs;
    std::uint32_t count = 0;
  };
  [[nodiscard]] std::size_t flush(RoleId to) noexcept;

  unsigned cpu_;
  std::vector<Inbox*> inboxes_;
  std::vector<Stage> stages_;
  OwnVector<RoleId> dirty_;  // capacity for every role, so that it never allocates
};

}  // namespace sluice::dataplane
