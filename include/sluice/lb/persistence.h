// Which backend a client was sent to last, for services with `persist`: its next flow goes there too.
// A table of fixed size, in sets of four: a client that finds its set full takes the place of the one that has been away
// longest, so that a flood of addresses costs the memory of others and nothing more.
// Threading: one per worker. All flows of a client have one owner where a service persists (Classifier), so that no two
//            workers know different things of it.
// Units:     Ms since start.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "sluice/base/huge_pages.h"
#include "sluice/base/time.h"
#include "sluice/lb/ids.h"
#include "sluice/net/address.h"
#include "sluice/telemetry/counters.h"

namespace sluice::lb {

class Persistence {
 public:
  using Secret = std::array<std::uint64_t, 4>;  // random, as the flow table's

  // Room for so many clients at least; 0: none, and nothing is remembered. May throw bad_alloc.
  Persistence(std::size_t clients, const Secret& secret, telemetry::Counter& evicted);

  // The index is kNoBackend: unknown, or the last flow began longer ago than `timeout_ms`.
  [[nodiscard]] BackendId find(const net::IpAddress& client, ServiceIndex service, std::uint32_t timeout_ms,
                               Ms now) const noexcept;
  // A flow of the client begins now.
  void remember(const net::IpAddress& client, ServiceIndex service, BackendId backend, std::uint32_t timeout_ms,
                Ms now) noexcept;

 private:
  static constexpr std::size_t kWays = 4;
  struct Entry {
    net::IpAddress client;
    ServiceIndex service;
    bool used;
    BackendId backend;
    Ms last;
    std::uint32_t timeout_ms;

    [[nodiscard]] bool is(const net::IpAddress& other, ServiceIndex of) const noexcept {
      return used && service == of && client == other;
    }
  };
  static_assert(sizeof(Entry) == 32);

  [[nodiscard]] std::size_t first_of(const net::IpAddress& client, ServiceIndex service) const noexcept;

  HugeArray<Entry> entries_;
  Secret secret_;
  telemetry::Counter& evicted_;
};

}  // namespace sluice::lb
