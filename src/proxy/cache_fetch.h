// Reads a response that is being stored to its end, whether or not the client whose request began it is still there.
// Threading: the proxy's thread.
// Ownership: CacheFetches owns what runs; a fetch owns its upstream connection and the cache's Fill, and goes when it has ended.
#pragma once

#include <list>
#include <memory>
#include <string>

#include "sluice/base/task.h"
#include "sluice/base/timer_wheel.h"
#include "sluice/cache/store.h"
#include "upstream.h"
#include "wakers.h"

namespace sluice::proxy {

struct Core;

class CacheFetches {
 public:
  explicit CacheFetches(Core& core) noexcept;
  ~CacheFetches();
  CacheFetches(const CacheFetches&) = delete;
  CacheFetches& operator=(const CacheFetches&) = delete;

  // `fill` was started and the connection stands behind the response's head. What has arrived already is stored before this returns.
  void start(UpstreamLease connection, cache::Fill fill);
  [[nodiscard]] std::size_t size() const noexcept { return running_.size(); }

 private:
  class Fetch;
  Core& core_;
  std::list<std::unique_ptr<Fetch>> running_;
};

}  // namespace sluice::proxy
