// What a running sluice takes over when its configuration file is read again: the peers of `esp`, and which lists of sources
// may use the services. All else stays as it was at the start.
// Threading: pure function; control thread.
// Errors:    what the file says is sound by itself, and does not go together with what stays. Then nothing is taken over.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "sluice/base/result.h"
#include "sluice/config/config.h"

namespace sluice::control {

struct TakenOver {
  std::shared_ptr<const config::Config> config;  // the running one, and in it what is new
  std::vector<std::string_view> left;  // sections in which the file still differs from it: they need a restart
};

// `fresh` is as load_whole() gives it. A first peer, or a first list, needs a restart: only then is there a ledger of keys,
// and do the workers ask for lists.
[[nodiscard]] Result<TakenOver> take_over(const config::Config& running, const config::Config& fresh);

}  // namespace sluice::control
