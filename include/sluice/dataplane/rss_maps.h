// What is known of where packets come in: for each interface, to which worker its device gives which packets.
// Threading: filled on the main thread before the loops run (Assembly::learn_rss()), then constant: read by every worker.
// Ownership: owns the maps; an interface with a device and its VLANs share one.
#pragma once

#include <array>
#include <memory>

#include "sluice/config/config.h"
#include "sluice/dataplane/routes.h"
#include "sluice/lb/rss_map.h"

namespace sluice::dataplane {

struct RssMaps {
  std::array<std::shared_ptr<const lb::RssMap>, config::kMaxInterfaces> by_interface;  // nullptr: nothing is known

  // Who owns the flows of clients, so that a packet need not be handed over where they come in: one map for all
  // interfaces, since every worker must say the same of a packet, wherever it came in and if another quotes it. nullptr:
  // a hash of ours. Only a map that has something for every worker.
  const lb::RssMap* of_clients = nullptr;
};

}  // namespace sluice::dataplane
