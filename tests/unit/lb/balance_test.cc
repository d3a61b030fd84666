// What a pool's keys make of its backends' health and of what they have open: which one a new flow goes to.
#include "sluice/lb/balance.h"

#include <map>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sluice/lb/build_snapshot.h"

namespace sluice::lb {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::UnorderedElementsAre;

constexpr Instant kStart{Duration(100s)};

// One pool of backends "a", "b", "c" and so on; which are up, and what each has open, is the test's to say.
class ChooseTest : public testing::Test {
 protected:
  explicit ChooseTest(std::size_t backends = 3) : loads_(backends) {
    config::Pool& pool = config_.pools.emplace_back();
    pool.name = "web";
    pool.health = config::HealthCheck{};
    for (std::size_t i = 0; i < backends; ++i) {
      pool.backends.push_back({.name = std::string(1, static_cast<char>('a' + i)),
                               .endpoint = {net::IpAddress::v4(Be32(static_cast<std::uint32_t>(0xc000020b + i))), 80}});
    }
  }

  config::Pool& pool() { return config_.pools.front(); }
  config::Backend& backend(std::size_t index) { return pool().backends[index]; }

  // "-bc": a is down, b and c are up. '?': nothing is known yet.
  const Snapshot& publish(const std::string& health, Instant now = kStart) {
    for (std::size_t i = 0; i < health.size(); ++i) {
      if (health[i] == '?') continue;
      board_.report({static_cast<BackendIndex>(i), 1},
                    {health[i] == '-' ? Health::kDown : Health::kUp, HealthReason::kNone});
    }
    auto built = build_snapshot(std::make_shared<const config::Config>(config_), board_, snapshot_.get(), now);
    EXPECT_TRUE(built);
    snapshot_ = *built;
    return *snapshot_;
  }
  std::string choose_one(std::uint64_t hash = 0) {
    const BackendIndex chosen = choose(*snapshot_, 0, hash, turns_, loads_);
    return chosen == kNoBackend ? "none" : snapshot_->backend_names[chosen];
  }
  // How many of so many flows each gets, all of which stay open.
  std::map<std::string, int> open_flows(int count) {
    std::map<std::string, int> out;
    for (int i = 0; i < count; ++i) {
      const BackendIndex chosen =
          choose(*snapshot_, 0, static_cast<std::uint64_t>(i) * 0x9e3779b97f4a7c15u, turns_, loads_);
      ++out[chosen == kNoBackend ? "none" : snapshot_->backend_names[chosen]];
      if (chosen != kNoBackend) loads_[chosen].active.add(1);
    }
    return out;
  }
  using Shares = std::map<std::string, int>;

