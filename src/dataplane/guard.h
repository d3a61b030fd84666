// What a packet from outside must pass before anything is done for it: lists of sources, ACL rules, bogons, checksums, rates.
// A packet in fragments is judged by its first one, which has the ports; what refuses that one stops the others too. Those are
// asked for lists and rates.
// Asked for packets to services and to our own addresses; not for what backends answer, nor for ARP and ND.
// Order: allow lists (exempt a source from what follows, but for ACL rules and the service's own), bogons, deny lists, ACL
//        rules, the same of the service, the checksum, the source's rates, the service's.
// Threading: one per worker; what all share (Acls) is constant.
// Ownership: owns its tables; borrows the ACLs.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "acl.h"
#include "rate_limits.h"
#include "sluice/config/config.h"
#include "sluice/lb/snapshot.h"
#include "sluice/net/prefix_set.h"
#include "sluice/telemetry/drop.h"

namespace sluice::dataplane {

struct Acls {  // of the whole process
  std::optional<Acl> all;
  std::map<std::string, Acl> services;  // by name
  [[nodiscard]] static Result<Acls> create(const config::Config& config);
};

class Guard {
 public:
  Guard(const config::Config& config, const Acls& acls, const SipKey& secret, std::size_t workers);

  // Whether anything at all is asked for; false: judge() need not be called.
  [[nodiscard]] bool wanted() const noexcept { return wanted_; }
  // kNone: it may pass. `service`: that the packet is for; kNoIndex: for an address of ours.
  [[nodiscard]] telemetry::Drop judge(const lb::Snapshot& snapshot, std::span<const std::uint8_t> frame,
                                      const net::Parsed& packet, lb::ServiceIndex service, bool checksum_known,
                                      Ms now) noexcept;
  // A later fragment to a service or an address of ours, whose first one tells the rest: lists of sources, bogons, the
  // source's rates.
  [[nodiscard]] telemetry::Drop judge_later(const lb::Snapshot& snapshot, const net::Parsed& fragment, Ms now) noexcept;
  // What is known to be for the service by now: its rates. kNoIndex: for none.
  [[nodiscard]] telemetry::Drop judge_rates_of(lb::ServiceIndex service, std::size_t bytes, Ms now) noexcept;
  // The same for a flow that is about to begin.
  [[nodiscard]] telemetry::Drop judge_flow(const lb::Snapshot& snapshot, const net::IpAddress& source,
                                           lb::ServiceIndex service, Ms now) noexcept;

 private:
  struct ServiceRates {
    Rates rates;
    Rates::Buckets buckets{};
  };
  [[nodiscard]] static bool is_exempt(const lb::Snapshot& snapshot, const net::IpAddress& source) noexcept {
    return snapshot.access != nullptr && snapshot.access->all.allow.contains(source);
  }
  [[nodiscard]] telemetry::Drop judge_source(const lb::Snapshot& snapshot, const net::IpAddress& source) noexcept;
  [[nodiscard]] telemetry::Drop judge_source_rates(const net::Parsed& packet, std::uint64_t now_ms) noexcept;
  [[nodiscard]] telemetry::Drop judge_service_rates(lb::ServiceIndex service, std::size_t bytes,
                                                    std::uint64_t now_ms) noexcept;
  [[nodiscard]] Rates::Buckets& source_buckets(const net::IpAddress& source, std::uint64_t now_ms) noexcept {
    return sources_.buckets_of(masked(source, prefix4_, prefix6_), now_ms);
  }

  // Ms wraps after 49 days; buckets that fill over that would stay empty.
  [[nodiscard]] std::uint64_t clock(Ms now) noexcept {
    clock_ms_ += elapsed(now, last_);
    last_ = now;
    return clock_ms_;
  }

  std::uint64_t clock_ms_ = 1;
  Ms last_{};
  bool wanted_ = false;
  bool bogons_ = false;
  bool verify_checksums_ = false;
  bool limits_flows_ = false;
  const Acl* acl_ = nullptr;
  std::vector<const Acl*> service_acls_;     // by ServiceIndex; nullptr: none
  std::vector<ServiceRates> service_rates_;  // by ServiceIndex; empty: none has any
  net::PrefixSet bogon_prefixes_;
  Rates source_rates_;
  std::uint8_t prefix4_, prefix6_;
  SourceTable sources_;
};

}  // namespace sluice::dataplane
