#include "sluice/lb/flow_table.h"

#include <algorithm>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "sluice/base/random.h"
#include "sluice/lb/flow_query.h"
#include "sluice/net/wire.h"

namespace sluice::lb {
namespace {

constexpr FlowTable::Secret kSecret{0x0123456789abcdef, 0xfedcba9876543210, 0x1357924680acebdf, 0x2468ace013579bdf};
constexpr FlowLimits kLimits{.established_ms = 1000, .opening_ms = 100, .closing_ms = 50, .udp_ms = 300};

net::IpAddress address4(std::uint32_t host) { return net::IpAddress::v4(Be32(host)); }

FlowKey key_of(std::uint32_t client, std::uint16_t port, net::IpProto proto = net::IpProto::kUdp) {
  return {.client = address4(0xc0000200u + client), .listener = {3, 1}, .client_port = port, .proto = proto};
}

ReplyKey reply_of(std::uint16_t backend, std::uint16_t port, net::IpProto proto = net::IpProto::kUdp) {
  return {.backend = address4(0xc6336400u + backend),
          .backend_port = 8080,
          .local_port = port,
          .source = 0,
          .proto = proto,
          .zero = 0};
}

class FlowTableTest : public ::testing::Test {
 protected:
  FlowTable make(std::size_t capacity) {
    FlowTable table(capacity, kSecret, ports_, *counters_);
    for (ServiceIndex service = 0; service < 4; ++service) table.set_limits(service, kLimits);
    return table;
  }
  // A translated flow with a port of `ports_`.
  Flow* open(FlowTable& table, const FlowKey& key, FlowState state, Ms now) {
    const net::Endpoint backend{address4(0xc6336401), 8080};
    const std::uint16_t port = ports_.take(0, key.proto, backend, now);
    return table.insert({.key = key,
                         .reply = {.backend = backend.address,
                                   .backend_port = backend.port,
                                   .local_port = port,
                                   .source = 0,
                                   .proto = key.proto,
                                   .zero = 0},
                         .backend = {5, 1},
                         .service = 2,
                         .state = state},
                        now);
  }

