// DPDK's log, line by line: to our log at debug level, and the last warnings and errors kept, so that "cannot open
// port" can say why in the driver's own words.
// Threading: DPDK may log from any thread; the kept lines are under a mutex. Installed once, by Eal::start().
#pragma once

#include <string>

namespace sluice::dpdk {

void install_log_capture();
// Forgets the kept lines; take_log_lines() then gives those logged since, joined by "; ".
void clear_log_lines();
[[nodiscard]] std::string take_log_lines();

}  // namespace sluice::dpdk
