// Programs of random bytes: what the fuzzer looks for, as far as chance finds it.
#include "segment_program.h"

#include <vector>

#include <gtest/gtest.h>

#include "sluice/base/random.h"

namespace sluice::tcp::test {
namespace {

TEST(SegmentProgram, HoldsForRandomBytes) {
  for (std::uint64_t seed = 1; seed <= 3000; ++seed) {
    Random random(seed);
    std::vector<std::uint8_t> program(random.below(2000));
    for (std::uint8_t& byte : program) byte = static_cast<std::uint8_t>(random.next());
    ASSERT_EQ(run_segment_program(program), "") << "seed " << seed;
  }
}

}  // namespace
}  // namespace sluice::tcp::test
