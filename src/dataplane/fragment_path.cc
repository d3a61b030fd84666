#include "fragment_path.h"

#include "packet.h"
#include "sluice/dpdk/mempool.h"

namespace sluice::dataplane {

using telemetry::Drop;

namespace {

static_assert(sizeof(FragmentNote) <= dpdk::kMbufPrivate);

FragmentNote& note_of(rte_mbuf* mbuf) noexcept { return *static_cast<FragmentNote*>(rte_mbuf_to_priv(mbuf)); }

bool is_of_a_flow(Action action) noexcept {
  return action == Action::kToBackend || action == Action::kToClient || action == Action::kDnatToClient;
}

void take(const FragmentNote& note, net::Parsed& parsed) noexcept {
  parsed.src_port = note.src_port;
  parsed.dst_port = note.dst_port;
  parsed.proto = note.proto;
  parsed.fragment_id = note.id;
}

constexpr Classified kTaken{.action = Action::kNone};

}  // namespace

Classified FragmentPath::receive(const lb::Snapshot& snapshot, rte_mbuf* mbuf, net::Parsed& parsed,
                                 Instant now) noexcept {
  if ((mbuf->ol_flags & parts_.note_flag) != 0) {
    mbuf->ol_flags &= ~parts_.note_flag;
    take(note_of(mbuf), parsed);
    const Classified what = parts_.classifier.classify_fragment(snapshot, frame_of(mbuf), parsed);
    if (is_of_a_flow(what.action)) return what;
    return {.action = Action::kDrop, .drop = Drop::kNotForUs};  // the service went away meanwhile
  }
  const std::uint64_t hash = fragment_hash(parts_.classifier.secret, parsed);
  const auto owner = static_cast<RoleId>(((hash >> 32) * parts_.workers) >> 32);
  if (owner != parts_.id) {
    give(owner, mbuf);
    return kTaken;
  }
  parts_.counters.fragments.add();
  Fragments::Packet& packet = table_.packet_of(parsed, hash, now);
  if (const Drop refused = table_.admit(packet, parsed); refused != Drop::kNone) {
    return {.action = Action::kDrop, .drop = refused};
  }
  const bool first = parsed.fragment == net::FragmentKind::kFirst;
  Classified what = kTaken;
  if (first) {
    const Classified found = parts_.classifier.classify_fragment(snapshot, frame_of(mbuf), parsed);
    packet.known = true;
    packet.action = found.action;
    packet.drop = found.drop;
    packet.owner = found.owner;
    if (found.listener != nullptr) packet.service = found.listener->service;
    packet.note = {.src_port = parsed.src_port, .dst_port = parsed.dst_port, .proto = parsed.proto, .id = fresh_id()};
  }
  if (!packet.known) {
    table_.wait(packet, mbuf, parsed);
    return kTaken;
  }
  if (!first && packet.action != Action::kToProxy) {
    const Drop reason = parts_.guard.judge_rates_of(packet.service, parsed.l3_len(), to_ms(now));
    if (reason != Drop::kNone) return {.action = Action::kDrop, .drop = reason};
  }
  what = pass(snapshot, packet, mbuf, parsed, now);
  if (first) release(packet, now);
  if (packet.complete()) table_.forget(packet, Drop::kFragmentLimit);  // nothing waits
  return what;
}

Classified FragmentPath::pass(const lb::Snapshot& snapshot, Fragments::Packet& packet, rte_mbuf* mbuf,
                              net::Parsed& parsed, Instant now) noexcept {
  if (packet.action == Action::kToProxy) {
    collect(packet, mbuf, parsed, now);
    return kTaken;
  }
  if (!is_of_a_flow(packet.action)) {
    answer(packet, mbuf, parsed, now);
    return kTaken;
  }
  if (packet.owner != parts_.id) {
    give_noted(packet, mbuf);
    return kTaken;
  }
  take(packet.note, parsed);
  return parts_.classifier.classify_fragment(snapshot, frame_of(mbuf), parsed);
}

// Those that came before the first one. Of a flow they come back by the hand-over, behind the first one.
void FragmentPath::release(Fragments::Packet& packet, Instant now) noexcept {
  if (packet.action == Action::kToProxy) return;  // they wait for the rest
  while (rte_mbuf* mbuf = table_.take(packet)) {
    const std::size_t bytes = rte_pktmbuf_pkt_len(mbuf) - Egress::kLinkRoom;
    const Drop reason = parts_.guard.judge_rates_of(packet.service, bytes, to_ms(now));
    if (reason != Drop::kNone) {
      parts_.egress.drop(mbuf, reason);
    } else if (is_of_a_flow(packet.action)) {
      give_noted(packet, mbuf);
    } else {
      answer(packet, mbuf, net::parse(frame_of(mbuf)), now);
    }
  }
}

void FragmentPath::answer(Fragments::Packet& packet, rte_mbuf* mbuf, const net::Parsed& parsed, Instant now) noexcept {
  switch (packet.action) {
    case Action::kEcho:
      return parts_.answers.echo(mbuf, parsed, to_ms(now));
    case Action::kPortClosed:
      if (parsed.fragment == net::FragmentKind::kFirst) parts_.answers.refuse(mbuf, parsed, to_ms(now));
      return parts_.egress.drop(mbuf, packet.drop);
    default:
      return parts_.egress.drop(mbuf, packet.drop);
  }
}

void FragmentPath::collect(Fragments::Packet& packet, rte_mbuf* mbuf, const net::Parsed& parsed, Instant now) noexcept {
  table_.wait(packet, mbuf, parsed);
  if (!packet.complete() || packet.waiting() == 0) return;
  rte_mbuf* whole = table_.reassemble(packet);
  if (whole == nullptr) return;
  const Drop reason = parts_.guard.judge_rates_of(packet.service, rte_pktmbuf_pkt_len(whole), to_ms(now));
  if (reason != Drop::kNone) return parts_.egress.drop(whole, reason);
  give(static_cast<RoleId>(parts_.workers + packet.owner), whole);
}

void FragmentPath::give_noted(const Fragments::Packet& packet, rte_mbuf* mbuf) noexcept {
  note_of(mbuf) = packet.note;
  mbuf->ol_flags |= parts_.note_flag;
  give(packet.owner, mbuf);
}

void FragmentPath::give(RoleId to, rte_mbuf* mbuf) noexcept {
  parts_.counters.handed_over.add();
  if (const std::size_t dropped = parts_.handoff.give(to, mbuf); dropped != 0) {
    parts_.counters.drop(Drop::kHandoffFull, dropped);
  }
}

}  // namespace sluice::dataplane
