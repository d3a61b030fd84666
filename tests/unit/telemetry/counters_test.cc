#include "sluice/telemetry/counters.h"

#include <fstream>
#include <memory>
#include <thread>
#include <vector>

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

std::size_t resident_pages() {
  std::size_t total = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident;
}

TEST(WorkerCounters, ServicesAndBackendsThatAreNotThereTakeNoMemory) {
  const std::size_t before = resident_pages();
  std::vector<std::unique_ptr<WorkerCounters>> blocks;
  for (int i = 0; i < 64; ++i) {
    blocks.push_back(std::make_unique<WorkerCounters>());
    blocks.back()->services[kMaxCountedServices - 1].flows.add();
    blocks.back()->backends[kMaxCountedBackends - 1].flows.add();
  }
  EXPECT_EQ(blocks[63]->services[kMaxCountedServices - 1].flows.read(), 1u);
  EXPECT_EQ(blocks[63]->services[0].flows.read(), 0u);
  EXPECT_LT(resident_pages() - before, 64u * 16);  // all of one block would be 512
}

}  // namespace
}  // namespace sluice::telemetry
