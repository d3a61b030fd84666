// Routes of one service that can never be chosen, because an earlier one takes all that they match.
#include <algorithm>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "validate.h"

namespace sluice::config {
namespace {

// Every path below `inner` is below `outer`, by whole segments.
bool path_covers(std::string_view outer, std::string_view inner) noexcept {
  if (!inner.starts_with(outer)) return false;
  return outer.ends_with('/') || inner.size() == outer.size() || inner[outer.size()] == '/';
}

bool host_covers(std::string_view outer, std::string_view inner) noexcept {
  if (outer == inner) return true;
  if (!outer.starts_with("*.")) return false;
  const std::string_view suffix = outer.substr(1);  // with its dot
  return inner.size() > suffix.size() && inner.ends_with(suffix);
}

bool covers(const HttpRoute& outer, const HttpRoute& inner) {
  if (!path_covers(outer.path, inner.path)) return false;
  if (outer.hosts.empty()) return true;
  return !inner.hosts.empty() && std::ranges::all_of(inner.hosts, [&](const std::string& host) {
    return std::ranges::any_of(outer.hosts, [&](const std::string& other) { return host_covers(other, host); });
  });
}

constexpr std::size_t kMaxCompared = 1000;  // pairs grow with the square

}  // namespace

void validate_http_routes(const Service& service, Reader& reader) {
  const auto& routes = service.proxy->routes;
  const std::string base = fmt::format("services.{}.proxy.routes", service.name);
  if (!reader.sound(base)) return;
  for (std::size_t i = 1; i < std::min(routes.size(), kMaxCompared); ++i) {
    const auto earlier = std::find_if(routes.begin(), routes.begin() + static_cast<std::ptrdiff_t>(i),
                                      [&](const HttpRoute& route) { return covers(route, routes[i]); });
    if (earlier == routes.begin() + static_cast<std::ptrdiff_t>(i)) continue;
    reader.warning_at(
        fmt::format("{}[{}]", base, i),
        fmt::format("is never chosen: routes[{}] matches everything that it does", earlier - routes.begin()));
  }
}

}  // namespace sluice::config
