// `sluice replay`: the packet path of the daemon on captured packets and on the capture's clock. The same input gives
// the same output, byte for byte.
// Threading: runs on the calling thread; EAL must be started.
// Time:      starts at the first packet's stamp; inputs of several interfaces are merged by stamp (ties: the order of
//            the configuration); ends `drain` after the last packet. Every role turns once per distinct stamp and once
//            per deadline in between.
// Output:    what each interface sent, with virtual stamps.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "sluice/base/result.h"
#include "sluice/base/time.h"
#include "sluice/config/config.h"

namespace sluice::dataplane {

struct ReplayOptions {
  std::map<std::string, std::string> inputs;   // interface name -> pcap file
  std::map<std::string, std::string> outputs;  // interface name -> pcap file to write
  Duration drain = std::chrono::seconds(1);
  std::set<std::string> down_backends;  // "pool/backend": of pools with a health check
  bool announce = false;
  std::uint64_t seed = 1;  // of every random choice
};

struct ReplayReport {
  std::uint64_t packets_in = 0, packets_out = 0, packets_dropped = 0;
  std::map<std::string, std::uint64_t> drops;  // by reason, all roles together
  std::uint64_t mbufs_leaked = 0;              // must be 0
};

// Interfaces get the MAC addresses 02:00:00:00:00:01, :02, ... in the order of the configuration. Backends of every
// pool count as up unless `down_backends` names them ("pool/backend"). Services for proxies are not run: their packets
// are dropped.
[[nodiscard]] Result<ReplayReport> replay(const config::Config& config, const ReplayOptions& options);

}  // namespace sluice::dataplane
