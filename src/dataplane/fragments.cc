#include "fragments.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "packet.h"
#include "sluice/dpdk/mempool.h"
#include "sluice/net/fragment.h"

namespace sluice::dataplane {

using telemetry::Drop;

namespace {

// A fragment that waits: kept in the mbuf's private area.
struct Waiting {
  rte_mbuf* next;
  std::uint16_t offset;
  std::uint16_t l3_offset, fragment_at, end;  // of the frame
};
static_assert(sizeof(Waiting) <= dpdk::kMbufPrivate);

Waiting& waiting_of(rte_mbuf* mbuf) noexcept { return *static_cast<Waiting*>(rte_mbuf_to_priv(mbuf)); }

constexpr std::size_t kMaxIpPacket = 65535;

std::uint8_t proto_of(const net::Parsed& fragment) noexcept {
  // Of IPv6 the protocol is no part of it, and of later fragments unknown where extension headers follow the fragment's.
  return fragment.family == net::Family::kIp4 ? static_cast<std::uint8_t>(fragment.proto) : std::uint8_t{0};
}

}  // namespace

std::uint64_t fragment_hash(const SipKey& secret, const net::Parsed& fragment) noexcept {
  return tuple_hash(secret, fragment.src, static_cast<std::uint16_t>(fragment.fragment_id >> 16), fragment.dst,
                    static_cast<std::uint16_t>(fragment.fragment_id), static_cast<net::IpProto>(proto_of(fragment)));
}

Fragments::Fragments(const FragmentLimits& limits, telemetry::WorkerCounters& counters)
    : limits_(limits), counters_(counters), packets_(limits.packets), buckets_(std::bit_ceil(limits.packets), kNone) {
  for (std::uint32_t i = 0; i < packets_.size(); ++i) packets_[i].next_in_bucket_ = std::exchange(free_, i);
}

Fragments::~Fragments() {
  for (Packet& packet : packets_) {
    while (rte_mbuf* mbuf = take(packet)) rte_pktmbuf_free(mbuf);
  }
}

Fragments::Packet& Fragments::packet_of(const net::Parsed& fragment, std::uint64_t hash, Instant now) noexcept {
  const std::uint8_t proto = proto_of(fragment);
  for (std::uint32_t at = bucket_of(hash); at != kNone; at = packets_[at].next_in_bucket_) {
    Packet& packet = packets_[at];
    if (packet.hash_ == hash && packet.id_ == fragment.fragment_id && packet.proto_ == proto &&
        packet.src_ == fragment.src && packet.dst_ == fragment.dst) {
      return packet;
    }
  }
  if (free_ == kNone) forget(packets_[oldest_], Drop::kFragmentLimit);
  const std::uint32_t at = free_;
  Packet& packet = packets_[at];
  free_ = packet.next_in_bucket_;
  packet = Packet{};
  packet.src_ = fragment.src;
  packet.dst_ = fragment.dst;
  packet.id_ = fragment.fragment_id;
  packet.proto_ = proto;
  packet.hash_ = hash;
  packet.until_ = now + limits_.timeout;
  packet.next_in_bucket_ = std::exchange(bucket_of(hash), at);
  packet.newer_ = kNone;
  packet.older_ = std::exchange(newest_, at);
  (packet.older_ == kNone ? oldest_ : packets_[packet.older_].newer_) = at;
  next_ = packets_[oldest_].until_;
  return packet;
}

// False: more pieces than there is room for.
bool Fragments::add_range(Packet& packet, std::uint16_t from, std::uint16_t to) noexcept {
  const std::span<Packet::Range> ranges(packet.ranges_.data(), packet.range_count_);
  const auto next = std::ranges::find_if(ranges, [from](const Packet::Range& range) { return range.from >= from; });
  const auto at = static_cast<std::size_t>(next - ranges.begin());
  const bool joins_before = at > 0 && ranges[at - 1].to == from;
  const bool joins_after = at < ranges.size() && ranges[at].from == to;
  if (joins_before && joins_after) {
    ranges[at - 1].to = ranges[at].to;
    std::copy(next + 1, ranges.end(), next);
    --packet.range_count_;
  } else if (joins_before) {
    ranges[at - 1].to = to;
  } else if (joins_after) {
    ranges[at].from = from;
  } else {
    if (ranges.size() == kMaxRanges) return false;
    Packet::Range* place = packet.ranges_.data() + at;
    std::copy_backward(place, packet.ranges_.data() + packet.range_count_,
                       packet.ranges_.data() + packet.range_count_ + 1);
    *place = {from, to};
    ++packet.range_count_;
  }
  return true;
}

Drop Fragments::admit(Packet& packet, const net::Parsed& fragment) noexcept {
  if (packet.refused_ != Drop::kNone) return packet.refused_;
  const std::uint16_t from = fragment.fragment_offset;
  const auto to = static_cast<std::uint16_t>(from + fragment.fragment_len());
  const std::span<const Packet::Range> ranges(packet.ranges_.data(), packet.range_count_);
  // What came already may come again: the network makes copies (RFC 8200 section 4.5 lets them go alone).
  const bool copy = std::ranges::any_of(ranges, [&](const Packet::Range& r) { return r.from <= from && to <= r.to; });
  const bool overlaps = std::ranges::any_of(ranges, [&](const Packet::Range& r) { return r.from < to && from < r.to; });
  const bool last = !fragment.more_fragments;
  const std::uint16_t seen = ranges.empty() ? std::uint16_t{0} : ranges.back().to;
  const bool beyond_end = packet.total_ != 0 && (to > packet.total_ || (last && to != packet.total_));
  if ((overlaps && !copy) || beyond_end || (last && seen > to)) return refuse(packet, Drop::kFragmentOverlap);
  if (copy) return Drop::kFragmentOverlap;
  if (!add_range(packet, from, to)) return refuse(packet, Drop::kFragmentLimit);
  if (last) packet.total_ = to;
  return Drop::kNone;
}

void Fragments::wait(Packet& packet, rte_mbuf* mbuf, const net::Parsed& fragment) noexcept {
  if (waiting_ == limits_.waiting) {
    counters_.drop(refuse(packet, Drop::kFragmentLimit));
    return rte_pktmbuf_free(mbuf);
  }
  Waiting& added = waiting_of(mbuf);
  added = {.next = nullptr,
           .offset = fragment.fragment_offset,
           .l3_offset = fragment.l3_offset,
           .fragment_at = fragment.fragment_at,
           .end = fragment.end};
  rte_mbuf** place = &packet.first_;
  while (*place != nullptr && waiting_of(*place).offset < added.offset) place = &waiting_of(*place).next;
  added.next = std::exchange(*place, mbuf);
  ++packet.waiting_;
  ++waiting_;
  counters_.fragments_waited.add();
}

rte_mbuf* Fragments::take(Packet& packet) noexcept {
  rte_mbuf* mbuf = packet.first_;
  if (mbuf == nullptr) return nullptr;
  packet.first_ = waiting_of(mbuf).next;
  --packet.waiting_;
  --waiting_;
  return mbuf;
}

rte_mbuf* Fragments::reassemble(Packet& packet) noexcept {
  rte_mbuf* whole = packet.first_;
  const Waiting first = waiting_of(whole);
  const std::size_t at = first.fragment_at - first.l3_offset;
  if (at + packet.total_ > kMaxIpPacket) {
    drop_waiting(packet, Drop::kTooBig);
    return nullptr;
  }
  whole = take(packet);
  const auto cut = [](rte_mbuf* mbuf, std::uint16_t from, std::uint16_t end) {
    rte_pktmbuf_trim(mbuf, static_cast<std::uint16_t>(rte_pktmbuf_data_len(mbuf) - end));
    rte_pktmbuf_adj(mbuf, from);
  };
  cut(whole, first.l3_offset, first.end);
  rte_pktmbuf_adj(whole, static_cast<std::uint16_t>(net::make_whole(frame_of(whole), at, packet.total_)));
  for (rte_mbuf* last = whole; rte_mbuf* next = take(packet); last = next) {
    const Waiting later = waiting_of(next);
    cut(next, later.fragment_at, later.end);
    last->next = next;
    ++whole->nb_segs;
    whole->pkt_len += next->data_len;
  }
  whole->ol_flags &= ~RTE_MBUF_F_RX_L4_CKSUM_MASK;  // whatever the NIC said of the first fragment
  counters_.reassembled.add();
  return whole;
}

void Fragments::drop_waiting(Packet& packet, Drop reason) noexcept {
  while (rte_mbuf* mbuf = take(packet)) {
    counters_.drop(reason);
    rte_pktmbuf_free(mbuf);
  }
}

void Fragments::forget(Packet& packet, Drop reason) noexcept {
  drop_waiting(packet, reason);
  const std::uint32_t at = index_of(packet);
  std::uint32_t* link = &bucket_of(packet.hash_);
  while (*link != at) link = &packets_[*link].next_in_bucket_;
  *link = packet.next_in_bucket_;
  (packet.older_ == kNone ? oldest_ : packets_[packet.older_].newer_) = packet.newer_;
  (packet.newer_ == kNone ? newest_ : packets_[packet.newer_].older_) = packet.older_;
  packet.next_in_bucket_ = std::exchange(free_, at);
  next_ = oldest_ == kNone ? Instant::max() : packets_[oldest_].until_;
}

void Fragments::expire_due(Instant now) noexcept {
  while (oldest_ != kNone && packets_[oldest_].until_ <= now) forget(packets_[oldest_], Drop::kFragmentTimeout);
}

}  // namespace sluice::dataplane
