// What the threads count: one block per worker and per proxy, written by its owner alone, read by anybody.
// Threading: Counter and Gauge have one writer; reads from other threads see a recent value, never a torn one. No
//            read-modify-write instruction and no lock: on x86-64 an add is a plain load, add and store.
// Layout:    each block begins and ends on cache lines of its own, so that no two writers share one. What is counted per service and
//            backend takes memory as they are first counted, not for as many as there may be.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "sluice/base/lazy_array.h"
#include "sluice/base/own_lines.h"
#include "sluice/telemetry/drop.h"

namespace sluice::telemetry {

class Counter {  // only ever grows
 public:
  void add(std::uint64_t n = 1) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t read() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

class Gauge {  // a level: set, or moved up and down
 public:
  void set(std::int64_t value) noexcept { value_.store(value, std::memory_order_relaxed); }
  void add(std::int64_t n) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  [[nodiscard]] std::int64_t read() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> value_{0};
};

// Packets and bytes that one thread moved in one direction.
struct Traffic {
  Counter packets, bytes;
  void add(std::uint64_t n_packets, std::uint64_t n_bytes) noexcept {
    packets.add(n_packets);
    bytes.add(n_bytes);
  }
};

// Per service or backend, per worker or proxy. Indexed by the snapshot's index of the service or backend.
struct alignas(64) EntityCounters {
  Traffic in, out;  // towards us, away from us, as seen from the client (service) or the backend (backend)
  Counter flows;    // flows or connections opened
  Gauge active;     // flows or connections now
  Counter
      failed;  // backend: connect failures, packets that no `esp` peer was there for; service: flows or requests refused
};

inline constexpr std::size_t kMaxCountedServices = 16384;  // a snapshot has no more
inline constexpr std::size_t kMaxCountedBackends = 16384;  // over all pools

// Written by one worker.
struct alignas(kOwnLines) WorkerCounters {
  Traffic rx, tx;
  Counter bursts, polls;            // receive calls that gave packets, and all of them
  Counter handed_over, taken_over;  // packets given to and got from other roles by ring or queue
  Counter replies_handed_over;      // of those given: backends' replies to another worker's NAT ports
  // NAT ports taken where it is known where replies come in: such that they come to this worker, and others for want of them.
  Counter nat_ports_home, nat_ports_astray;
  Counter arp_in, arp_out, nd_in, nd_out;
  Counter icmp_echo;
  Counter icmp_errors_passed;  // about flows, to the client or the backend
  Counter rst_sent, unreachable_sent, time_exceeded_sent;
  Counter flows_created, flows_expired, flows_closed;
  Counter flows_killed;            // by hand
  Counter resets_implausible;      // forwarded, but the flow stays: their sequence number is not near its own
  Counter fragments;               // received, by the worker where the packet's fragments meet
  Counter fragments_waited;        // of those, that waited for others of their packet
  Counter packets_cut;             // left in fragments that we made
  Counter reassembled;             // packets put together for a proxy
  Counter esp_sealed, esp_opened;  // packets
  Counter esp_beyond_soft_limit;   // of those sealed: by an association that has used three quarters of its numbers
  Counter forwarded_without_flow;  // the flow table was full, and the mode needs no entry
  Counter one_packet_forwarded;    // of services that keep no flows
  Counter flows_reset_on_down, flows_moved_on_down;  // their backend went down: reset, or forgotten so that they move
  Counter persistent_evicted;                        // clients forgotten early because others came
  Counter syn_cookies_sent, syn_cookies_taken;       // SYNs answered so, and clients that came back
  Counter syn_proxy_retries;                         // SYNs sent to a backend once more
  Gauge syn_proxy_engaged;                           // services whose SYNs are answered so at present
  Gauge flows;                                       // entries in this worker's table
  Gauge tcp_flows_open;                              // of those, TCP flows that have not ended: what a drain waits for
  Gauge flow_capacity;
  Gauge nat_ports_used;
  std::array<Counter, kDropReasons> drops;
  LazyArray<EntityCounters> services{kMaxCountedServices};
  LazyArray<EntityCounters> backends{kMaxCountedBackends};

  void drop(Drop reason, std::uint64_t n = 1) noexcept { drops[static_cast<std::size_t>(reason)].add(n); }
};

// Written by one proxy.
struct alignas(kOwnLines) ProxyCounters {
  Traffic rx, tx;       // packets
  Counter packets_cut;  // left in fragments that we made
  std::array<Counter, kDropReasons> drops;
  // Clients
  Counter connections_accepted, connections_refused;
  Gauge connections;  // client connections open
  Counter tls_handshakes, tls_resumed, tls_failed;
  Counter tls_record_errors, tls_truncated, tls_no_buffer;  // copied from tls::LibraryStats once a turn
  Gauge tls_buffer_bytes;                                   // decrypted, not read yet
  // Requests
  Counter requests;
  std::array<Counter, 6> responses;    // by status class: [1]..[5]; [0]: ended without a response
  Gauge exchanges;                     // requests in progress
  Gauge frames;                        // coroutine frames alive: exchanges, fetches and health checks
  Counter bytes_received, bytes_sent;  // of bodies
  // Cache
  Counter cache_hits, cache_misses, cache_stale, cache_revalidated, cache_bypassed, cache_waited, cache_stored;
  // Upstream
  Counter upstream_requests, upstream_connects, upstream_reused, upstream_failed, upstream_retries, upstream_timeouts;
  Counter upstream_ports_exhausted;
  Gauge upstream_connections, upstream_idle;
  // Static files
  Counter static_reads, static_rejected;
  Gauge static_pending;  // asked of the file service, not answered yet
  // Health
  Counter health_checks, health_failures;
  // TCP stack: copied from tcp::StackStats once a turn
  Counter tcp_retransmits, tcp_timeouts, tcp_bad_checksum, tcp_no_memory, tcp_resets_out, tcp_half_open_evicted;
  Counter tcp_recoveries, tcp_spurious_recoveries, tcp_spurious_timeouts, tcp_tail_probes;
  Counter tcp_duplicate_sacks, tcp_bad_sack, tcp_sack_reneging;
  Counter tcp_challenge_acks, tcp_challenge_acks_limited, tcp_out_of_order_dropped, tcp_time_wait_evicted;
  Counter tcp_listen_overflow, tcp_source_refused, tcp_syn_cookies_sent, tcp_syn_cookies_received,
      tcp_syn_cookies_failed;
  Counter tcp_path_mtu_lowered, tcp_path_mtu_ignored, tcp_path_mtu_deferred, tcp_path_mtu_raised, tcp_black_holes;
  Counter tcp_ecn_connections, tcp_ecn_fallbacks, tcp_ecn_marks_in, tcp_ecn_reductions;
  Gauge tcp_connections, tcp_half_open, tcp_time_wait, tcp_buffer_bytes, tcp_promised_bytes;
  LazyArray<EntityCounters> services{kMaxCountedServices};
  LazyArray<EntityCounters> backends{kMaxCountedBackends};

  void drop(Drop reason, std::uint64_t n = 1) noexcept { drops[static_cast<std::size_t>(reason)].add(n); }
};
static_assert(alignof(WorkerCounters) == kOwnLines && sizeof(WorkerCounters) % kOwnLines == 0);
static_assert(alignof(ProxyCounters) == kOwnLines && sizeof(ProxyCounters) % kOwnLines == 0);
static_assert(sizeof(EntityCounters) == 64);

}  // namespace sluice::telemetry
