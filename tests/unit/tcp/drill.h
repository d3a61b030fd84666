// Runs a script against one stack: segments to inject, segments to expect, calls of the application, all on a virtual
// clock. The language is close to packetdrill's; tests/unit/tcp/drill/README.md describes it.
// Threading: one thread.
// Errors:    run_drill() gives "file:line: what is wrong"; empty: the script passed.
#pragma once

#include <string>

namespace sluice::tcp::test {

[[nodiscard]] std::string run_drill(const std::string& path);

}  // namespace sluice::tcp::test
