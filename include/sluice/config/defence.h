// What keeps unwanted packets away, of all services (`defence:`) or of one: lists of sources, ACLs, limits, SYN cookies.
// Threading: values; copy, compare or share as const.
// Ownership: no pointers into anything; files are named, and read by prefix_file.h.
// Units:     limits are a second's; durations are nanoseconds (Duration), ports plain numbers.
// Spec:      docs/configuration.md says what each key means to a user.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sluice/base/time.h"
#include "sluice/net/address.h"

namespace sluice::config {

using namespace std::chrono_literals;  // defaults below read like the file: 30s, 500ms

// Files of prefixes. A source on an allow list is not asked for on the deny list beside it.
struct AccessFiles {
  std::vector<std::string> allow, deny;  // absolute paths
  [[nodiscard]] bool empty() const noexcept { return allow.empty() && deny.empty(); }
  bool operator==(const AccessFiles&) const = default;
};

struct PortRange {
  std::uint16_t first = 0, last = 65535;  // both inclusive
  bool operator==(const PortRange&) const = default;
};

struct AclRule {  // what it does not name may be anything
  bool allow = false;
  std::optional<net::Prefix> src, dst;  // of one family
  std::optional<PortRange> src_ports, dst_ports;
  std::optional<std::uint8_t> proto;  // TCP or UDP where ports are named
  bool operator==(const AclRule&) const = default;
};

struct Limits {  // a second, all workers together; 0: none
  std::uint64_t packets = 0;
  std::uint64_t bits = 0;   // of IP packets
  std::uint64_t flows = 0;  // new ones
  Duration burst = 1s;      // what was not used for so long may come at once
  [[nodiscard]] bool empty() const noexcept { return packets == 0 && bits == 0 && flows == 0; }
  bool operator==(const Limits&) const = default;
};

struct SourceLimits {  // of each source prefix
  Limits limits;
  std::uint8_t prefix4 = 32, prefix6 = 64;
  std::uint32_t entries = 65536;  // of each worker
  bool operator==(const SourceLimits&) const = default;
};

// SYNs are answered with a cookie, and a backend hears of a client only once it has come back with it.
struct SynProxy {
  std::uint32_t above = 0;           // SYNs a second to the service, all workers together; 0: always
  std::optional<std::uint16_t> mss;  // announced to clients; without: as the interface's MTU allows
  std::uint8_t window_scale = 7;     // announced to clients, 0..14: the backends' own, or nearly
  bool sack = true;                  // what the backends can: clients are told so before a backend is asked
  bool timestamps = true;            // without them neither SACK nor window scales can be kept
  bool operator==(const SynProxy&) const = default;
};

struct Defence {  // of all services
  AccessFiles access;
  std::vector<AclRule> acl;       // the first that matches decides; none: allowed
  bool bogons = false;            // sources that cannot come from outside are dropped
  bool verify_checksums = false;  // of layer 4, in software where the device does not
  SourceLimits source_limits;
  bool operator==(const Defence&) const = default;
};

}  // namespace sluice::config
