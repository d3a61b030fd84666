// The tables of keys, section by section: what the file may say, and of what kind it must be. The rules that look at
// several sections at once are in validate.h.
// Threading: built on first use, then only read.
#pragma once

#include "codec.h"
#include "sluice/config/config.h"

namespace sluice::config {

[[nodiscard]] Codec<std::vector<AclRule>> acl();
[[nodiscard]] Codec<std::vector<std::string>> prefix_files();
[[nodiscard]] Codec<Limits> limits();
[[nodiscard]] const Section<Defence>& defence_schema();
[[nodiscard]] const Section<Config>& config_schema();  // the whole file

[[nodiscard]] const Section<Runtime>& runtime_schema();
[[nodiscard]] const Section<Interface>& interface_schema();
[[nodiscard]] const Section<Neighbor>& neighbor_schema();
[[nodiscard]] const Section<StaticRoute>& static_route_schema();
[[nodiscard]] const Section<Fragments>& fragments_schema();
[[nodiscard]] const Section<TcpOptions>& tcp_options_schema();
[[nodiscard]] const Section<Pool>& pool_schema();
[[nodiscard]] const Section<Service>& service_schema();
[[nodiscard]] const Section<Esp>& esp_schema();
[[nodiscard]] const Section<ProxyService>& proxy_schema();
[[nodiscard]] const Section<HttpRoute>& http_route_schema();

// Every key of every section, as generic paths: "pools.*.backends[].port".
[[nodiscard]] KeyList known_keys();

// The generic paths of the keys that a text uses, known or not.
[[nodiscard]] KeyList keys_in(std::string_view yaml);

}  // namespace sluice::config
