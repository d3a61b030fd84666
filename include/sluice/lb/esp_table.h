// The security associations of a Snapshot: which one leads to a backend, and whose a packet that comes in is.
// Threading: built by control, then immutable; what the associations themselves hold is the workers' (association.h).
// Ownership: shared with the snapshots before and after: an association that is the same in two of them goes on as it is.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "sluice/base/result.h"
#include "sluice/config/config.h"
#include "sluice/esp/association.h"
#include "sluice/esp/key_ledger.h"
#include "sluice/net/address.h"

namespace sluice::lb {

struct EspPeer {
  std::shared_ptr<const esp::OutboundSa> out;
  std::vector<std::shared_ptr<esp::InboundSa>> in;
};

struct EspInbound {
  std::uint32_t spi = 0;
  esp::InboundSa* sa = nullptr;
  net::IpAddress peer;
};

struct EspTable {
  std::shared_ptr<esp::KeyLedger> keys;  // nullptr: never needed so far
  std::vector<EspPeer> peers;            // parallel to Config::esp.peers
  // By index of Snapshot::backends, nullptr where the backend's address is no peer's; empty without peers.
  std::vector<const esp::OutboundSa*> outbound;
  std::vector<EspInbound> inbound;  // by SPI

  // nullptr: not an SPI of ours.
  [[nodiscard]] const EspInbound* find_inbound(std::uint32_t spi) const noexcept {
    const auto at = std::ranges::lower_bound(inbound, spi, {}, &EspInbound::spi);
    return at != inbound.end() && at->spi == spi ? &*at : nullptr;
  }
};

struct Snapshot;
// The table of `config`; associations and the ledger come from `previous`, where it has them. `keys` may be nullptr: the
// ledger of before, else one in memory.
[[nodiscard]] Result<EspTable> build_esp_table(const config::Config& config, const Snapshot* previous,
                                               std::shared_ptr<esp::KeyLedger> keys);

}  // namespace sluice::lb
