// A TCP stack under segments bent from its live state (tests/unit/tcp/segment_program.h says what must hold).
#include <cstdio>
#include <cstdlib>

#include "segment_program.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string violation = sluice::tcp::test::run_segment_program({data, size}).violation;
  if (violation.empty()) return 0;
  std::fprintf(stderr, "violated: %s\n", violation.c_str());
  std::abort();
}
