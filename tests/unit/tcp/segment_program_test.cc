// Programs of random bytes: what the fuzzer looks for, as far as chance finds it.
#include "segment_program.h"

#include <vector>

#include <gtest/gtest.h>

#include "sluice/base/random.h"

namespace sluice::tcp::test {
namespace {

TEST(SegmentProgram, HoldsForRandomBytes) {
  std::uint64_t accepted = 0, connected = 0, bytes_in = 0, bytes_out = 0, retransmits = 0;
  for (std::uint64_t seed = 1; seed <= 3000; ++seed) {
    Random random(seed);
    std::vector<std::uint8_t> program(random.below(2000));
    for (std::uint8_t& byte : program) byte = static_cast<std::uint8_t>(random.next());
    const ProgramResult result = run_segment_program(program);
    ASSERT_EQ(result.violation, "") << "seed " << seed;
    accepted += result.stats.accepted;
    connected += result.stats.connected;
    bytes_in += result.stats.bytes_in;
    bytes_out += result.stats.bytes_out;
    retransmits += result.stats.retransmits;
  }
  // The programs do come somewhere.
  EXPECT_GT(accepted, 2'000u);
  EXPECT_GT(connected, 500u);
  EXPECT_GT(bytes_in, 1'000'000u);
  EXPECT_GT(bytes_out, 500'000u);
  EXPECT_GT(retransmits, 5'000u);
}

}  // namespace
}  // namespace sluice::tcp::test
