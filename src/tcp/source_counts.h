// How many connections each source has: an address or a prefix, with one service. Only complete handshakes are counted, so
// that nobody can use up another's share by forged SYNs.
// Threading: one table per stack.
// Ownership: owns its records; a record's number is valid until its count is 0 again.
// Limits:    as many records as connections; so there is always one for a connection that is there.
#pragma once

#include <cstdint>

#include "sluice/base/huge_pages.h"
#include "tuple_table.h"

namespace sluice::tcp {

class SourceCounts {
 public:
  SourceCounts(std::uint32_t connections, const TupleHash& hash);

  // One more of this source; 0: it has `most` already. `service` tells services apart that count on their own.
  [[nodiscard]] std::uint32_t add(const net::IpAddress& prefix, std::uint16_t service, std::uint32_t most) noexcept;
  void remove(std::uint32_t record) noexcept;

  [[nodiscard]] std::uint32_t sources() const noexcept { return sources_; }

 private:
  struct Record {
    FourTuple source;  // the remote address and the local port, which is the service
    std::uint32_t count;
    std::uint32_t next_free;
  };

  TupleHash hash_;
  TupleTable table_;
  HugeArray<Record> records_;
  std::uint32_t sources_ = 0;
  std::uint32_t fresh_ = 1;
  std::uint32_t free_list_ = 0;
};

}  // namespace sluice::tcp
