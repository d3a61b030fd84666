// Forwarding mode `nat`: destination and source are rewritten, so that replies come back through us and are rewritten the
// other way. The frame ends with its packet, `packet` is the result of parse(frame), or a CommonPacket of it.
// Threading: pure functions.
// Spec:      RFC 3022 (NAPT), RFC 1624 (incremental checksums).
#pragma once

#include <cstdint>
#include <span>
#include <type_traits>

#include "sluice/lb/flow_table.h"
#include "sluice/lb/snapshot.h"
#include "sluice/net/rewrite.h"

namespace sluice::dataplane {

// Fragments of several hosts have one source from now on, and must not be taken for one packet (RFC 6864 section 5.2).
template <class Packet>
[[gnu::always_inline]] inline void give_fragment_id(std::span<std::uint8_t> frame, const Packet& packet) noexcept {
  if constexpr (std::is_same_v<Packet, net::Parsed>) {  // others are whole
    if (packet.fragment != net::FragmentKind::kWhole) [[unlikely]]
      net::rewrite_fragment_id(frame, packet);
  }
}

template <class Packet>
[[gnu::always_inline]] inline void nat_to_backend(std::span<std::uint8_t> frame, const Packet& packet,
                                                  const lb::Snapshot& snapshot, const lb::Flow& flow) noexcept {
  net::rewrite_flow(frame, packet, snapshot.sources[flow.reply.source], flow.reply.local_port, flow.reply.backend,
                    flow.reply.backend_port);
  give_fragment_id(frame, packet);
}

template <class Packet>
[[gnu::always_inline]] inline void nat_to_client(std::span<std::uint8_t> frame, const Packet& packet,
                                                 const lb::Listener& listener, const lb::Flow& flow) noexcept {
  net::rewrite_flow(frame, packet, listener.key.address, listener.key.port, flow.key.client, flow.key.client_port);
  give_fragment_id(frame, packet);
}

}  // namespace sluice::dataplane
