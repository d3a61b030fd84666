#include "sluice/lb/port_plan.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace sluice::lb {
namespace {

struct PlanCase {
  const char* name;
  std::size_t workers;
  std::size_t proxies;
};
const PlanCase kPlanCases[] = {
    {"one_worker", 1, 0},  {"one_of_each", 1, 1},   {"two_workers_one_proxy", 2, 1},
    {"odd_numbers", 5, 2}, {"proxies_alone", 0, 3}, {"as_many_as_fit", 128, 122},
};

TEST(PortPlan, BlocksAreDisjointCoverAllPortsAndNameTheirOwner) {
  for (const PlanCase& row : kPlanCases) {
    SCOPED_TRACE(row.name);
    const PortPlan plan(row.workers, row.proxies);
    std::uint32_t next = PortPlan::kFirstPort;
    std::size_t smallest = 65536, largest = 0;
    const auto check = [&](PortBlock block, PortOwner owner) {
      EXPECT_EQ(block.first, next);
      next += block.count;
      smallest = std::min<std::size_t>(smallest, block.count);
      largest = std::max<std::size_t>(largest, block.count);
      for (std::uint32_t port = block.first; port < next; ++port) {
        ASSERT_EQ(plan.owner_of(static_cast<std::uint16_t>(port)), owner) << port;
      }
    };
    for (std::size_t i = 0; i < row.workers; ++i) {
      check(plan.worker_block(i), {PortOwnerKind::kWorker, static_cast<std::uint8_t>(i)});
    }
    for (std::size_t i = 0; i < row.proxies; ++i) {
      check(plan.proxy_block(i), {PortOwnerKind::kProxy, static_cast<std::uint8_t>(i)});
    }
    EXPECT_EQ(next, 65536u);
    EXPECT_LE(largest - smallest, PortPlan::kGranule);
    for (std::uint16_t port = 0; port < PortPlan::kFirstPort; ++port) {
      ASSERT_EQ(plan.owner_of(port).kind, PortOwnerKind::kNone);
    }
  }
}

TEST(PortPlan, WhoDoesNotExistOwnsNothing) {
  const PortPlan plan(2, 1);
  EXPECT_EQ(plan.worker_block(3).count, 0);
  EXPECT_EQ(plan.proxy_block(1).count, 0);
}

}  // namespace
}  // namespace sluice::lb
