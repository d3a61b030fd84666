#include "neighbor_service.h"

#include <algorithm>
#include <utility>

#include "packet.h"

namespace sluice::dataplane {

using telemetry::Drop;

namespace {

// Timers are looked at together, at most this often.
constexpr Duration kTick = std::chrono::milliseconds(10);

static_assert(sizeof(PendingNextHop) <= dpdk::kMbufPrivate);

bool is_on_link(const InterfaceInfo& interface, const net::IpAddress& address) noexcept {
  if (!address.is_v4() && address.is_link_local()) return true;
  return std::ranges::any_of(interface.addresses, [&](const net::Prefix& own) { return own.contains(address); });
}

}  // namespace

NeighborService::NeighborService(const Topology& topology, Neighbors& neighbors, Tx& tx, const dpdk::Mempool& pool,
                                 dpdk::MbufRing& resolve, telemetry::WorkerCounters& counters, bool announce)
    : topology_(topology),
      neighbors_(neighbors),
      tx_(tx),
      pool_(pool),
      resolve_(resolve),
      counters_(counters),
      entries_(neighbors.capacity()),
      share_(topology.interfaces().size() > 1 ? neighbors.capacity() / 2 : neighbors.capacity()),
      announcements_left_(announce ? kAnnouncements : 0) {
  active_.reserve(neighbors.capacity());
  for (const StaticNeighbor& fixed : topology.static_neighbors()) {
    std::size_t slot = neighbors_.slot_of(fixed.interface, fixed.address);
    if (slot == Neighbors::kNone) slot = neighbors_.insert(fixed.interface, fixed.address);
    if (slot != Neighbors::kNone) neighbors_.set(slot, NeighborState::kStatic, fixed.mac);
  }
}

template <typename Take>
void NeighborService::take_pending(Entry& entry, Take&& take) noexcept {
  for (rte_mbuf* mbuf = std::exchange(entry.first, nullptr); mbuf != nullptr;) {
    rte_mbuf* next = pending_of(mbuf).next;
    take(mbuf);
    mbuf = next;
  }
  entry.last = nullptr;
  waiting_ -= entry.pending;
  entry.pending = 0;
}

NeighborService::~NeighborService() {
  for (Entry& entry : entries_) {
    take_pending(entry, [](rte_mbuf* mbuf) { rte_pktmbuf_free(mbuf); });
  }
}

void NeighborService::drop(rte_mbuf* mbuf, Drop reason) noexcept {
  counters_.drop(reason);
  rte_pktmbuf_free(mbuf);
}

template <typename Build>
bool NeighborService::send_built(InterfaceId interface, Build&& build) noexcept {
  rte_mbuf* mbuf = pool_.alloc();
  if (mbuf == nullptr) {
    counters_.drop(Drop::kNoMbuf);
    return false;
  }
  const std::size_t bytes = build(std::span(rte_pktmbuf_mtod(mbuf, std::uint8_t*), pool_.room()));
  if (bytes == 0) {
    rte_pktmbuf_free(mbuf);
    return false;
  }
  mbuf->data_len = static_cast<std::uint16_t>(bytes);
  mbuf->pkt_len = static_cast<std::uint32_t>(bytes);
  counters_.tx.add(1, bytes);
  tx_.queue(interface, mbuf);
  return true;
}

void NeighborService::receive_arp(rte_mbuf* mbuf, const net::Parsed& parsed, InterfaceId interface,
                                  Instant now) noexcept {
  counters_.arp_in.add();
  const std::optional<net::ArpMessage> arp = net::parse_arp(frame_of(mbuf), parsed);
  if (!arp) return drop(mbuf, Drop::kBadArp);
  const InterfaceInfo& info = topology_.interfaces()[interface];
  if (arp->sender_mac == info.mac) return drop(mbuf, Drop::kArpNotForUs);  // our own, come back
  // RFC 826: an entry that exists is updated by any packet of that sender; one is made only if the packet is to us.
  const bool to_us = topology_.answers_for(interface, arp->target);
  const bool sender_is_ours = topology_.answers_for(interface, arp->sender);  // a conflict: not learnt
  if (arp->sender.v4().raw() != 0 && !sender_is_ours && is_on_link(info, arp->sender)) {
    learn(interface, arp->sender, arp->sender_mac, to_us, now);
  }
  if (arp->operation == net::ArpOperation::kRequest && to_us) {
    const net::LinkSource self{info.mac, arp->target};
    if (send_built(interface, [&](auto room) { return net::build_arp_reply(room, self, *arp); })) {
      counters_.arp_out.add();
    }
  } else if (!to_us) {
    return drop(mbuf, Drop::kArpNotForUs);
  }
  rte_pktmbuf_free(mbuf);
}

void NeighborService::receive_nd(rte_mbuf* mbuf, const net::Parsed& parsed, InterfaceId interface,
                                 Instant now) noexcept {
  counters_.nd_in.add();
  const std::span<const std::uint8_t> frame = frame_of(mbuf);
  const std::optional<net::NeighborDiscovery> nd = net::parse_neighbor_discovery(frame, parsed);
  if (!nd) return drop(mbuf, Drop::kBadNeighborDiscovery);
  const InterfaceInfo& info = topology_.interfaces()[interface];
  if (nd->solicitation) {
    if (!topology_.answers_for(interface, nd->target)) return drop(mbuf, Drop::kArpNotForUs);
    // RFC 4861 section 7.2.3: the source's address is learnt unless it has none yet.
    if (nd->link_layer && !nd->src.is_unspecified() && is_on_link(info, nd->src)) {
      learn(interface, nd->src, *nd->link_layer, true, now);
    }
    const net::LinkSource self{info.mac, nd->target};
    const net::MacAddress to = net::header_at<net::EthernetHeader>(frame, 0).src;
    if (send_built(interface, [&](auto room) { return net::build_neighbor_advertisement(room, self, *nd, to); })) {
      counters_.nd_out.add();
    }
  } else {
    const std::size_t slot = neighbors_.slot_of(interface, nd->target);
    if (slot == Neighbors::kNone) return drop(mbuf, Drop::kArpNotForUs);  // RFC 4861 section 7.2.5: silently discarded
    const NeighborView known = neighbors_.view(slot);
    const net::MacAddress mac = nd->link_layer.value_or(known.mac);
    // Without the override flag a different address does not replace the one in use.
    const bool takes_effect = known.usable() ? (nd->override_ || mac == known.mac) : nd->link_layer.has_value();
    if (takes_effect) learn(interface, nd->target, mac, false, now);
  }
  rte_pktmbuf_free(mbuf);
}

void NeighborService::learn(InterfaceId interface, const net::IpAddress& address, const net::MacAddress& mac,
                            bool may_add, Instant now) noexcept {
  std::size_t slot = neighbors_.slot_of(interface, address);
  if (slot == Neighbors::kNone) {
    if (!may_add) return;
    slot = add(interface, address);
    if (slot == Neighbors::kNone) return;  // the table is full of others
    (void)neighbors_.take_used(slot);      // nobody has sent to it yet
  }
  if (neighbors_.view(slot).state == NeighborState::kStatic) return;
  neighbors_.set(slot, NeighborState::kReachable, mac);
  entries_[slot].probes = 0;
  set_deadline(entries_[slot], now + kReachable);
  send_pending(slot);
}

// An outsider who writes many on-link addresses as sources fills the table with neighbours that do not answer; a host of the
// link that asks for us under many names, with neighbours that nobody sends to; one that opens connections under many
// names, with neighbours that we do send to. The first two give way to anybody. The third keep out only others of their
// kind: what is needed takes the place of any of them, and so do those of another interface once this one has its share.
std::size_t NeighborService::add(InterfaceId interface, const net::IpAddress& address) noexcept {
  const bool needed = topology_.is_needed(address);
  const bool over = !needed && learnt_[interface] >= share_;
  std::size_t slot = over ? Neighbors::kNone : neighbors_.insert(interface, address, needed);
  if (slot == Neighbors::kNone) {
    std::size_t victim = neighbors_.expendable_near(interface, address, needed,
                                                    over ? Neighbors::Among::kThisInterface : Neighbors::Among::kAll);
    if (victim == Neighbors::kNone && !over) {
      victim = neighbors_.expendable_near(interface, address, true, Neighbors::Among::kOtherInterfaces);
      if (victim != Neighbors::kNone && learnt_[neighbors_.interface_of(victim)] < share_) victim = Neighbors::kNone;
    }
    if (victim == Neighbors::kNone) return victim;
    drop_pending(victim, Drop::kNeighborPending);
    remove(victim);
    slot = neighbors_.insert(interface, address, needed);
  }
  ++learnt_[interface];
  Entry& entry = entries_[slot];
  entry.probes = 0;
  entry.position = static_cast<std::uint32_t>(active_.size());
  active_.push_back(static_cast<std::uint32_t>(slot));
  return slot;
}

void NeighborService::remove(std::size_t slot) noexcept {
  --learnt_[neighbors_.interface_of(slot)];
  const std::uint32_t position = entries_[slot].position;
  active_[position] = active_.back();
  entries_[active_[position]].position = position;
  active_.pop_back();
  neighbors_.erase(slot);
}

void NeighborService::set_deadline(Entry& entry, Instant at) noexcept {
  entry.deadline = at;
  next_check_ = std::min(next_check_, at);
}

void NeighborService::send_pending(std::size_t slot) noexcept {
  const InterfaceId interface = neighbors_.interface_of(slot);
  const net::MacAddress mac = neighbors_.view(slot).mac;
  take_pending(entries_[slot], [&](rte_mbuf* mbuf) {
    write_link_header(mbuf, topology_.interfaces()[interface].mac, mac);
    counters_.tx.add(1, rte_pktmbuf_pkt_len(mbuf));
    tx_.queue(interface, mbuf);
  });
}

void NeighborService::drop_pending(std::size_t slot, Drop reason) noexcept {
  take_pending(entries_[slot], [&](rte_mbuf* mbuf) { drop(mbuf, reason); });
}

// A packet whose sender did not find its neighbour; by now it may be known, or be found to be silent.
void NeighborService::resolve(rte_mbuf* mbuf, Instant now) noexcept {
  const PendingNextHop next = pending_of(mbuf);
  std::size_t slot = neighbors_.slot_of(next.interface, next.address);
  if (slot == Neighbors::kNone) {
    slot = add(next.interface, next.address);
    if (slot == Neighbors::kNone) return drop(mbuf, Drop::kNeighborPending);
    solicit(slot, false);
    entries_[slot].probes = 1;
    set_deadline(entries_[slot], now + kRetransmit);
  }
  const NeighborView known = neighbors_.view(slot);
  if (known.state == NeighborState::kFailed) return drop(mbuf, Drop::kNeighborUnreachable);
  Entry& entry = entries_[slot];
  if (entry.pending == kMaxPending || waiting_ == kMaxWaiting) return drop(mbuf, Drop::kNeighborPending);
  pending_of(mbuf).next = nullptr;
  (entry.last == nullptr ? entry.first : pending_of(entry.last).next) = mbuf;
  entry.last = mbuf;
  ++entry.pending;
  ++waiting_;
  if (known.usable()) send_pending(slot);
}

void NeighborService::solicit(std::size_t slot, bool unicast) noexcept {
  const InterfaceId interface = neighbors_.interface_of(slot);
  const net::IpAddress target = neighbors_.address_of(slot);
  const InterfaceInfo& info = topology_.interfaces()[interface];
  const net::MacAddress mac = neighbors_.view(slot).mac;
  const net::MacAddress* to = unicast ? &mac : nullptr;
  // Asked from the own address that shares the target's prefix, so that the neighbour can answer it.
  net::LinkSource self{info.mac, target.is_v4() ? net::IpAddress::v4(Be32(0u)) : info.link_local};
  for (const net::Prefix& own : info.addresses) {
    if (own.contains(target)) {
      self.address = own.address;
      break;
    }
  }
  const bool v4 = target.is_v4();
  const bool sent = send_built(interface, [&](auto room) {
    return v4 ? net::build_arp_request(room, self, target, to)
              : net::build_neighbor_solicitation(room, self, target, to);
  });
  if (sent) (v4 ? counters_.arp_out : counters_.nd_out).add();
}

// The entry's time is over: the next state (RFC 4861 section 7.3.3, without DELAY).
void NeighborService::advance(std::size_t slot, Instant now) noexcept {
  Entry& entry = entries_[slot];
  const NeighborView known = neighbors_.view(slot);
  switch (known.state) {
    case NeighborState::kReachable:
      if (!neighbors_.take_used(slot)) return remove(slot);
      neighbors_.set(slot, NeighborState::kProbing, known.mac);
      entry.probes = 1;
      solicit(slot, true);
      break;
    case NeighborState::kIncomplete:
    case NeighborState::kProbing:
      if (entry.probes >= kMaxProbes) {
        // Its address may have moved to another MAC: the next packet asks everybody, at once (RFC 4861 section 7.3.3).
        if (known.state == NeighborState::kProbing) return remove(slot);
        neighbors_.set(slot, NeighborState::kFailed, {});
        drop_pending(slot, Drop::kNeighborUnreachable);
        return set_deadline(entry, now + kFailedHold);
      }
      ++entry.probes;
      solicit(slot, known.state == NeighborState::kProbing);
      break;
    default:  // kFailed: the next packet begins anew
      return remove(slot);
  }
  set_deadline(entry, now + kRetransmit);
}

void NeighborService::announce(InterfaceId interface, const net::IpAddress& address) noexcept {
  const net::LinkSource self{topology_.interfaces()[interface].mac, address};
  const bool v4 = address.is_v4();
  const bool sent = send_built(interface, [&](auto room) {
    return v4 ? net::build_gratuitous_arp(room, self) : net::build_unsolicited_advertisement(room, self);
  });
  if (sent) (v4 ? counters_.arp_out : counters_.nd_out).add();
}

// The next burst of the round; after the last one, when the next round begins.
void NeighborService::announce(Instant now) noexcept {
  if (announce_interface_ == 0 && announce_address_ == 0) round_began_ = now;
  for (std::size_t sent = 0; announce_interface_ < topology_.interfaces().size();) {
    const InterfaceInfo& info = topology_.interfaces()[announce_interface_];
    if (!info.announce || announce_address_ == info.announced.size()) {
      ++announce_interface_;
      announce_address_ = 0;
    } else if (sent == kAnnounceBurst) {
      next_announcement_ = now + kAnnouncePause;
      return;
    } else {
      announce(announce_interface_, info.announced[announce_address_]);
      ++announce_address_;
      ++sent;
    }
  }
  announce_interface_ = 0;
  --announcements_left_;
  next_announcement_ = round_began_ + kAnnounceInterval;
}

bool NeighborService::poll(Instant now) noexcept {
  bool worked = false;
  if (announcements_left_ > 0 && (!next_announcement_ || now >= *next_announcement_)) [[unlikely]] {
    announce(now);
    worked = true;
  }
  std::array<rte_mbuf*, 32> mbufs;
  const std::size_t count = resolve_.receive(mbufs);
  for (std::size_t i = 0; i < count; ++i) resolve(mbufs[i], now);
  worked |= count != 0;
  if (now < next_check_) [[likely]]
    return worked;
  next_check_ = Instant::max();
  Instant earliest = Instant::max();
  for (std::size_t i = active_.size(); i-- > 0;) {  // backwards: remove() fills the gap from the end
    const std::uint32_t slot = active_[i];
    if (entries_[slot].deadline <= now) advance(slot, now);
    if (i < active_.size() && active_[i] == slot) earliest = std::min(earliest, entries_[slot].deadline);
  }
  next_check_ = earliest == Instant::max() ? earliest : std::max(earliest, now + kTick);
  return true;
}

std::optional<Instant> NeighborService::next_deadline() const noexcept {
  Instant next = next_check_;
  if (announcements_left_ > 0) next = std::min(next, next_announcement_.value_or(Instant{}));
  return next == Instant::max() ? std::nullopt : std::optional(next);
}

}  // namespace sluice::dataplane
