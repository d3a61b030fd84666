#include "sluice/lb/round_robin.h"

#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::lb {
namespace {

struct OrderCase {
  const char* name;
  std::vector<std::uint32_t> weights;
  const char* order;
};
const OrderCase kOrderCases[] = {
    {"equal", {1, 1, 1}, "012"},
    {"equal_heavy_is_reduced", {50, 50}, "01"},
    {"smooth", {5, 1, 1}, "0010200"},  // nginx's example
    {"weight_of_zero_gets_none", {1, 0, 1}, "02"},
    {"one", {7}, "0"},
    {"none", {}, ""},
    {"all_off", {0, 0}, ""},
};

TEST(RoundRobinTable, OrderOfTurns) {
  for (const OrderCase& row : kOrderCases) {
    std::vector<WeightedBackend> backends;
    for (std::size_t i = 0; i < row.weights.size(); ++i) {
      backends.push_back({static_cast<BackendIndex>(i), row.weights[i]});
    }
    std::string order;
    const RoundRobinTable table(backends);
    for (const BackendIndex backend : table.turns()) order += std::to_string(backend);
    EXPECT_EQ(order, row.order) << row.name;
  }
}

TEST(RoundRobinTable, ManyTurnsAreRoundedAndNobodyStarves) {
  std::vector<WeightedBackend> backends;
  for (std::uint16_t i = 0; i < 50; ++i) backends.push_back({i, 997u - i});
  backends.push_back({50, 1});
  const RoundRobinTable table(backends);
  EXPECT_LE(table.turns().size(), RoundRobinTable::kMaxTurns + backends.size());
  std::map<BackendIndex, double> got;
  for (const BackendIndex backend : table.turns()) ++got[backend];
  EXPECT_GE(got[50], 1);
  EXPECT_NEAR(got[0] / got[49], 997.0 / 948.0, 0.01);
}

TEST(RoundRobinTurns, GoesRoundPerPool) {
  const std::vector<WeightedBackend> backends{{0, 1}, {1, 1}, {2, 1}};
  const RoundRobinTable table(backends);
  RoundRobinTurns turns(Random(1));
  const BackendIndex first = turns.next(4, table);
  (void)turns.next(9, table);  // another pool's turn does not count here
  EXPECT_EQ(turns.next(4, table), (first + 1) % 3);
  EXPECT_EQ(turns.next(4, table), (first + 2) % 3);
  EXPECT_EQ(turns.next(4, table), first);
  EXPECT_EQ(turns.next(4, RoundRobinTable()), kNoBackend);
}

}  // namespace
}  // namespace sluice::lb
