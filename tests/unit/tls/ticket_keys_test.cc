// Tickets across libraries (threads), services and rotations of their keys.
#include "sluice/tls/ticket_keys.h"

#include <thread>

#include <gtest/gtest.h>

#include "pair.h"

namespace sluice::tls::test {
namespace {

constexpr Duration kPeriod = std::chrono::hours(1);

std::shared_ptr<TicketKeys> make_keys() {
  auto keys = TicketKeys::create(Instant{}, kPeriod);
  if (!keys) throw std::runtime_error(keys.error().message);
  return *keys;
}

TEST(TicketKeys, MoveOnByTime) {
  const auto keys = make_keys();
  const auto first = keys->keys();
  EXPECT_NE(first->current.name, first->next.name);
  EXPECT_FALSE(keys->rotate(Instant{} + kPeriod - Duration(1)));
  EXPECT_EQ(keys->keys(), first);
  EXPECT_TRUE(keys->rotate(Instant{} + kPeriod));
  const auto second = keys->keys();
  EXPECT_EQ(second->current.name, first->next.name);
  EXPECT_EQ(second->previous.name, first->current.name);
  EXPECT_NE(second->next.name, first->next.name);
  EXPECT_EQ(keys->next_rotation(), Instant{} + 2 * kPeriod) << "late calls do not shift the times";
  EXPECT_FALSE(keys->rotate(Instant{} + kPeriod));
}

TEST(TicketKeys, AfterALongPauseTheOldKeyIsGone) {
  const auto keys = make_keys();
  const auto first = keys->keys();
  EXPECT_TRUE(keys->rotate(Instant{} + 5 * kPeriod));
  EXPECT_NE(keys->keys()->previous.name, first->current.name);
  EXPECT_EQ(keys->next_rotation(), Instant{} + 6 * kPeriod);
}

TEST(TicketKeys, LivesAtMostSevenDays) {
  EXPECT_EQ(make_keys()->ticket_lifetime(), kPeriod);
  EXPECT_EQ((*TicketKeys::create(Instant{}, std::chrono::days(30)))->ticket_lifetime(), std::chrono::days(7));
  EXPECT_FALSE(TicketKeys::create(Instant{}, Duration(1)).has_value());
}

TEST(TicketKeys, AreReadWhileTheyMoveOn) {
  const auto keys = make_keys();
  std::atomic<bool> stop = false;
  std::thread reader([&] {
    while (!stop) {
      const auto set = keys->keys();
      EXPECT_NE(set->current.name, set->next.name);
    }
  });
  for (int i = 1; i <= 1000; ++i) EXPECT_TRUE(keys->rotate(Instant{} + i * kPeriod));
  stop = true;
  reader.join();
}

class TicketTest : public testing::TestWithParam<int> {
 protected:
  // One proxy thread's side of a service.
  struct Side {
    std::unique_ptr<Library> library = make_library(Crypto::kIpsecMb);
    std::shared_ptr<ServerContext> context;
    Side(const std::shared_ptr<TicketKeys>& keys, const char* service)
        : context(make_context(*library, {.name = service, .ticket_keys = keys})) {}
  };
  struct Visit {
    bool connected, resumed;
    std::size_t tickets;
    SavedSession ticket;
  };
  Visit visit(Side& side, SSL_SESSION* ticket = nullptr) {
    Pair pair(*side.library, *side.context, {.version = GetParam(), .sni = "www.example.com", .resume = ticket});
    EXPECT_TRUE(pair.pump());
    pair.client.send("GET");
    EXPECT_TRUE(pair.pump());
    EXPECT_EQ(pair.read_all(), "GET");
    EXPECT_EQ(pair.client.resumed(), pair.session->resumed());
    EXPECT_EQ(pair.session->sni(), "www.example.com");
    return {pair.client.connected(), pair.client.resumed(), pair.client.tickets(), pair.client.session()};
  }

  static std::string ticket_of(const Visit& visit) {
    const unsigned char* ticket = nullptr;
    std::size_t bytes = 0;
    SSL_SESSION_get0_ticket(visit.ticket.get(), &ticket, &bytes);
    return {reinterpret_cast<const char*>(ticket), bytes};
  }

  std::shared_ptr<TicketKeys> keys_ = make_keys();
};

INSTANTIATE_TEST_SUITE_P(Tls, TicketTest, testing::Values(TLS1_2_VERSION, TLS1_3_VERSION),
                         [](const auto& row) { return row.param == TLS1_2_VERSION ? "tls12" : "tls13"; });

TEST_P(TicketTest, ResumesOnAnotherThreadsLibrary) {
  Side first(keys_, "site"), second(keys_, "site");
  const Visit before = visit(first);
  ASSERT_TRUE(before.connected);
  EXPECT_FALSE(before.resumed);
  EXPECT_EQ(before.tickets, 1u);
  ASSERT_NE(before.ticket, nullptr);
  const Visit after = visit(second, before.ticket.get());
  EXPECT_TRUE(after.resumed);
  EXPECT_EQ(second.library->stats().resumed, 1u);
  // RFC 8446 appendix C.4: TLS 1.3 gives a new ticket with each resumption; TLS 1.2 keeps the one it has.
  EXPECT_EQ(after.tickets, GetParam() == TLS1_3_VERSION ? 1u : 0u);
}

TEST_P(TicketTest, ResumesForOnePeriodAfterTheKeysMovedOn) {
  Side side(keys_, "site");
  const Visit before = visit(side);
  ASSERT_TRUE(keys_->rotate(Instant{} + kPeriod));
  const Visit after = visit(side, before.ticket.get());
  EXPECT_TRUE(after.resumed);
  EXPECT_NE(ticket_of(after), ticket_of(before)) << "made with the current key now";
  ASSERT_TRUE(keys_->rotate(Instant{} + 2 * kPeriod));
  EXPECT_FALSE(visit(side, before.ticket.get()).resumed) << "the old key is gone: a full handshake";
  EXPECT_TRUE(visit(side, after.ticket.get()).resumed);
}

TEST_P(TicketTest, AnotherServiceOrOtherKeysMeanAFullHandshake) {
  Side side(keys_, "site"), other_service(keys_, "other"), other_keys(make_keys(), "site");
  const Visit before = visit(side);
  const Visit elsewhere = visit(other_service, before.ticket.get());
  EXPECT_TRUE(elsewhere.connected);
  EXPECT_FALSE(elsewhere.resumed);
  const Visit unknown = visit(other_keys, before.ticket.get());
  EXPECT_TRUE(unknown.connected);
  EXPECT_FALSE(unknown.resumed);
}

TEST_P(TicketTest, WithoutKeysThereAreNoTickets) {
  Side side(nullptr, "site");
  const Visit only = visit(side);
  EXPECT_TRUE(only.connected);
  if (only.ticket == nullptr) return;  // TLS 1.3: there is nothing to come back with
  EXPECT_EQ(ticket_of(only), "");
  EXPECT_FALSE(visit(side, only.ticket.get()).resumed);
}

}  // namespace
}  // namespace sluice::tls::test
