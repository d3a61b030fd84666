#include "sluice/dataplane/worker.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <optional>

#include <rte_prefetch.h>

#include "answers.h"
#include "classify.h"
#include "forward.h"
#include "fragment_path.h"
#include "guard.h"
#include "neighbor_service.h"
#include "packet.h"
#include "sluice/net/parse_common.h"
#include "vlan.h"

namespace sluice::dataplane {

using telemetry::Drop;

namespace {

constexpr std::size_t kInboxBursts = 4;  // a turn: others may give more than one queue does

lb::FlowTable::Secret table_secret(const SipKey& key, RoleId worker) noexcept {
  lb::FlowTable::Secret secret{};
  for (std::size_t i = 0; i < secret.size(); ++i) {
    const std::array<std::uint8_t, 4> label{'f', 't', static_cast<std::uint8_t>(worker), static_cast<std::uint8_t>(i)};
    secret[i] = siphash24(key, label);
  }
  return secret;
}

SipKey cookie_secret(const SipKey& key, RoleId worker) noexcept {
  SipKey secret{};
  for (std::size_t i = 0; i < secret.size(); ++i) {
    const std::array<std::uint8_t, 4> label{'s', 'c', static_cast<std::uint8_t>(worker), static_cast<std::uint8_t>(i)};
    secret[i] = siphash24(key, label);
  }
  return secret;
}

// A tag of VLAN 0 carries a priority and nothing else (IEEE 802.1Q section 6.9): the frame goes on without it.
void strip_priority_tags(rte_mbuf* mbuf, std::size_t bytes) noexcept {
  net::remove_tags(frame_of(mbuf), bytes);
  rte_pktmbuf_adj(mbuf, static_cast<std::uint16_t>(bytes));
}

// What a device says about a packet that may end its way here.
constexpr std::uint64_t kDeviceMarks =
    kTagStripped | kOuterStripped | RTE_MBUF_F_RX_IP_CKSUM_BAD | RTE_MBUF_F_RX_L4_CKSUM_BAD;
Drop judge_marks(const rte_mbuf& mbuf) noexcept {
  if (lost_its_tag(&mbuf)) return Drop::kVlanUnknown;
  // "None" is both bits of a mask, "bad" one of them.
  if ((mbuf.ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_BAD) return Drop::kBadIpChecksum;
  if ((mbuf.ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_BAD) return Drop::kBadChecksum;
  return Drop::kNone;
}

// The packets of one burst, as structure of arrays: each stage runs over what it needs.
struct Burst {
  // Neither mbufs nor frames are in the first caches. They are asked for so many packets before their turn that they are
  // there by then, and not all at once: a core waits for some 16 lines at a time.
  static constexpr std::size_t kMbufAhead = 12, kFrameAhead = 4;

  std::size_t count = 0;
  std::array<rte_mbuf*, kMaxBurst + kMbufAhead> mbufs;  // behind the last: any mbuf, so that nobody looks how far it is
  std::array<net::Parsed, kMaxBurst> parsed;

  [[nodiscard]] std::span<rte_mbuf*> room() noexcept { return std::span(mbufs).first(kMaxBurst); }
};

}  // namespace

class alignas(kOwnLines) Worker::Impl {
 public:
  explicit Impl(WorkerParts parts)
      : parts_(std::move(parts)),
        egress_(parts_.topology, parts_.neighbors, parts_.tx, parts_.resolve, parts_.counters.drops, parts_.counters.tx,
                parts_.counters.packets_cut),
        answers_(parts_.pool, egress_, parts_.counters),
        guard_(parts_.config, parts_.acls, cookie_secret(parts_.secret, parts_.id), parts_.workers),
        forward_(
            parts_.flows, table_secret(parts_.secret, parts_.id), parts_.ports.worker_block(parts_.id), parts_.nat_sets,
            parts_.seed * 2 + parts_.id, egress_, answers_, parts_.counters,
            {.secret = cookie_secret(parts_.secret, parts_.id), .wanted = parts_.syn_proxy, .workers = parts_.workers},
            parts_.persistent_clients, guard_, parts_.id, std::move(parts_.esp_engine), parts_.rss),
        classifier_{.topology = parts_.topology,
                    .ports = parts_.ports,
                    .rss = parts_.rss,
                    .secret = parts_.secret,
                    .workers = static_cast<std::uint32_t>(parts_.workers),
                    .proxies = static_cast<std::uint32_t>(parts_.proxies)},
        fragments_({.id = parts_.id,
                    .workers = parts_.workers,
                    .seed = parts_.seed,
                    .limits = parts_.fragments,
                    .note_flag = parts_.note_flag,
                    .classifier = classifier_,
                    .egress = egress_,
                    .answers = answers_,
                    .guard = guard_,
                    .handoff = parts_.handoff,
                    .counters = parts_.counters}) {
    for (std::size_t i = 0; i < parts_.topology.interfaces().size(); ++i) {
      std::memcpy(&our_macs_[i], parts_.topology.interfaces()[i].mac.bytes.data(), sizeof(net::MacAddress));
    }
    if (parts_.id == 0) {
      neighbors_.emplace(parts_.topology, parts_.neighbors, parts_.tx, parts_.pool, parts_.resolve, parts_.counters,
                         parts_.announce);
    }
  }

  bool poll(Instant now) noexcept;
  [[nodiscard]] std::optional<Instant> next_deadline() const noexcept {
    const Instant neighbors = neighbors_ ? neighbors_->next_deadline().value_or(Instant::max()) : Instant::max();
    const Instant next = std::min({neighbors, fragments_.next_deadline(), retry_at_});
    return next == Instant::max() ? std::nullopt : std::optional(next);
  }
  lb::FlowQueryMailbox queries_;
  std::atomic<bool> refuse_new_{false};  // control: w, worker: r

 private:
  // Everything that is in burst_; `from` is where it was received, nullptr if another role gave it. Gives the bytes of all frames.
  std::uint64_t run(const lb::Snapshot& snapshot, const RxQueue* from, Instant now) noexcept;
  void classify(const lb::Snapshot& snapshot, std::size_t index, Instant now) noexcept;
  template <net::Family kFamily>
  void classify_common(const lb::Snapshot& snapshot, rte_mbuf* mbuf, net::Parsed& parsed,
                       const net::CommonHeaders<kFamily>& headers, Instant now) noexcept;
  void classify_any(const lb::Snapshot& snapshot, rte_mbuf* mbuf, net::Parsed& parsed, Instant now) noexcept;
  [[nodiscard]] bool admit(const lb::Snapshot& snapshot, rte_mbuf* mbuf, const net::Parsed& parsed,
                           const Classified& what, Instant now) noexcept;
  [[nodiscard]] bool admit_fragment(const lb::Snapshot& snapshot, rte_mbuf* mbuf, const net::Parsed& parsed,
                                    Instant now) noexcept;
  [[nodiscard]] bool take_common(const lb::Snapshot& snapshot, rte_mbuf* mbuf, net::Parsed& parsed,
                                 Instant now) noexcept;
  template <net::Family kFamily>
  [[nodiscard]] bool take_common_of(const lb::Snapshot& snapshot, rte_mbuf* mbuf, net::Parsed& parsed,
                                    Instant now) noexcept;
  [[nodiscard, gnu::noinline]] bool take_common6(const lb::Snapshot& snapshot, rte_mbuf* mbuf, net::Parsed& parsed,
                                                 Instant now) noexcept;
  [[nodiscard]] bool take_common_of_vlan(const lb::Snapshot& snapshot, rte_mbuf* mbuf, net::Parsed& parsed,
                                         Instant now) noexcept;
  [[nodiscard]] bool accept(rte_mbuf* mbuf, net::Parsed& parsed) noexcept;
  void act(const lb::Snapshot& snapshot, rte_mbuf* mbuf, net::Parsed& parsed, const Classified& what,
           Instant now) noexcept;
  void give(RoleId to, rte_mbuf* mbuf) noexcept {
    parts_.counters.handed_over.add();
    if (const std::size_t dropped = parts_.handoff.give(to, mbuf); dropped != 0) {
      parts_.counters.drop(Drop::kHandoffFull, dropped);
    }
  }

  // The first 8 bytes of a frame: all of the destination's MAC address, and of the source's the bit that marks a group.
  static constexpr std::uint64_t kMacsMask = 0x0001'ffff'ffff'ffff;

  WorkerParts parts_;
  std::array<std::uint64_t, kMaxInterfaces> our_macs_{};  // as kMacsMask leaves them of a frame from one host to us
  Egress egress_;
  Answers answers_;
  Guard guard_;
  bool judges_ = false;  // the burst at hand: it came from outside, and the guard wants to see it
  Forward forward_;
  Classifier classifier_;
  FragmentPath fragments_;
  std::optional<NeighborService> neighbors_;  // worker 0
  Instant retry_at_ = Instant::max();         // of the SYN proxy
  Burst burst_;
};

bool Worker::Impl::poll(Instant now) noexcept {
  const lb::Snapshot* snapshot = parts_.snapshots.load();
  forward_.refuse_new_flows(refuse_new_.load(std::memory_order_relaxed));
  telemetry::WorkerCounters& counters = parts_.counters;
  bool worked = false;
  for (const RxQueue& queue : parts_.queues) {
    burst_.count = queue.device->receive(queue.queue, burst_.room());
    if (burst_.count == 0) continue;
    counters.bursts.add();
    worked = true;
    if (snapshot != nullptr) [[likely]] {
      const std::uint64_t bytes = run(*snapshot, &queue, now);
      counters.rx.add(burst_.count, bytes);
    } else {
      std::uint64_t bytes = 0;
      for (std::size_t i = 0; i < burst_.count; ++i) bytes += rte_pktmbuf_pkt_len(burst_.mbufs[i]);
      counters.rx.add(burst_.count, bytes);
      counters.drop(Drop::kShutdown, burst_.count);
      rte_pktmbuf_free_bulk(burst_.mbufs.data(), static_cast<unsigned>(burst_.count));
    }
  }
  for (std::size_t taken = kMaxBurst, burst = 0; taken == kMaxBurst && burst < kInboxBursts; ++burst) {
    taken = burst_.count = parts_.inbox.receive(burst_.room());
    if (taken == 0) break;
    counters.taken_over.add(taken);
    worked = true;
    (void)run(*snapshot, nullptr, now);  // there was one when they were handed over, and it is never taken away
  }
  counters.polls.add();
  if (neighbors_) worked |= neighbors_->poll(now);
  const Ms now_ms = to_ms(now);
  if (snapshot != nullptr) [[likely]] {
    worked |= forward_.retry_openings(*snapshot, now_ms);
    const std::optional<Ms> retry = forward_.next_retry(now_ms);
    retry_at_ = retry ? now + std::chrono::milliseconds(elapsed(*retry, now_ms)) : Instant::max();
    worked |= forward_.abandon_flows(*snapshot, now_ms);
    worked |= forward_.answer(queries_, *snapshot, now_ms);
  }
  worked |= forward_.expire(now_ms);
  worked |= fragments_.expire(now);
  if (const std::size_t dropped = parts_.handoff.flush(); dropped != 0) counters.drop(Drop::kHandoffFull, dropped);
  return worked;
}

// A packet that is not common. False: it is malformed or nothing for us on the link, and was dropped.
bool Worker::Impl::accept(rte_mbuf* mbuf, net::Parsed& parsed) noexcept {
  const auto dropped = [&](Drop reason) {
    egress_.drop(mbuf, reason);
    return false;
  };
  if (mbuf->nb_segs > 1 && rte_pktmbuf_linearize(mbuf) != 0) return dropped(Drop::kTooBig);
  net::parse(frame_of(mbuf), parsed);
  if (!parsed.ok()) return dropped(drop_of(parsed.error));
  if (const Drop reason = judge_marks(*mbuf); reason != Drop::kNone) return dropped(reason);
  if (parsed.l3_offset != Egress::kLinkRoom && parsed.vlan == 0) {
    strip_priority_tags(mbuf, parsed.l3_offset - Egress::kLinkRoom);
    net::parse(frame_of(mbuf), parsed);
  }
  const auto& ethernet = net::header_at<net::EthernetHeader>(frame_of(mbuf), 0);
  const bool to_us = ethernet.dst == parts_.topology.interfaces()[interface_of(mbuf)].mac;
  // No frame comes from a group address; the answer to one that says so would go to all of the group.
  if (!(to_us || ethernet.dst.is_multicast()) || ethernet.src.is_multicast()) return dropped(Drop::kBadEthernet);
  return true;
}

// The guard at the door. It is asked where a packet comes in, and not again by who it is handed to. False: it was dropped.
bool Worker::Impl::admit(const lb::Snapshot& snapshot, rte_mbuf* mbuf, const net::Parsed& parsed,
                         const Classified& what, Instant now) noexcept {
  if (what.action == Action::kFragment) [[unlikely]]
    return admit_fragment(snapshot, mbuf, parsed, now);
  const bool of_service =
      what.listener != nullptr && (what.action == Action::kToBackend || what.action == Action::kToProxy);
  if (!of_service && what.action != Action::kEcho && what.action != Action::kPortClosed) return true;
  const bool checksum_known = (mbuf->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD;
  const lb::ServiceIndex service = of_service ? what.listener->service : lb::ServiceIndex{lb::kNoIndex};
  const Ms now_ms = to_ms(now);
  Drop reason = guard_.judge(snapshot, frame_of(mbuf), parsed, service, checksum_known, now_ms);
  if (reason == Drop::kNone && what.action == Action::kToProxy && (parsed.tcp_flags & kTcpControl) == net::kTcpSyn) {
    reason = guard_.judge_flow(snapshot, parsed.src, service, now_ms);
  }
  if (reason == Drop::kNone) return true;
  egress_.drop(mbuf, reason);
  return false;
}

// The first one has all that a whole packet has. A later one that comes to an address of ours from which we speak to backends
// may be an answer of theirs, which is not judged: there its first one alone decides.
[[gnu::noinline]] bool Worker::Impl::admit_fragment(const lb::Snapshot& snapshot, rte_mbuf* mbuf,
                                                    const net::Parsed& parsed, Instant now) noexcept {
  if (parsed.fragment == net::FragmentKind::kFirst) {
    return admit(snapshot, mbuf, parsed, classifier_.classify_fragment(snapshot, frame_of(mbuf), parsed), now);
  }
  const lb::LocalAddress* local = snapshot.find_local(parsed.dst);
  const bool from_outside = local != nullptr ? local->source == lb::kNoIndex : snapshot.is_ours(parsed.dst);
  const Drop reason = from_outside ? guard_.judge_later(snapshot, parsed, to_ms(now)) : Drop::kNone;
  if (reason == Drop::kNone) return true;
  egress_.drop(mbuf, reason);
  return false;
}

// The way of nearly every packet: of a flow of this worker, put aside to be looked up together with others.
template <net::Family kFamily>
[[gnu::always_inline]] inline void Worker::Impl::classify_common(const lb::Snapshot& snapshot, rte_mbuf* mbuf,
                                                                 net::Parsed& parsed,
                                                                 const net::CommonHeaders<kFamily>& headers,
                                                                 Instant now) noexcept {
  const Classifier::Common what = classifier_.classify_common(snapshot, headers, parts_.id);
  const lb::Listener* listener = snapshot.listeners.data() + what.listener.index;
  if (!what.ours) [[unlikely]] {
    net::expand(kFamily, frame_of(mbuf).data(), parsed);
    return classify_any(snapshot, mbuf, parsed, now);
  }
  const bool opens = (headers.tcp_flags & net::kTcpSyn) != 0;
  if (opens || judges_) [[unlikely]] {
    net::expand(kFamily, frame_of(mbuf).data(), parsed);
    const Classified known{.action = what.to_client ? Action::kToClient : Action::kToBackend, .listener = listener};
    if (judges_ && !admit(snapshot, mbuf, parsed, known, now)) return;
  }
  const net::Family common = opens ? net::Family::kNone : kFamily;
  forward_.add_common({mbuf, &parsed, listener, what.source, common}, headers, what.listener, what.to_client);
}

// One segment, of a common shape, from one host to our MAC address. False: it is something else.
template <net::Family kFamily>
[[gnu::always_inline]] inline bool Worker::Impl::take_common_of(const lb::Snapshot& snapshot, rte_mbuf* mbuf,
                                                                net::Parsed& parsed, Instant now) noexcept {
  const auto* frame = rte_pktmbuf_mtod(mbuf, const std::uint8_t*);
  net::CommonHeaders<kFamily> headers;
  if (mbuf->nb_segs != 1 || (mbuf->ol_flags & kDeviceMarks) != 0 ||
      !net::parse_common(frame, mbuf->data_len, headers) ||
      (net::common::load<std::uint64_t>(frame) & kMacsMask) != our_macs_[interface_of(mbuf)]) {
    return false;
  }
  classify_common(snapshot, mbuf, parsed, headers, now);
  return true;
}

// A function of its own: in one with the other family's, the compiler has too few registers.
bool Worker::Impl::take_common6(const lb::Snapshot& snapshot, rte_mbuf* mbuf, net::Parsed& parsed,
                                Instant now) noexcept {
  return take_common_of<net::Family::kIp6>(snapshot, mbuf, parsed, now);
}

[[gnu::always_inline]] inline bool Worker::Impl::take_common(const lb::Snapshot& snapshot, rte_mbuf* mbuf,
                                                             net::Parsed& parsed, Instant now) noexcept {
  return take_common_of<net::Family::kIp4>(snapshot, mbuf, parsed, now) || take_common6(snapshot, mbuf, parsed, now);
}

// The same of a frame of a VLAN, once its tags are off. All frames of VLANs get here, and are entered.
[[gnu::noinline]] bool Worker::Impl::take_common_of_vlan(const lb::Snapshot& snapshot, rte_mbuf* mbuf,
                                                         net::Parsed& parsed, Instant now) noexcept {
  return parts_.topology.has_vlans() && enter_vlan(mbuf, parts_.topology) && take_common(snapshot, mbuf, parsed, now);
}

void Worker::Impl::classify_any(const lb::Snapshot& snapshot, rte_mbuf* mbuf, net::Parsed& parsed,
                                Instant now) noexcept {
  const Classified what = classifier_.classify(snapshot, frame_of(mbuf), parsed);
  if (judges_ && !admit(snapshot, mbuf, parsed, what, now)) return;
  act(snapshot, mbuf, parsed, what, now);
}

[[gnu::always_inline]] inline void Worker::Impl::classify(const lb::Snapshot& snapshot, std::size_t index,
                                                          Instant now) noexcept {
  rte_mbuf* mbuf = burst_.mbufs[index];
  net::Parsed& parsed = burst_.parsed[index];
  if (!take_common(snapshot, mbuf, parsed, now) && !take_common_of_vlan(snapshot, mbuf, parsed, now) &&
      accept(mbuf, parsed)) {
    classify_any(snapshot, mbuf, parsed, now);
  }
}

std::uint64_t Worker::Impl::run(const lb::Snapshot& snapshot, const RxQueue* from, Instant now) noexcept {
  judges_ = from != nullptr && guard_.wanted();
  const std::size_t count = burst_.count;
  std::fill_n(burst_.mbufs.begin() + static_cast<std::ptrdiff_t>(count), Burst::kMbufAhead, burst_.mbufs[0]);
  const auto fetch_frame = [&](std::size_t i) { rte_prefetch0(rte_pktmbuf_mtod(burst_.mbufs[i], void*)); };
  for (std::size_t i = 0; i < Burst::kMbufAhead; ++i) rte_prefetch0(burst_.mbufs[i]);
  for (std::size_t i = 0; i < Burst::kFrameAhead; ++i) fetch_frame(i);
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < count; ++i) {
    rte_prefetch0(burst_.mbufs[i + Burst::kMbufAhead]);
    fetch_frame(i + Burst::kFrameAhead);
    rte_mbuf* mbuf = burst_.mbufs[i];
    if (from != nullptr) [[likely]]
      mbuf->port = from->interface;
    bytes += rte_pktmbuf_pkt_len(mbuf);
    classify(snapshot, i, now);
  }
  forward_.run(snapshot, to_ms(now));
  return bytes;
}

// What is not a common packet of a flow of this worker.
void Worker::Impl::act(const lb::Snapshot& snapshot, rte_mbuf* mbuf, net::Parsed& parsed, const Classified& what,
                       Instant now) noexcept {
  switch (what.action) {
    case Action::kToBackend:
      if (what.owner != parts_.id) return give(what.owner, mbuf);
      return forward_.add({mbuf, &parsed, what.listener, lb::kNoIndex},
                          forward_.destination_of(*what.listener, {parsed.dst, parsed.dst_port}), false);
    case Action::kToClient:
      if (what.owner != parts_.id) {
        parts_.counters.replies_handed_over.add();
        return give(what.owner, mbuf);
      }
      return forward_.add({mbuf, &parsed, nullptr, what.source}, {}, true);
    case Action::kDnatToClient:
      if (what.owner != parts_.id) return give(what.owner, mbuf);
      return forward_.add_dnat_reply({mbuf, &parsed, nullptr, lb::kNoIndex});
    case Action::kEsp:
      if (what.owner != parts_.id) return give(what.owner, mbuf);
      return forward_.add_esp({mbuf, &parsed, nullptr, lb::kNoIndex});
    case Action::kErrorToBackend:
      if (what.owner != parts_.id) return give(what.owner, mbuf);
      return forward_.error_to_backend(snapshot, {mbuf, &parsed, what.listener, lb::kNoIndex}, to_ms(now));
    case Action::kErrorFromTunnel:
      if (what.owner != parts_.id) return give(what.owner, mbuf);
      return forward_.error_from_tunnel(snapshot, {mbuf, &parsed, what.listener, lb::kNoIndex}, to_ms(now));
    case Action::kErrorToClient:
      if (what.owner != parts_.id) return give(what.owner, mbuf);
      return forward_.error_to_client(snapshot, {mbuf, &parsed, nullptr, what.source}, to_ms(now));
    case Action::kToProxy:
      // From the IP header on, without Ethernet padding.
      rte_pktmbuf_trim(mbuf, static_cast<std::uint16_t>(rte_pktmbuf_data_len(mbuf) - parsed.end));
      rte_pktmbuf_adj(mbuf, parsed.l3_offset);
      return give(static_cast<RoleId>(parts_.workers + what.owner), mbuf);
    case Action::kArp:
    case Action::kNeighborDiscovery:
      if (!neighbors_) return give(0, mbuf);
      if (what.action == Action::kArp) return neighbors_->receive_arp(mbuf, parsed, interface_of(mbuf), now);
      return neighbors_->receive_nd(mbuf, parsed, interface_of(mbuf), now);
    case Action::kFragment:
      return act(snapshot, mbuf, parsed, fragments_.receive(snapshot, mbuf, parsed, now), now);
    case Action::kNone:
      return;
    case Action::kEcho:
      return answers_.echo(mbuf, parsed, to_ms(now));
    case Action::kPortClosed:
      answers_.refuse(mbuf, parsed, to_ms(now));
      return egress_.drop(mbuf, what.drop);
    case Action::kDrop:
      return egress_.drop(mbuf, what.drop);
  }
}

Worker::Worker(WorkerParts parts) : impl_(std::make_unique<Impl>(std::move(parts))) {}
Worker::~Worker() = default;
bool Worker::poll(Instant now) noexcept { return impl_->poll(now); }
std::optional<Instant> Worker::next_deadline() const noexcept { return impl_->next_deadline(); }
void Worker::refuse_new_flows() noexcept { impl_->refuse_new_.store(true, std::memory_order_relaxed); }
lb::FlowQueryMailbox& Worker::queries() noexcept { return impl_->queries_; }

}  // namespace sluice::dataplane
