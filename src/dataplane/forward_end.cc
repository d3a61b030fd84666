// Flows that are asked for from outside: counted, listed, and ended by hand.
#include "forward.h"
#include "packet.h"

namespace sluice::dataplane {

namespace {

constexpr std::size_t kPlacesPerTurn = 256;

// Whom the backend knows the flow by.
net::Endpoint source_towards_backend(const lb::Snapshot& snapshot, const lb::Flow& flow, config::ForwardMode mode) {
  if (!config::takes_port(mode)) return flow.key.client_endpoint();
  return {snapshot.sources[flow.reply.source], flow.reply.local_port};
}

}  // namespace

bool Forward::answer(lb::FlowQueryMailbox& queries, const lb::Snapshot& snapshot, Ms now) noexcept {
  return queries.serve(flows_, kPlacesPerTurn, now, [&](lb::Flow& flow) { end_flow(snapshot, flow, now); });
}

void Forward::end_flow(const lb::Snapshot& snapshot, lb::Flow& flow, Ms now) noexcept {
  reset_open(snapshot, flow);
  counters_.flows_killed.add();
  flows_.remove(flow, now);
}

bool Forward::reset_open(const lb::Snapshot& snapshot, const lb::Flow& flow) noexcept {
  if (!lb::is_open(flow.state())) return false;
  if (flow.is(lb::Flow::kSctp)) return abort_both_ends(snapshot, flow);
  if (flow.key.proto != net::IpProto::kTcp) return false;
  if (!awaits_backend(flow)) {
    reset_both_ends(snapshot, flow);
  } else if (rte_mbuf* mbuf = answers_.blank()) {
    send_reset_to_client(snapshot, mbuf, flow);
  }
  return true;
}

// RFC 9293 section 3.10.7.4: a reset counts where its sequence number is the one that is waited for. Towards the client that
// is what it has acknowledged last, towards the backend what the client would send next.
void Forward::reset_both_ends(const lb::Snapshot& snapshot, const lb::Flow& flow) noexcept {
  const lb::Listener* listener = listener_of(snapshot, flow);
  if (listener == nullptr) return;
  send_reset({.src = listener->endpoint(),
              .dst = flow.key.client_endpoint(),
              .sequence = flow.client_ack,
              .acknowledgment = flow.client_next,
              .flags = net::kTcpRst | net::kTcpAck,
              .window = 0,
              .options = {}});
  if (!config::sees_replies(listener->mode)) return;  // it has the service's address, and hears of it from the client
  send_reset({.src = source_towards_backend(snapshot, flow, listener->mode),
              .dst = flow.reply.endpoint(),
              .sequence = flow.client_next,
              .acknowledgment = 0,
              .flags = net::kTcpRst,
              .window = 0,
              .options = {}});
}

bool Forward::abort_both_ends(const lb::Snapshot& snapshot, const lb::Flow& flow) noexcept {
  const std::uint32_t tag = flow.client_next;
  const lb::Listener* listener = tag == 0 ? nullptr : listener_of(snapshot, flow);
  if (listener == nullptr) return false;  // the backend has not answered yet
  send_abort({.src = listener->endpoint(), .dst = flow.key.client_endpoint(), .tag = tag, .reflected = true});
  if (!config::sees_replies(listener->mode)) return true;
  send_abort({.src = source_towards_backend(snapshot, flow, listener->mode), .dst = flow.reply.endpoint(), .tag = tag});
  return true;
}

void Forward::send_reset(const net::TcpSegment& segment) noexcept {
  rte_mbuf* mbuf = answers_.blank();
  if (mbuf == nullptr) return;
  write_segment(mbuf, segment);
  counters_.rst_sent.add();
  egress_.send_ip(mbuf, segment.dst.address);
}

void Forward::send_abort(const net::SctpAbort& abort) noexcept {
  rte_mbuf* mbuf = answers_.blank();
  if (mbuf == nullptr) return;
  write_abort(mbuf, abort);
  counters_.rst_sent.add();
  egress_.send_ip(mbuf, abort.dst.address);
}

}  // namespace sluice::dataplane
