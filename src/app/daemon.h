// The running sluice: builds every object, wires them, and is its control thread until a signal ends it.
// Threading: run_daemon() on the main thread, which becomes the control thread; it blocks SIGTERM, SIGINT and SIGHUP for itself and for
//            every thread it starts.
#pragma once

#include "sluice/base/result.h"
#include "sluice/config/config.h"

namespace sluice::app {

// Returns after a clean stop. An Error: what could not be started, by its name and with the reason.
[[nodiscard]] Result<void> run_daemon(const config::Config& config);

}  // namespace sluice::app
