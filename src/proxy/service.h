// One `proxy:` service as this proxy runs it.
// Threading: the proxy's thread.
// Ownership: Proxy::Impl; refers to the configuration.
#pragma once

#include <memory>

#include "router.h"
#include "sluice/config/config.h"
#include "sluice/http/message.h"
#include "sluice/telemetry/counters.h"
#include "sluice/tls/server_context.h"

namespace sluice::proxy {

struct Service {
  const config::Service* config = nullptr;
  const config::HttpLimits* limits = nullptr;
  http::Limits head_limits;
  Router router;
  std::shared_ptr<tls::ServerContext> tls;        // nullptr: plain HTTP
  telemetry::EntityCounters* counters = nullptr;  // this proxy's, of this service
};

}  // namespace sluice::proxy