  NatPorts ports_{{1024, 4096}, Random(7)};
  std::unique_ptr<telemetry::WorkerCounters> counters_ = std::make_unique<telemetry::WorkerCounters>();
};

TEST_F(FlowTableTest, FindsWhatWasInsertedByBothKeys) {
  FlowTable table = make(100);
  const FlowKey key = key_of(1, 4000);
  EXPECT_EQ(table.find(key, Ms{0}), nullptr);
  Flow* flow = open(table, key, FlowState::kUdp, Ms{0});
  ASSERT_NE(flow, nullptr);
  EXPECT_EQ(table.find(key, Ms{1}), flow);
  const ReplyKey reply = flow->reply_key();
  EXPECT_EQ(table.find_reply(reply, Ms{1}), flow);
  EXPECT_EQ(table.find(key_of(1, 4001), Ms{1}), nullptr);
  ReplyKey other = reply;
  other.backend_port = 8081;
  EXPECT_EQ(table.find_reply(other, Ms{1}), nullptr);
  table.remove(*flow, Ms{2});
  EXPECT_EQ(table.find(key, Ms{2}), nullptr);
  EXPECT_EQ(table.find_reply(reply, Ms{2}), nullptr);
  EXPECT_FALSE(flow->has_key(key.words()));
  EXPECT_FALSE(flow->has_reply_key(reply.words()));
}

TEST_F(FlowTableTest, CountsFlowsOfServicesAndBackends) {
  FlowTable table = make(100);
  Flow* first = open(table, key_of(1, 1), FlowState::kUdp, Ms{0});
  (void)open(table, key_of(1, 2), FlowState::kUdp, Ms{0});
  EXPECT_EQ(counters_->flows.read(), 2);
  EXPECT_EQ(counters_->flow_capacity.read(), 100);
  EXPECT_EQ(counters_->flows_created.read(), 2u);
  EXPECT_EQ(counters_->backends[5].active.read(), 2);
  EXPECT_EQ(counters_->services[2].flows.read(), 2u);
  EXPECT_EQ(counters_->nat_ports_used.read(), 2);
  table.remove(*first, Ms{0});
  EXPECT_EQ(counters_->flows.read(), 1);
  EXPECT_EQ(counters_->backends[5].active.read(), 1);
  EXPECT_EQ(counters_->services[2].active.read(), 1);
  EXPECT_EQ(counters_->backends[5].flows.read(), 2u);
  EXPECT_EQ(counters_->nat_ports_used.read(), 1);
}

TEST_F(FlowTableTest, CountsTheTcpConnectionsThatHaveNotEnded) {
  FlowTable table = make(100);
  const auto open_now = [&] { return counters_->tcp_flows_open.read(); };
  Flow* udp = open(table, key_of(1, 4000), FlowState::kUdp, Ms{0});
  EXPECT_EQ(open_now(), 0);
  Flow* first = open(table, key_of(1, 4001, net::IpProto::kTcp), FlowState::kSynSent, Ms{0});
  Flow* second = open(table, key_of(1, 4002, net::IpProto::kTcp), FlowState::kSynSent, Ms{0});
  EXPECT_EQ(open_now(), 2);
  table.touch(*first, Direction::kToClient, {.flags = net::kTcpSyn | net::kTcpAck}, Ms{1});
  table.touch(*first, Direction::kToClient, {.flags = net::kTcpFin | net::kTcpAck}, Ms{1});
  EXPECT_EQ(open_now(), 2);
  table.touch(*first, Direction::kToBackend, {.flags = net::kTcpFin | net::kTcpAck}, Ms{2});
  EXPECT_EQ(open_now(), 1);  // closed, though still in the table
  table.touch(*second, Direction::kToBackend, {.flags = net::kTcpRst}, Ms{2});
  EXPECT_EQ(open_now(), 0);
  for (Flow* flow : {udp, first, second}) table.remove(*flow, Ms{3});
  EXPECT_EQ(open_now(), 0);
}

TEST_F(FlowTableTest, RefusesWhenFullAndKeepsWhatIsThere) {
  FlowTable table = make(50);
  for (std::uint16_t i = 0; i < 50; ++i) ASSERT_NE(open(table, key_of(1, i), FlowState::kEstablished, Ms{0}), nullptr);
  EXPECT_TRUE(table.full());
  EXPECT_EQ(open(table, key_of(1, 50), FlowState::kSynSent, Ms{0}), nullptr);
  for (std::uint16_t i = 0; i < 50; ++i) EXPECT_NE(table.find(key_of(1, i), Ms{0}), nullptr) << i;
  table.remove(*table.find(key_of(1, 7), Ms{0}), Ms{0});
  EXPECT_NE(open(table, key_of(1, 50), FlowState::kSynSent, Ms{0}), nullptr);
}

TEST_F(FlowTableTest, WorksWithOnePlace) {
  FlowTable table = make(1);
  EXPECT_NE(open(table, key_of(1, 1), FlowState::kUdp, Ms{0}), nullptr);
  EXPECT_EQ(open(table, key_of(1, 2), FlowState::kUdp, Ms{0}), nullptr);
  EXPECT_EQ(table.find(key_of(1, 2), Ms{0}), nullptr);
}

struct IdleCase {
  const char* name;
  FlowState state;
  std::uint32_t limit_ms;
};
const IdleCase kIdleCases[] = {
    {"udp", FlowState::kUdp, 300},
    {"syn_sent", FlowState::kSynSent, 100},
    {"syn_received", FlowState::kSynReceived, 100},
    {"established", FlowState::kEstablished, 1000},
    {"half_closed", FlowState::kFinClient, 1000},
    {"closed", FlowState::kClosed, 50},
    {"reset", FlowState::kResetByBackend, 50},
};

TEST_F(FlowTableTest, ForgetsAnIdleFlowAfterTheLimitOfItsState) {
  for (const IdleCase& row : kIdleCases) {
    SCOPED_TRACE(row.name);
    // The clock of 32 bits wraps in the middle.
    for (const std::uint32_t start : {0u, 0xffffffffu - 20}) {
      FlowTable table = make(10);
      const FlowKey key = key_of(1, 1);
      (void)open(table, key, row.state, Ms{start});
      EXPECT_NE(table.find(key, Ms{start + row.limit_ms}), nullptr);
      EXPECT_EQ(table.find(key, Ms{start + row.limit_ms + 1}), nullptr);
      EXPECT_EQ(table.size(), 0u);

      Flow* again = open(table, key, row.state, Ms{start});
      const ReplyKey reply = again->reply_key();
      EXPECT_NE(table.find_reply(reply, Ms{start + row.limit_ms}), nullptr);
      EXPECT_EQ(table.find_reply(reply, Ms{start + row.limit_ms + 1}), nullptr);

      (void)open(table, key, row.state, Ms{start});
      EXPECT_EQ(table.expire(Ms{start + row.limit_ms}, 1000), 0u);
      EXPECT_EQ(table.expire(Ms{start + row.limit_ms + 1}, 1000), 1u);
      EXPECT_EQ(table.size(), 0u);
      EXPECT_EQ(ports_.stats().taken, 0u);
    }
  }
}

TEST_F(FlowTableTest, APacketPutsTheEndOff) {
  FlowTable table = make(10);
  const FlowKey key = key_of(1, 1);
  Flow* flow = open(table, key, FlowState::kUdp, Ms{0});
  for (std::uint32_t now = 200; now < 2000; now += 200) {
    ASSERT_EQ(table.find(key, Ms{now}), flow);
    table.touch(*flow, Direction::kToBackend, {.flags = 0}, Ms{now});
  }
}

TEST_F(FlowTableTest, ExpireKeepsToItsBudget) {
  FlowTable table = make(1000);
  for (std::uint16_t i = 0; i < 1000; ++i) (void)open(table, key_of(1, i), FlowState::kUdp, Ms{0});
  std::size_t removed = 0;
  for (std::size_t turn = 0; turn < table.places() / 10 + 1; ++turn) {
    const std::size_t now = table.expire(Ms{1000}, 10);
    EXPECT_LE(now, 10u);
    removed += now;
  }
  EXPECT_EQ(removed, 1000u);
  EXPECT_EQ(table.displaced(), 0u);
  EXPECT_EQ(counters_->flows_expired.read(), 1000u);
}

TEST_F(FlowTableTest, AClosedFlowStaysUntilItsPortIsTakenAgain) {
  NatPorts one_port({2000, 1}, Random(1));
  FlowTable table(10, kSecret, one_port, *counters_);
  const net::Endpoint backend{address4(0xc6336401), 8080};
  const auto insert = [&](const FlowKey& key, std::uint16_t port, Ms now) {
    return table.insert({.key = key,
                         .reply = {.backend = backend.address,
                                   .backend_port = backend.port,
                                   .local_port = port,
                                   .source = 0,
                                   .proto = key.proto,
                                   .zero = 0},
                         .backend = {5, 1},
                         .service = 2,
                         .state = FlowState::kEstablished},
                        now);
  };
  const FlowKey first = key_of(1, 1, net::IpProto::kTcp);
  const FlowKey second = key_of(1, 2, net::IpProto::kTcp);
  Flow* flow = insert(first, one_port.take(0, first.proto, backend, Ms{0}), Ms{0});
  table.touch(*flow, Direction::kToBackend, {.flags = net::kTcpFin | net::kTcpAck}, Ms{10});
  table.touch(*flow, Direction::kToClient, {.flags = net::kTcpFin | net::kTcpAck}, Ms{20});
  EXPECT_EQ(flow->state(), FlowState::kClosed);
  EXPECT_EQ(one_port.stats().taken, 0u);
  EXPECT_EQ(counters_->flows_closed.read(), 1u);
  table.touch(*flow, Direction::kToBackend, {.flags = net::kTcpAck}, Ms{30});  // the last ACK still passes
  EXPECT_EQ(table.find(first, Ms{30}), flow);
  EXPECT_EQ(flow->last_seen, Ms{20});

  const std::uint16_t port = one_port.take(0, second.proto, backend, Ms{5000});
  ASSERT_EQ(port, 2000);
  Flow* next = insert(second, port, Ms{5000});
  ASSERT_NE(next, nullptr);
  table.settle(Ms{5000});
  EXPECT_EQ(table.find(first, Ms{5000}), nullptr);
  EXPECT_EQ(table.find_reply(next->reply_key(), Ms{5000}), next);
  EXPECT_EQ(table.size(), 1u);
  EXPECT_EQ(one_port.stats().taken, 1u);
  table.remove(*next, Ms{5000});
  EXPECT_EQ(one_port.stats().taken, 0u);
}

TEST_F(FlowTableTest, AFlowWithoutTranslationHasNoReplyKey) {
  FlowTable table = make(10);
  const NewFlow plain{
      .key = key_of(1, 1), .reply = reply_of(1, 0), .backend = {1, 1}, .service = 0, .state = FlowState::kUdp};
  Flow* flow = table.insert(plain, Ms{0});
  ASSERT_NE(flow, nullptr);
  EXPECT_EQ(table.find(plain.key, Ms{0}), flow);
  EXPECT_EQ(table.find_reply(plain.reply, Ms{0}), nullptr);
  table.remove(*flow, Ms{0});
  EXPECT_EQ(table.size(), 0u);
}

TEST_F(FlowTableTest, AQuerySeesEachFlowOnceInSlices) {
  FlowTable table = make(500);
  for (std::uint16_t i = 0; i < 500; ++i) (void)open(table, key_of(2, i), FlowState::kUdp, Ms{0});
  FlowQuery query({}, 500);
  std::size_t steps = 1;
  while (!query.step(table, 7, Ms{3}, [](Flow&) {})) ++steps;
  EXPECT_EQ(steps, (table.places() + 6) / 7);
  EXPECT_EQ(query.rows().size(), 500u);
  EXPECT_FALSE(query.more());
  std::vector<int> seen(500);
  for (const FlowQuery::Row& row : query.rows()) {
    ++seen[row.flow.key.client_port];
    EXPECT_EQ(row.idle_ms, 3u);
  }
  EXPECT_TRUE(std::ranges::all_of(seen, [](int count) { return count == 1; }));
}

// The table lives meanwhile: flows come and go between the slices, and those that stay are met once.
TEST_F(FlowTableTest, AMillionFlowsAreCountedAndEndedInSlices) {
  constexpr std::uint32_t kFlows = 1'000'000;
  constexpr std::size_t kSlice = 256;
  FlowTable table = make(kFlows + 1000);
  const auto insert = [&](std::uint32_t i, ServiceIndex service) {
    return table.insert({.key = key_of(i >> 10, static_cast<std::uint16_t>(i & 1023)),
                         .reply = reply_of(static_cast<std::uint16_t>(i % 8), 0),
                         .backend = {static_cast<BackendIndex>(i % 8), 1},
                         .service = service,
                         .state = FlowState::kUdp},
                        Ms{0});
  };
  for (std::uint32_t i = 0; i < kFlows; ++i) ASSERT_NE(insert(i, i % 4), nullptr);
  FlowQuery count({}, FlowAction::kCount);
  for (std::uint32_t step = 0; !count.step(table, kSlice, Ms{0}, [](Flow&) {}); ++step) {
    Flow* passing = insert(kFlows + step, 5);
    if (passing != nullptr) table.remove(*passing, Ms{0});
  }
  EXPECT_EQ(count.matched(), kFlows);
  EXPECT_EQ(count.services()[3], kFlows / 4);
  EXPECT_EQ(count.services()[5], 0u);
  EXPECT_EQ(count.backends()[7], kFlows / 8);

  FlowQuery end({.service = 1, .backend = {}, .client = {}}, FlowAction::kEnd);
  std::size_t most = 0, ended = 0;
  for (bool done = false; !done; most = std::max(most, std::exchange(ended, 0))) {
    done = end.step(table, kSlice, Ms{0}, [&](Flow& flow) {
      ++ended;
      table.remove(flow, Ms{0});
    });
  }
  EXPECT_EQ(most, FlowQuery::kEndsPerStep);
  EXPECT_EQ(end.matched(), kFlows / 4);
  EXPECT_EQ(table.size(), kFlows - kFlows / 4);
  EXPECT_EQ(counters_->services[1].active.read(), 0);
  EXPECT_EQ(counters_->services[0].active.read(), kFlows / 4);
}

struct Churn {
  const char* name;
  std::size_t capacity;
  std::uint32_t keys;  // drawn from so many: collisions, reinsertion, misses
  std::size_t steps;
};
const Churn kChurns[] = {
    {"one_chunk", 8, 16, 20'000},
    {"small_and_always_full", 100, 200, 100'000},
    {"mostly_full", 5'000, 7'000, 300'000},
    {"sparse", 5'000, 3'000, 200'000},
};

struct KeyHash {
  std::size_t operator()(const FlowKey& key) const {
    return std::hash<std::string_view>()({reinterpret_cast<const char*>(&key), sizeof(key)});
  }
};

// Long random churn against std::unordered_map: the same answers always, and nothing left over at the end.
TEST_F(FlowTableTest, AgreesWithAMapUnderChurn) {
  for (const Churn& row : kChurns) {
    SCOPED_TRACE(row.name);
    FlowTable table = make(row.capacity);
    NatPorts ports({1024, 64000}, Random(3));
    std::unordered_map<FlowKey, ReplyKey, KeyHash> oracle;
    Random random(row.steps);
    const auto random_key = [&] {
      const std::uint32_t n = random.below(row.keys);
      return key_of(n >> 10, static_cast<std::uint16_t>(n & 1023));
    };
    for (std::size_t step = 0; step < row.steps; ++step) {
      const FlowKey key = random_key();
      const auto known = oracle.find(key);
      Flow* flow = table.find(key, Ms{0});
      ASSERT_EQ(flow != nullptr, known != oracle.end());
      if (flow != nullptr) {
        ASSERT_EQ(flow->reply_key(), known->second);
        ASSERT_EQ(table.find_reply(known->second, Ms{0}), flow);
        if (random.below(3) == 0) continue;
        table.remove(*flow, Ms{0});
        ASSERT_EQ(table.find_reply(known->second, Ms{0}), nullptr);
        oracle.erase(known);
        continue;
      }
      const std::uint32_t n = static_cast<std::uint32_t>(step % 60000);
      const ReplyKey reply =
          reply_of(static_cast<std::uint16_t>(random.below(4)), static_cast<std::uint16_t>(n + 1024));
      if (table.find_reply(reply, Ms{0}) != nullptr) continue;
      flow =
          table.insert({.key = key, .reply = reply, .backend = {1, 1}, .service = 0, .state = FlowState::kUdp}, Ms{0});
      ASSERT_EQ(flow != nullptr, oracle.size() < row.capacity);
      if (flow != nullptr) oracle.emplace(key, reply);
      ASSERT_EQ(table.size(), oracle.size());
    }
    for (const auto& [key, reply] : oracle) {
      Flow* flow = table.find(key, Ms{0});
      ASSERT_NE(flow, nullptr);
      table.remove(*flow, Ms{0});
    }
    EXPECT_EQ(table.size(), 0u);
    EXPECT_EQ(table.displaced(), 0u);
  }
}

// Churn does not slow the table down: how far flows lie behind their home chunks settles, and stays there.
TEST_F(FlowTableTest, DoesNotDecay) {
  constexpr std::uint32_t kCapacity = 20'000;
  FlowTable table = make(kCapacity);
  const auto key = [](std::uint32_t n) { return key_of(n >> 12, static_cast<std::uint16_t>(n & 4095)); };
  const auto insert = [&](std::uint32_t n) {
    return table.insert(
        {.key = key(n), .reply = reply_of(0, 0), .backend = {1, 1}, .service = 0, .state = FlowState::kUdp}, Ms{0});
  };
  for (std::uint32_t n = 0; n < kCapacity; ++n) ASSERT_NE(insert(n), nullptr);
  const auto displaced = [&] { return static_cast<double>(table.displaced()) / kCapacity; };
  EXPECT_LT(displaced(), 0.06);
  for (std::uint32_t n = 0; n < 40 * kCapacity; ++n) {
    table.remove(*table.find(key(n), Ms{0}), Ms{0});
    ASSERT_NE(insert(n + kCapacity), nullptr);
    if (n % kCapacity == 0) {
      EXPECT_LT(displaced(), 0.3) << n / kCapacity;
    }
  }
  EXPECT_EQ(table.size(), kCapacity);
}

struct Pattern {
  const char* name;
  FlowKey (*key)(std::uint32_t n);
};
const Pattern kPatterns[] = {
    {"ports_of_few_clients", [](std::uint32_t n) { return key_of(n >> 12, static_cast<std::uint16_t>(n & 4095)); }},
    {"one_port_of_many_clients", [](std::uint32_t n) { return key_of(n, 443); }},
    {"clients_of_many_networks", [](std::uint32_t n) { return key_of(n << 8, static_cast<std::uint16_t>(n % 7)); }},
};

// Tuples that count up are as good as random ones, whatever the secret: flows of those would lie 0.03 chunks from home.
TEST_F(FlowTableTest, SpreadsSequentialTuples) {
  constexpr std::uint32_t kCapacity = 20'000;
  Random random(11);
  for (const Pattern& row : kPatterns) {
    SCOPED_TRACE(row.name);
    for (int round = 0; round < 10; ++round) {
      FlowTable table(kCapacity, {random.next(), random.next(), random.next(), random.next()}, ports_, *counters_);
      for (std::uint32_t n = 0; n < kCapacity; ++n) {
        (void)table.insert(
            {.key = row.key(n), .reply = reply_of(0, 0), .backend = {1, 1}, .service = 0, .state = FlowState::kUdp},
            Ms{0});
      }
      EXPECT_LT(static_cast<double>(table.displaced()), 0.05 * kCapacity);
    }
  }
}

// RFC 5961 section 3: whoever does not see the flow does not know its sequence numbers.
TEST_F(FlowTableTest, AResetEndsAFlowOnlyWhereItsSequenceNumberIsNearTheFlows) {
  struct Row {
    const char* name;
    Direction direction;
    Segment reset;
    FlowState want;
  };
  constexpr std::uint32_t kClient = 0xfffffff0,
                          kBackend = 5000;  // next of the client, wrapped soon; next of the backend
  const Row rows[] = {
      {"client_exact", Direction::kToBackend, {net::kTcpRst, kClient, 0, 0}, FlowState::kResetByClient},
      {"client_ahead", Direction::kToBackend, {net::kTcpRst, kClient + 60000, 0, 0}, FlowState::kResetByClient},
      {"client_retransmits", Direction::kToBackend, {net::kTcpRst, kClient - 1000, 0, 0}, FlowState::kResetByClient},
      {"client_guess", Direction::kToBackend, {net::kTcpRst, 0x12345678, 0, 0}, FlowState::kEstablished},
      {"client_far_behind", Direction::kToBackend, {net::kTcpRst, kClient - 70000, 0, 0}, FlowState::kEstablished},
      {"backend_exact", Direction::kToClient, {net::kTcpRst, kBackend, 0, 0}, FlowState::kResetByBackend},
      {"backend_guess", Direction::kToClient, {net::kTcpRst, 0x80000000, 0, 0}, FlowState::kEstablished},
  };
  for (const Row& row : rows) {
    FlowTable table = make(10);
    Flow* flow = open(table, key_of(1, 1, net::IpProto::kTcp), FlowState::kEstablished, Ms{0});
    table.touch(*flow, Direction::kToBackend, {net::kTcpAck, kClient - 100, 100, kBackend}, Ms{1});
    const std::uint64_t before = counters_->resets_implausible.read();
    table.touch(*flow, row.direction, row.reset, Ms{2});
    EXPECT_EQ(flow->state(), row.want) << row.name;
    EXPECT_EQ(counters_->resets_implausible.read() - before, row.want == FlowState::kEstablished ? 1u : 0u) << row.name;
  }
}

// A forger who does not see a flow could teach it, with a segment, the number that his reset will have.
TEST_F(FlowTableTest, SegmentsFarFromTheClientsLastTeachNothing) {
  struct Row {
    const char* name;
    Segment forged;
    Segment reset;
    FlowState want;
  };
  constexpr std::uint32_t kNext = 0xffff0000, kFar = 0x90000000, kBackend = 5000;
  const Row rows[] = {
      {"ack_then_reset", {net::kTcpAck, kFar, 0, 1}, {net::kTcpRst, kFar, 0, 0}, FlowState::kEstablished},
      {"data_then_reset", {net::kTcpAck, kFar - 1000, 1000, 1}, {net::kTcpRst, kFar, 0, 0}, FlowState::kEstablished},
      {"its_own_reset_after_a_forged_ack",
       {net::kTcpAck, kFar, 0, 1},
       {net::kTcpRst, kNext, 0, 0},
       FlowState::kResetByClient},
      {"just_too_far_ahead",
       {net::kTcpAck, kNext + kSequenceAhead + 1, 0, 1},
       {net::kTcpRst, kNext + 2 * kSequenceAhead, 0, 0},
       FlowState::kEstablished},
      {"data_behind_a_gap",
       {net::kTcpAck, kNext + kSequenceAhead - 1000, 1000, 1},
       {net::kTcpRst, kNext + 2 * kSequenceAhead, 0, 0},
       FlowState::kResetByClient},
      {"a_retransmission",
       {net::kTcpAck, kNext - 5000, 1000, kBackend},
       {net::kTcpRst, kNext, 0, 0},
       FlowState::kResetByClient},
  };
  for (const Row& row : rows) {
    FlowTable table = make(10);
    Flow* flow = open(table, key_of(1, 1, net::IpProto::kTcp), FlowState::kSynSent, Ms{0});
    table.touch(*flow, Direction::kToBackend, {net::kTcpSyn, kNext - 1, 0, 0}, Ms{0});
    table.touch(*flow, Direction::kToClient, {net::kTcpSyn | net::kTcpAck, kBackend - 1, 0, kNext}, Ms{0});
    table.touch(*flow, Direction::kToBackend, {net::kTcpAck, kNext, 0, kBackend}, Ms{0});
    table.touch(*flow, Direction::kToBackend, row.forged, Ms{1});
    EXPECT_STREQ(text_of(flow->state()), "established") << row.name;
    table.touch(*flow, Direction::kToBackend, row.reset, Ms{2});
    const std::string got = text_of(flow->state());
    EXPECT_EQ(got, text_of(row.want)) << row.name;
  }
}

TEST_F(FlowTableTest, AForgedFinTeachesNothingToo) {
  FlowTable table = make(10);
  Flow* flow = open(table, key_of(1, 1, net::IpProto::kTcp), FlowState::kSynSent, Ms{0});
  table.touch(*flow, Direction::kToBackend, {net::kTcpSyn, 999, 0, 0}, Ms{0});
  table.touch(*flow, Direction::kToBackend, {net::kTcpAck, 0x90000000, 0, 0}, Ms{0});  // forged
  table.touch(*flow, Direction::kToClient, {net::kTcpSyn | net::kTcpAck, 4999, 0, 1000}, Ms{0});
  table.touch(*flow, Direction::kToBackend, {net::kTcpAck, 1000, 0, 5000}, Ms{0});
  table.touch(*flow, Direction::kToBackend, {net::kTcpFin | net::kTcpAck, 0x90000000, 0, 1}, Ms{1});
  table.touch(*flow, Direction::kToBackend, {net::kTcpRst, 0x90000001, 0, 0}, Ms{2});
  EXPECT_EQ(flow->state(), FlowState::kFinClient);
  table.touch(*flow, Direction::kToBackend, {net::kTcpRst, 1000, 0, 0}, Ms{2});
  EXPECT_EQ(flow->state(), FlowState::kResetByClient);
}

// More than a window was lost on the way to us, or somebody has hit the range by luck: the backend knows.
TEST_F(FlowTableTest, ADoubtedFlowBelievesWhatTheBackendAcknowledges) {
  constexpr std::uint32_t kLater = 1000 + 3 * kSequenceAhead;
  FlowTable table = make(10);
  const FlowKey key = key_of(1, 1, net::IpProto::kTcp);
  Flow* flow = open(table, key, FlowState::kEstablished, Ms{0});
  table.touch(*flow, Direction::kToBackend, {net::kTcpAck, 0, 1000, 5000}, Ms{0});
  table.touch(*flow, Direction::kToBackend, {net::kTcpAck, kLater, 1000, 5000}, Ms{500});
  EXPECT_EQ(flow->state(), FlowState::kDoubted);
  EXPECT_FALSE(starts_over(flow->state(), net::kTcpSyn));
  EXPECT_EQ(table.find(key, Ms{500 + kLimits.established_ms}), flow);
  table.touch(*flow, Direction::kToClient, {net::kTcpAck, 5000, 0, kLater + 1000}, Ms{501});
  EXPECT_EQ(flow->state(), FlowState::kEstablished);
  table.touch(*flow, Direction::kToBackend, {net::kTcpRst, kLater + 1000, 0, 0}, Ms{502});
  EXPECT_EQ(flow->state(), FlowState::kResetByClient);
}

// RFC 9260 section 8.5.1: an ABORT has the tag of its receiver, or says with a bit that it has that of its sender.
TEST_F(FlowTableTest, AnAssociationEndsByItsOwnTagsAlone) {
  struct Row {
    const char* name;
    Direction direction;
    std::uint32_t tag;
    FlowState want;
  };
  const Row rows[] = {
      {"of_the_client", Direction::kToBackend, 0x22, FlowState::kResetByClient},
      {"of_the_client_reflected", Direction::kToBackend, 0x11, FlowState::kResetByClient},
      {"of_the_client_guessed", Direction::kToBackend, 0xdeadbeef, FlowState::kEstablished},
      {"of_the_client_near", Direction::kToBackend, 0x23, FlowState::kEstablished},
      {"of_the_client_none", Direction::kToBackend, 0, FlowState::kEstablished},
      {"of_the_backend", Direction::kToClient, 0x11, FlowState::kResetByBackend},
      {"of_the_backend_guessed", Direction::kToClient, 0xdeadbeef, FlowState::kEstablished},
  };
  for (const Row& row : rows) {
    FlowTable table = make(10);
    Flow* flow = open(table, key_of(1, 1, net::IpProto::kSctp), FlowState::kSynSent, Ms{0});
    table.touch(*flow, Direction::kToBackend, {net::kTcpSyn, 0, 0, 0x11}, Ms{0});
    table.touch(*flow, Direction::kToClient, {net::kTcpSyn | net::kTcpAck, 0x11, 0, 0x22}, Ms{0});
    table.touch(*flow, Direction::kToBackend, {net::kTcpAck, 0x22, 0, 0}, Ms{0});
    EXPECT_EQ(flow->state(), FlowState::kEstablished);
    table.touch(*flow, Direction::kToBackend, {net::kTcpAck, 0xdeadbeef, 0, 0}, Ms{1});  // forged, to teach it
    table.touch(*flow, Direction::kToBackend, {net::kTcpSyn, 0, 0, 0xdeadbeef}, Ms{1});
    table.touch(*flow, row.direction, {net::kTcpRst, row.tag, 0, 0}, Ms{2});
    EXPECT_EQ(flow->state(), row.want) << row.name;
  }
}

// RFC 9260 section 5.2: a host that came up again begins its association anew on the same ports.
TEST_F(FlowTableTest, AnAssociationThatIsBegunAnewHasNewTags) {
  FlowTable table = make(10);
  Flow* flow = open(table, key_of(1, 1, net::IpProto::kSctp), FlowState::kSynSent, Ms{0});
  for (const std::uint32_t client : {0x11u, 0x33u}) {
    table.touch(*flow, Direction::kToBackend, {net::kTcpSyn, 0, 0, client}, Ms{0});
    table.touch(*flow, Direction::kToClient, {net::kTcpSyn | net::kTcpAck, client, 0, client + 0x11}, Ms{0});
    table.touch(*flow, Direction::kToBackend, {net::kTcpAck, client + 0x11, 0, 0}, Ms{0});
    table.touch(*flow, Direction::kToClient, {net::kTcpAck, client, 0, 0}, Ms{0});
    table.touch(*flow, Direction::kToBackend, {net::kTcpAck, client + 0x11, 0, 0}, Ms{0});
  }
  EXPECT_EQ(flow->client_next, 0x44u);
  EXPECT_EQ(flow->client_ack, 0x33u);
  table.touch(*flow, Direction::kToBackend, {net::kTcpRst, 0x22, 0, 0}, Ms{1});
  EXPECT_EQ(flow->state(), FlowState::kEstablished);
  table.touch(*flow, Direction::kToBackend, {net::kTcpRst, 0x44, 0, 0}, Ms{1});
  EXPECT_EQ(flow->state(), FlowState::kResetByClient);
}

// RFC 9293 section 3.10.7.3: in SYN-SENT a reset is taken if it acknowledges the SYN.
TEST_F(FlowTableTest, ARefusedConnectionIsResetByWhatAcknowledgesItsSyn) {
  FlowTable table = make(10);
  Flow* flow = open(table, key_of(1, 1, net::IpProto::kTcp), FlowState::kSynSent, Ms{0});
  table.touch(*flow, Direction::kToBackend, {net::kTcpSyn, 1000, 0, 0}, Ms{0});
  table.touch(*flow, Direction::kToClient, {net::kTcpRst | net::kTcpAck, 0, 0, 5000}, Ms{1});
  EXPECT_EQ(flow->state(), FlowState::kSynSent);
  table.touch(*flow, Direction::kToClient, {net::kTcpRst | net::kTcpAck, 0, 0, 1001}, Ms{2});
  EXPECT_EQ(flow->state(), FlowState::kResetByBackend);
}

// Tunnels and direct return: the backend's packets do not come by here.
TEST_F(FlowTableTest, OneWayFlowsLiveByTheClientsPackets) {
  FlowTable table = make(10);
  const FlowKey key = key_of(1, 1, net::IpProto::kTcp);
  Flow* flow = table.insert({.key = key,
                             .reply = reply_of(1, 0),
                             .backend = {1, 1},
                             .service = 0,
                             .state = FlowState::kSynSent,
                             .one_way = true},
                            Ms{0});
  ASSERT_NE(flow, nullptr);
  table.touch(*flow, Direction::kToBackend, {.flags = net::kTcpSyn}, Ms{0});
  EXPECT_EQ(flow->state(), FlowState::kSynSent);
  table.touch(*flow, Direction::kToBackend, {.flags = net::kTcpAck}, Ms{1});
  EXPECT_EQ(flow->state(), FlowState::kSynReceived);
  table.touch(*flow, Direction::kToBackend, {.flags = net::kTcpAck}, Ms{2});
  EXPECT_EQ(flow->state(), FlowState::kEstablished);
  EXPECT_EQ(table.find(key, Ms{1000}), flow);
  table.touch(*flow, Direction::kToBackend, {.flags = net::kTcpFin | net::kTcpAck}, Ms{1000});
  EXPECT_EQ(flow->state(), FlowState::kFinClient);
  EXPECT_EQ(table.find(key, Ms{1000 + kLimits.closing_ms}), flow);
  EXPECT_TRUE(starts_over(flow->state(), net::kTcpSyn, true));
  EXPECT_EQ(table.find(key, Ms{1001 + kLimits.closing_ms}), nullptr);
}

TEST_F(FlowTableTest, BurstsGiveWhatSingleLookupsGive) {
  FlowTable table = make(2000);
  for (std::uint16_t i = 0; i < 2000; i += 2) {
    (void)open(table, key_of(3, i), i % 6 == 0 ? FlowState::kSynSent : FlowState::kEstablished, Ms{0});
  }
  const Ms later{500};  // the opening ones are idle by then
  Random random(9);
  for (std::size_t size = 0; size <= 40; ++size) {
    std::vector<FlowKey> keys;
    std::vector<ReplyKey> replies;
    for (std::size_t i = 0; i < size; ++i) {
      keys.push_back(key_of(3, static_cast<std::uint16_t>(random.below(2000))));
      ReplyKey reply = reply_of(1, static_cast<std::uint16_t>(1024 + random.below(4096)));
      replies.push_back(reply);
    }
    std::vector<Flow*> by_key(size), by_reply(size);
    table.settle(later);
    const std::size_t before = table.size();
    std::vector<FlowTable::Lookup> lookups, reply_lookups;
    for (std::size_t i = 0; i < size; ++i) {
      lookups.push_back(table.begin(keys[i].client.words(), keys[i].words()[2], false));
      reply_lookups.push_back(table.begin(replies[i].backend.words(), replies[i].words()[2], true));
    }
    for (std::size_t i = 0; i < size; ++i) {
      by_key[i] = table.guess(lookups[i]);
      by_reply[i] = table.guess_reply(reply_lookups[i]);
    }
    for (std::size_t i = 0; i < size; ++i) {
      by_key[i] = table.finish(lookups[i], by_key[i], later);
      by_reply[i] = table.finish_reply(reply_lookups[i], by_reply[i], later);
    }
    EXPECT_EQ(table.size(), before);  // a burst removes nothing
    for (std::size_t i = 0; i < size; ++i) {
      const bool idle = keys[i].client_port % 6 == 0;
      const bool there = keys[i].client_port % 2 == 0 && !idle;
      EXPECT_EQ(by_key[i] != nullptr, there) << keys[i].client_port;
      if (by_key[i] != nullptr) {
        EXPECT_EQ(by_key[i]->key, keys[i]);
      }
      if (by_reply[i] != nullptr) {
        EXPECT_EQ(by_reply[i]->reply_key(), replies[i]);
      }
    }
  }
}

}  // namespace
}  // namespace sluice::lb
