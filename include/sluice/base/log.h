// The log's front-end: lines for the operator on stderr (and where spdlog's default logger is told to write).
// Threading: any control or helper thread. Never on the packet path: a packet that is dropped is counted, not logged.
// Use:       log::info("sluice {} started", version);
#pragma once

#include <spdlog/spdlog.h>

namespace sluice::log {

using spdlog::critical;
using spdlog::debug;
using spdlog::error;
using spdlog::info;
using spdlog::warn;

}  // namespace sluice::log
