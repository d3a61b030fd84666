// Forwarding mode `dnat`: the destination alone is rewritten. Backends see their clients' addresses, and their way to the
// clients leads through us, so that replies are rewritten to come from the service. (A reply of a known flow is rewritten
// as in mode `nat`: its client is the destination that it has.)
// The frame ends with its packet, `packet` is the result of parse(frame), or a CommonPacket of it.
// Threading: pure functions.
#pragma once

#include <cstdint>
#include <span>

#include "mode_nat.h"
#include "sluice/lb/flow_table.h"
#include "sluice/lb/snapshot.h"
#include "sluice/net/rewrite.h"

namespace sluice::dataplane {

template <class Packet>
[[gnu::always_inline]] inline void dnat_to_backend(std::span<std::uint8_t> frame, const Packet& packet,
                                                   const lb::Flow& flow) noexcept {
  net::rewrite_flow(frame, packet, packet.src, packet.src_port, flow.reply.backend, flow.reply.backend_port);
}

inline void dnat_to_client(std::span<std::uint8_t> frame, const net::Parsed& packet,
                           const lb::Listener& listener) noexcept {
  net::rewrite_flow(frame, packet, listener.key.address, listener.key.port, packet.dst, packet.dst_port);
  give_fragment_id(frame, packet);
}

}  // namespace sluice::dataplane
