#include "sluice/telemetry/counters.h"

#include <memory>
#include <thread>

#include <gtest/gtest.h>

namespace sluice::telemetry {
namespace {

TEST(Counter, AReaderSeesItOnlyGrow) {
  Counter counter;
  constexpr std::uint64_t kAdds = 200'000;
  std::thread writer([&counter] {
    for (std::uint64_t i = 0; i < kAdds; ++i) counter.add();
  });
  std::uint64_t last = 0;
  bool grew = true;
  while (last < kAdds) {
    const std::uint64_t now = counter.read();
    grew = grew && now >= last;
    last = now;
  }
  writer.join();
  EXPECT_TRUE(grew);
  EXPECT_EQ(counter.read(), kAdds);
}

TEST(WorkerCounters, DropAddsToItsReasonAlone) {
  const auto counters = std::make_unique<WorkerCounters>();
  counters->drop(Drop::kFragment);
  counters->drop(Drop::kFragment, 3);
  for (std::size_t i = 0; i < kDropReasons; ++i) {
    EXPECT_EQ(counters->drops[i].read(), i == static_cast<std::size_t>(Drop::kFragment) ? 4u : 0u);
  }
}

}  // namespace
}  // namespace sluice::telemetry