  config::Config config_;
  HealthBoard board_;
  std::shared_ptr<const Snapshot> snapshot_;
  RoundRobinTurns turns_{Random(1)};
  std::vector<telemetry::EntityCounters> loads_;
};

TEST_F(ChooseTest, LeastConnFollowsTheWeights) {
  pool().balance = config::Balance::kLeastConn;
  backend(0).weight = 2;
  publish("abc");
  EXPECT_EQ(open_flows(400), (Shares{{"a", 200}, {"b", 100}, {"c", 100}}));
}

TEST_F(ChooseTest, LeastConnFillsUpWhatIsBehind) {
  pool().balance = config::Balance::kLeastConn;
  publish("abc");
  loads_[0].active.set(5);
  loads_[1].active.set(4);
  EXPECT_EQ(open_flows(6), (Shares{{"b", 1}, {"c", 5}}));
}

TEST_F(ChooseTest, LeastConnTakesTurnsAmongEquals) {
  pool().balance = config::Balance::kLeastConn;
  publish("abc");
  Shares seen;
  for (int i = 0; i < 30; ++i) ++seen[choose_one()];
  EXPECT_EQ(seen, (Shares{{"a", 10}, {"b", 10}, {"c", 10}}));
}

TEST_F(ChooseTest, LeastConnRetriesElsewhere) {
  pool().balance = config::Balance::kLeastConn;
  const Snapshot& snapshot = publish("abc");
  loads_[1].active.set(9);
  const BackendIndex tried[] = {0, 2};
  EXPECT_EQ(choose_other(snapshot, 0, 0, turns_, loads_, tried), 1);
}

TEST_F(ChooseTest, SourceHashIsMaglevOverItsHash) {
  pool().balance = config::Balance::kSourceHash;
  publish("abc");
  const std::string first = choose_one(77);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(choose_one(77), first);
}

TEST_F(ChooseTest, AWeightOfZeroTakesNothingNew) {
  for (const auto balance : {config::Balance::kMaglev, config::Balance::kRoundRobin, config::Balance::kLeastConn}) {
    pool().balance = balance;
    backend(1).weight = 0;
    publish("abc");
    EXPECT_FALSE(open_flows(50).contains("b"));
    Flow flow;
    flow.backend = snapshot_->id_of(1);
    flow.set_state(FlowState::kUdp);
    EXPECT_FALSE(should_move(*snapshot_, flow));  // what it has stays
  }
}

struct BackupCase {
  const char* name;
  const char* health;  // c is the backup
  std::vector<std::string> takers;
};
const BackupCase kBackupCases[] = {
    {"rests_while_another_is_up", "-bc", {"b"}},
    {"takes_over_when_none_is", "--c", {"c"}},
    {"is_down_too", "---", {}},
};

TEST_F(ChooseTest, ABackupTakesOverWhenNoOtherIsUp) {
  backend(2).backup = true;
  for (const auto balance : {config::Balance::kMaglev, config::Balance::kRoundRobin, config::Balance::kLeastConn}) {
    pool().balance = balance;
    for (const BackupCase& row : kBackupCases) {
      const Snapshot& snapshot = publish(row.health);
      std::vector<std::string> takers;
      for (const WeightedBackend& one : snapshot.pools[0].takers) takers.push_back(snapshot.backend_names[one.index]);
      EXPECT_EQ(takers, row.takers) << row.name;
      EXPECT_EQ(choose_one(), row.takers.empty() ? "none" : row.takers[0]) << row.name;
    }
  }
}

TEST_F(ChooseTest, BackendsTakeNoMoreThanTheirFlows) {
  for (std::size_t i = 0; i < 3; ++i) backend(i).max_flows = 5;
  backend(2).backup = true;
  for (const auto balance : {config::Balance::kMaglev, config::Balance::kRoundRobin, config::Balance::kLeastConn}) {
    pool().balance = balance;
    for (auto& load : loads_) load.active.set(0);
    publish("abc");
    EXPECT_EQ(open_flows(10), (Shares{{"a", 5}, {"b", 5}}));
    EXPECT_EQ(open_flows(5), (Shares{{"c", 5}}));  // the backup takes what the others have no room for
    EXPECT_EQ(open_flows(3), (Shares{{"none", 3}}));
    loads_[1].active.add(-1);
    EXPECT_EQ(choose_one(), "b");
  }
}

TEST_F(ChooseTest, TheLimitIsSplitOverTheWorkers) {
  config_.runtime.workers = {0, 1, 2};
  backend(0).max_flows = 10;
  EXPECT_EQ(publish("abc").backends[0].max_flows, 4u);  // 12 in all: no worker is left without a flow
  EXPECT_EQ(snapshot_->backends[1].max_flows, 0u);
}

TEST_F(ChooseTest, OnAllDownUsesAllOrNone) {
  publish("---");
  EXPECT_EQ(choose_one(), "none");
  pool().on_all_down = config::OnAllDown::kUseAll;
  backend(2).backup = true;
  publish("---");
  EXPECT_THAT(open_flows(100), UnorderedElementsAre(testing::Key("a"), testing::Key("b")));
  Flow flow;
  flow.backend = snapshot_->id_of(1);
  flow.set_state(FlowState::kUdp);
  EXPECT_FALSE(should_move(*snapshot_, flow));
  publish("-b-");
  EXPECT_THAT(open_flows(100), ElementsAre(testing::Key("b")));
  publish("--c");  // a backup that is up is better than what is down
  EXPECT_THAT(open_flows(100), ElementsAre(testing::Key("c")));
}

class SlowStartTest : public ChooseTest {
 protected:
  SlowStartTest() : ChooseTest(2) {
    pool().slow_start = 16s;
    pool().balance = config::Balance::kRoundRobin;
  }
  // The share of b, in sixteenths of a's.
  [[nodiscard]] std::uint32_t share_of_b() const {
    const auto& takers = snapshot_->pools[0].takers;
    return takers.at(1).weight * 16 / takers.at(0).weight;
  }
};

TEST_F(SlowStartTest, AtTheStartAllHaveTheirWeight) {
  publish("??");
  publish("a?");
  publish("ab");
  EXPECT_EQ(share_of_b(), 16u);
  EXPECT_EQ(snapshot_->next_step, std::nullopt);
}

TEST_F(SlowStartTest, ABackendThatComesBackRisesInSteps) {
  publish("ab");
  publish("a-");
  publish("ab", kStart);
  EXPECT_EQ(share_of_b(), 1u);
  std::uint32_t steps = 1;
  while (snapshot_->next_step) {
    ASSERT_LE(*snapshot_->next_step, kStart + 17s);
    publish("ab", *snapshot_->next_step);
    EXPECT_EQ(share_of_b(), ++steps);
  }
  EXPECT_EQ(steps, 16u);
  publish("ab", kStart + 60s);
  EXPECT_EQ(share_of_b(), 16u);
}

TEST_F(SlowStartTest, GoingDownAgainBeginsItAgain) {
  publish("a-");
  publish("ab", kStart);
  publish("ab", kStart + 8s);
  EXPECT_EQ(share_of_b(), 8u);
  publish("a-", kStart + 9s);
  publish("ab", kStart + 10s);
  EXPECT_EQ(share_of_b(), 1u);
}

// Each step moves no more of the slots than the paper's own disruption and what the backend gains.
TEST_F(SlowStartTest, AStepOfMaglevMovesFewSlots) {
  pool().balance = config::Balance::kMaglev;
  publish("a-");
  publish("ab", kStart);
  const std::size_t slots = snapshot_->pools[0].maglev->slots().size();
  while (snapshot_->next_step) {
    const auto before = snapshot_->pools[0].maglev;
    publish("ab", *snapshot_->next_step);
    std::size_t moved = 0;
    for (std::size_t i = 0; i < slots; ++i) moved += before->slots()[i] != snapshot_->pools[0].maglev->slots()[i];
    EXPECT_LT(static_cast<double>(moved) / static_cast<double>(slots), 0.08);
  }
}

TEST_F(SlowStartTest, OnceItIsOverTheTableIsThatOfAPoolWithoutOne) {
  pool().balance = config::Balance::kMaglev;
  backend(1).weight = 3;
  publish("ab");
  const auto with = snapshot_->pools[0].maglev;
  snapshot_.reset();
  pool().slow_start = 0s;
  publish("ab");
  EXPECT_TRUE(std::ranges::equal(with->slots(), snapshot_->pools[0].maglev->slots()));
}

}  // namespace
}  // namespace sluice::lb
