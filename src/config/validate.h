// The rules that look across sections, once the tables have read them: names that must exist, addresses that must not
// meet, paths to backends; and what is filled in from elsewhere (a route's interface, the proxies' cpus).
// Threading: one thread.
// Errors:    what was wrong on its own already is left out, so that one mistake gives one message.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "reader.h"
#include "sluice/config/config.h"

namespace sluice::config {

void validate_network(Config& config, Reader& reader);    // interfaces, neighbors, routes
void validate_pools(Config& config, Reader& reader);      // pools, health
void validate_services(Config& config, Reader& reader);   // listen, forward, proxy; runtime.proxies, upstream
void validate_esp(const Config& config, Reader& reader);  // peers, SPIs, keys that stand in the file
void validate_http_routes(const Service& service, Reader& reader);

// The interface of that name; nullptr, and an error at `path`: there is none.
[[nodiscard]] const Interface* get_interface(const Config& config, const std::string& name, const std::string& path,
                                             Reader& reader);
void report_unknown_name(std::string_view kind, const std::string& name, const std::vector<std::string_view>& known,
                         const std::string& path, Reader& reader);

// An address that one host can have and be reached at: not ::, multicast, loopback or broadcast.
[[nodiscard]] net::IpAddress network_of(const net::Prefix& prefix) noexcept;  // without its host bits
[[nodiscard]] bool is_unicast(const net::IpAddress& address) noexcept;
[[nodiscard]] std::string_view family(const net::IpAddress& address) noexcept;  // "IPv4" or "IPv6"

// The own interface whose prefix holds the address; nullptr: it is behind a gateway, or nowhere.
[[nodiscard]] const Interface* find_on_link(const Config& config, const net::IpAddress& address) noexcept;
// What is wrong with an address where no host can be: the network or broadcast address of an own interface's prefix.
[[nodiscard]] std::optional<std::string> no_host_on_link(const Config& config, const net::IpAddress& address);
// The first address of the prefix.
[[nodiscard]] net::IpAddress network_of(const net::Prefix& prefix) noexcept;
// There is a way to the address: on-link, by a route, or by a gateway.
[[nodiscard]] bool is_reachable(const Config& config, const net::IpAddress& address) noexcept;
// Some interface has an own address of this family that is not link-local.
[[nodiscard]] bool has_own_address(const Config& config, bool v4) noexcept;

}  // namespace sluice::config
