// Forwarding mode `nat`: destination and source are rewritten, so that replies come back through us and are rewritten the
// other way. The frame ends with its packet, `packet` is the result of parse(frame), or a CommonPacket of it.
// Threading: pure functions.
// Spec:      RFC 3022 (NAPT), RFC 1624 (incremental checksums).
#pragma once

#include <cstdint>
#include <span>

#include "sluice/lb/flow_table.h"
#include "sluice/lb/snapshot.h"
#include "sluice/net/rewrite.h"

namespace sluice::dataplane {

template <class Packet>
[[gnu::always_inline]] inline void nat_to_backend(std::span<std::uint8_t> frame, const Packet& packet,
                                                  const lb::Snapshot& snapshot, const lb::Flow& flow) noexcept {
  net::rewrite_flow(frame, packet, snapshot.sources[flow.reply.source], flow.reply.local_port, flow.reply.backend,
                    flow.reply.backend_port);
}

template <class Packet>
[[gnu::always_inline]] inline void nat_to_client(std::span<std::uint8_t> frame, const Packet& packet,
                                                 const lb::Listener& listener, const lb::Flow& flow) noexcept {
  net::rewrite_flow(frame, packet, listener.key.address, listener.key.port, flow.key.client, flow.key.client_port);
}

}  // namespace sluice::dataplane
