#include "router.h"

namespace sluice::proxy {

bool host_matches(std::string_view pattern, std::string_view host) noexcept {
  if (!pattern.starts_with("*.")) return pattern == host;
  const std::string_view suffix = pattern.substr(1);  // ".example.com"
  return host.size() > suffix.size() && host.ends_with(suffix);
}

bool path_matches(std::string_view prefix, std::string_view path) noexcept {
  if (!path.starts_with(prefix)) return false;
  return prefix.ends_with('/') || path.size() == prefix.size() || path[prefix.size()] == '/';
}

const Route* Router::find(std::string_view host, std::string_view path) const noexcept {
  for (const Route& route : routes_) {
    if (!path_matches(route.config->path, path)) continue;
    if (route.config->hosts.empty()) return &route;
    for (const std::string& pattern : route.config->hosts) {
      if (host_matches(pattern, host)) return &route;
    }
  }
  return nullptr;
}

}  // namespace sluice::proxy
