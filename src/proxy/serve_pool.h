// What the two ways of serving a route to a pool (with and without the cache) share.
// Threading: the proxy's thread.
#pragma once

#include "exchange.h"
#include "sluice/http/message.h"

namespace sluice::proxy {

// How the client gets the body of a backend's response. A response without a body keeps the length that it would have had.
[[nodiscard]] Framing framing_of(const http::ResponseHead& response) noexcept;

}  // namespace sluice::proxy
