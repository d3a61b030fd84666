// What all parts of one proxy share: its time, timers, ready coroutines, TCP stack, pools and counters.
// Threading: the proxy's thread alone.
// Ownership: Proxy::Impl owns it; everything that refers to it dies before it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "cache_fetch.h"
#include "file_cache.h"
#include "sluice/base/random.h"
#include "sluice/base/task.h"
#include "sluice/base/time.h"
#include "sluice/base/timer_wheel.h"
#include "sluice/cache/store.h"
#include "sluice/config/config.h"
#include "sluice/http/date.h"
#include "sluice/lb/port_plan.h"
#include "sluice/lb/probe_paths.h"
#include "sluice/lb/round_robin.h"
#include "sluice/lb/snapshot_slot.h"
#include "sluice/proxy/file_service.h"
#include "sluice/proxy/inbox.h"
#include "sluice/proxy/proxy.h"
#include "sluice/tcp/stack.h"
#include "sluice/telemetry/counters.h"
#include "upstream.h"
#include "wakers.h"

namespace sluice::proxy {

struct Core {
  Core(const ProxyParts& parts, const tcp::StackConfig& stack_config, Instant start);
  ~Core();
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  const config::Config& config;
  const unsigned index;
  const unsigned count;
  telemetry::ProxyCounters& counters;
  cache::Store& cache;
  FileService& files;
  const lb::PortBlock ports;  // this proxy's local ports
  const std::function<std::optional<net::IpAddress>(const net::IpAddress&, bool)> source_for;
  const std::shared_ptr<Inbox> inbox;

  Instant now;                             // of this turn
  UnixSeconds wall = 0;                    // of this turn
  const lb::Snapshot* snapshot = nullptr;  // of this turn: nothing keeps a reference into it
  bool draining = false;

  Random random;
  lb::RoundRobinTurns turns;
  http::DateCache dates;
  TimerWheel timers;
  ReadyList ready;
  Wakers wakers;
  std::string scratch;  // where message heads are built; nothing in it outlives a suspension
  tcp::TcpStack stack;
  FileCache file_cache;
  lb::ProbePaths probe_paths;
  UpstreamPools upstreams;
  CacheFetches fetches;
};

}  // namespace sluice::proxy
