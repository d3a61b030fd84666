#include "guard.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "sluice/net/parse.h"

namespace sluice::dataplane {

using telemetry::Drop;

namespace {

// Sources that no packet from the internet has (RFC 6890 and its registries, but for what parse() refuses anyway): private,
// shared, link-local, protocol assignments, documentation, benchmarks, reserved; of IPv6 all that is not global unicast, and
// in that documentation, ORCHID and 6to4 or NAT64 prefixes that hold such a thing are left out.
constexpr std::array<std::string_view, 20> kBogons{
    "10.0.0.0/8",     "100.64.0.0/10",  "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.0.2.0/24",   "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
    "203.0.113.0/24", "240.0.0.0/4",    "::/3",           "4000::/2",      "8000::/1",
    "2001:2::/48",    "2001:10::/28",   "2001:db8::/32",  "3ffe::/16",     "5f00::/16"};

Drop of_source(Limit limit) noexcept {
  return limit == Limit::kPackets ? Drop::kSourcePackets : limit == Limit::kBits ? Drop::kSourceBits : Drop::kNone;
}
Drop of_service(Limit limit) noexcept {
  return limit == Limit::kPackets ? Drop::kServicePackets : limit == Limit::kBits ? Drop::kServiceBits : Drop::kNone;
}

}  // namespace

Result<Acls> Acls::create(const config::Config& config) {
  Acls out;
  if (!config.defence.acl.empty()) {
    Result<Acl> all = Acl::create(config.defence.acl, "acl-all-");
    if (!all) return std::unexpected(all.error());
    out.all = std::move(*all);
  }
  for (std::size_t i = 0; i < config.services.size(); ++i) {
    if (config.services[i].acl.empty()) continue;
    Result<Acl> one = Acl::create(config.services[i].acl, "acl-" + std::to_string(i) + "-");
    if (!one) return std::unexpected(one.error());
    out.services.emplace(config.services[i].name, std::move(*one));
  }
  return out;
}

// Services have the indices of the first snapshot, which are those of the configuration.
Guard::Guard(const config::Config& config, const Acls& acls, const SipKey& secret, std::size_t workers)
    : bogons_(config.defence.bogons),
      verify_checksums_(config.defence.verify_checksums),
      acl_(acls.all ? &*acls.all : nullptr),
      source_rates_(config.defence.source_limits.limits, workers),
      prefix4_(config.defence.source_limits.prefix4),
      prefix6_(config.defence.source_limits.prefix6) {
  wanted_ = bogons_ || verify_checksums_ || acl_ != nullptr || !config.defence.access.empty();
  if (bogons_) {
    std::vector<net::Prefix> prefixes;
    for (const std::string_view text : kBogons) prefixes.push_back(*net::Prefix::parse(text));
    bogon_prefixes_ = net::PrefixSet(prefixes);
  }
  if (!config.defence.source_limits.limits.empty()) {
    wanted_ = true;
    limits_flows_ = source_rates_.limits_flows();
    sources_ = SourceTable(config.defence.source_limits.entries, secret);
  }
  for (std::size_t i = 0; i < config.services.size(); ++i) {
    const config::Service& service = config.services[i];
    wanted_ |= !service.access.empty();
    if (const auto found = acls.services.find(service.name); found != acls.services.end()) {
      wanted_ = true;
      service_acls_.resize(config.services.size());
      service_acls_[i] = &found->second;
    }
    if (!service.limits.empty()) {
      wanted_ = true;
      service_rates_.resize(config.services.size());
      service_rates_[i].rates = Rates(service.limits, workers);
      limits_flows_ |= service_rates_[i].rates.limits_flows();
    }
  }
}

Drop Guard::judge(const lb::Snapshot& snapshot, std::span<const std::uint8_t> frame, const net::Parsed& packet,
                  lb::ServiceIndex service, bool checksum_known, Ms now) noexcept {
  const bool exempt = is_exempt(snapshot, packet.src);
  if (!exempt) {
    if (const Drop reason = judge_source(snapshot, packet.src); reason != Drop::kNone) return reason;
  }
  if (acl_ != nullptr && !acl_->allows(packet)) return Drop::kAclDenied;
  if (service != lb::kNoIndex) {
    const lb::AccessLists* lists = snapshot.services[service].access;
    if (lists != nullptr && !lists->allow.contains(packet.src) && lists->deny.contains(packet.src))
      return Drop::kDenied;
    if (service < service_acls_.size() && service_acls_[service] != nullptr &&
        !service_acls_[service]->allows(packet)) {
      return Drop::kAclDenied;
    }
  }
  const bool whole = packet.fragment == net::FragmentKind::kWhole;
  if (verify_checksums_ && whole && !checksum_known && !net::l4_checksum_ok(frame, packet)) return Drop::kBadChecksum;
  const std::uint64_t now_ms = clock(now);
  if (!exempt) {
    if (const Drop reason = judge_source_rates(packet, now_ms); reason != Drop::kNone) return reason;
  }
  return judge_service_rates(service, packet.l3_len(), now_ms);
}

Drop Guard::judge_later(const lb::Snapshot& snapshot, const net::Parsed& fragment, Ms now) noexcept {
  if (is_exempt(snapshot, fragment.src)) return Drop::kNone;
  const Drop reason = judge_source(snapshot, fragment.src);
  return reason != Drop::kNone ? reason : judge_source_rates(fragment, clock(now));
}

Drop Guard::judge_rates_of(lb::ServiceIndex service, std::size_t bytes, Ms now) noexcept {
  return service < service_rates_.size() ? judge_service_rates(service, bytes, clock(now)) : Drop::kNone;
}

Drop Guard::judge_source(const lb::Snapshot& snapshot, const net::IpAddress& source) noexcept {
  if (bogons_ && bogon_prefixes_.contains(source)) return Drop::kBogon;
  return snapshot.access != nullptr && snapshot.access->all.deny.contains(source) ? Drop::kDenied : Drop::kNone;
}

Drop Guard::judge_source_rates(const net::Parsed& packet, std::uint64_t now_ms) noexcept {
  if (!source_rates_.limits_packets()) return Drop::kNone;
  return of_source(source_rates_.take_packet(source_buckets(packet.src, now_ms), packet.l3_len(), now_ms));
}

Drop Guard::judge_service_rates(lb::ServiceIndex service, std::size_t bytes, std::uint64_t now_ms) noexcept {
  if (service >= service_rates_.size()) return Drop::kNone;
  ServiceRates& own = service_rates_[service];
  if (!own.rates.limits_packets()) return Drop::kNone;
  return of_service(own.rates.take_packet(own.buckets, bytes, now_ms));
}

Drop Guard::judge_flow(const lb::Snapshot& snapshot, const net::IpAddress& source, lb::ServiceIndex service,
                       Ms now) noexcept {
  if (!limits_flows_) return Drop::kNone;
  const std::uint64_t now_ms = clock(now);
  if (source_rates_.limits_flows() && !is_exempt(snapshot, source) &&
      !source_rates_.take_flow(source_buckets(source, now_ms), now_ms))
    return Drop::kSourceFlows;
  if (service >= service_rates_.size()) return Drop::kNone;
  ServiceRates& own = service_rates_[service];
  return own.rates.take_flow(own.buckets, now_ms) ? Drop::kNone : Drop::kServiceFlows;
}

}  // namespace sluice::dataplane
