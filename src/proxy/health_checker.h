// Active health checks of the backends that fall to this proxy: backend i is checked by proxy i % proxies, whatever
// kind of service its pool is for. Results go to the HealthBoard, from where control builds the next snapshot.
// Threading: the proxy's thread.
// Ownership: one coroutine a backend, for as long as the proxy lives.
// Rules:     the first success brings a backend up at once; after that `rise` successes in a row bring it up and `fall`
//            failures in a row take it down. The first check starts at a random moment within the interval or
//            kFirstWithin, whichever is shorter.
// Spec:      the HTTP check is HAProxy's `option httpchk`: METHOD path HTTP/1.0 and a Host.
#pragma once

#include <memory>
#include <vector>

#include "core.h"
#include "sluice/lb/health_board.h"

namespace sluice::proxy {

class HealthChecker {
 public:
  static constexpr Duration kFirstWithin = std::chrono::milliseconds(100);

  HealthChecker(Core& core, lb::HealthBoard& board);
  ~HealthChecker();
  HealthChecker(const HealthChecker&) = delete;
  HealthChecker& operator=(const HealthChecker&) = delete;

  [[nodiscard]] std::size_t size() const noexcept { return checks_.size(); }

 private:
  class Check;
  std::vector<std::unique_ptr<Check>> checks_;
};

}  // namespace sluice::proxy
