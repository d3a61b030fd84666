#include "core.h"

namespace sluice::proxy {

Core::Core(const ProxyParts& parts, const tcp::StackConfig& stack_config, Instant start)
    : config(parts.config),
      index(parts.index),
      count(parts.count),
      counters(parts.counters),
      cache(parts.cache),
      files(parts.files),
      ports(parts.ports.proxy_block(parts.index)),
      source_for(parts.source_for),
      inbox(std::make_shared<Inbox>(parts.wake)),
      now(start),
      snapshot(parts.snapshots.load()),
      random(parts.seed),
      turns(Random(parts.seed + 1)),
      timers(start),
      wakers(inbox),
      stack(stack_config, parts.sink, start),
      upstreams(*this),
      fetches(*this) {}

Core::~Core() { inbox->close(); }

}  // namespace sluice::proxy
