// A configuration for the tests of control: one checked pool with two backends, behind a layer 4 and a layer 7 service.
#pragma once

#include <memory>

#include <gtest/gtest.h>

#include "sluice/config/load.h"

namespace sluice::control {

inline std::shared_ptr<const config::Config> two_backends() {
  const auto loaded = config::load_text(R"(
interfaces:
  edge: { device: "net_null0", addresses: [192.0.2.2/24] }
pools:
  web:
    backends:
      - { name: web1, address: 192.0.2.11, port: 8080 }
      - { name: web2, address: 192.0.2.12, port: 8080 }
    health: { tcp: {} }
services:
  l4: { listen: "203.0.113.1:80", forward: { mode: nat, pool: web } }
  l7: { listen: "203.0.113.1:8080", proxy: { routes: [ { pool: web } ] } }
)",
                                        "test.yaml");
  if (!loaded) {
    ADD_FAILURE() << config::text(loaded.error());
    return nullptr;
  }
  return std::make_shared<const config::Config>(*loaded);
}

}  // namespace sluice::control
