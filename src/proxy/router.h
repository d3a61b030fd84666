// Which route of a service answers a request: the first in the order of the file whose host and path both match.
// Threading: built before the proxy serves, then read by its thread.
// Ownership: refers to the configuration, which outlives it.
// Matching:  a host pattern is a name, or "*.example.com" for one or more labels in front; no pattern matches any host. A path is a
//            prefix of whole segments: "/api/" matches "/api/x"; "/api" matches "/api" and "/api/x", but not "/apiary".
#pragma once

#include <string_view>
#include <vector>

#include "sluice/config/config.h"

namespace sluice::proxy {

struct Pool;

struct Route {
  const config::HttpRoute* config = nullptr;
  Pool* pool = nullptr;  // of a route with ToPool
};

[[nodiscard]] bool host_matches(std::string_view pattern, std::string_view host) noexcept;
[[nodiscard]] bool path_matches(std::string_view prefix, std::string_view path) noexcept;

class Router {
 public:
  void add(Route route) { routes_.push_back(route); }
  // `host` in lower case without port, `path` normalised (http::RequestHead::path). nullptr: no route.
  [[nodiscard]] const Route* find(std::string_view host, std::string_view path) const noexcept;

 private:
  std::vector<Route> routes_;
};

}  // namespace sluice::proxy
