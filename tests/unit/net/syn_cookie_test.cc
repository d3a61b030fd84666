// SYN cookies: what comes back is known again for a while, and nothing else is.
#include "sluice/net/syn_cookie.h"

#include <set>

#include <gtest/gtest.h>

namespace sluice::net {
namespace {

constexpr SipKey kSecret{0x0706050403020100, 0x0f0e0d0c0b0a0908};

CookieTuple tuple4() { return {*IpAddress::parse("192.0.2.7"), *IpAddress::parse("203.0.113.10"), 40000, 80, 1000}; }
CookieTuple tuple6() {
  return {*IpAddress::parse("2001:db8:99::7"), *IpAddress::parse("2001:db8:5::10"), 40000, 80, 1000};
}
constexpr Ms at(std::uint32_t ms) { return static_cast<Ms>(ms); }

TEST(SynCookies, AreKnownAgainWithTheSegmentSizeRoundedDown) {
  struct Row {
    std::uint16_t said, kept;
  };
  const Row rows[] = {{0, 536},     {1, 536},     {536, 536},   {1219, 536},  {1220, 1220}, {1300, 1220},
                      {1339, 1220}, {1380, 1380}, {1439, 1420}, {1440, 1440}, {1460, 1460}, {1500, 1460},
                      {8939, 1460}, {8940, 8940}, {9000, 8940}, {65535, 8940}};
  for (const CookieTuple& tuple : {tuple4(), tuple6()}) {
    SynCookies cookies(kSecret);
    for (const Row& row : rows) {
      EXPECT_EQ(cookies.check(tuple, cookies.make(tuple, row.said, at(5000)), at(6000)), row.kept) << row.said;
    }
  }
}

TEST(SynCookies, AreGoodInTheirEpochAndTheNext) {
  constexpr std::uint32_t kEpoch = SynCookies::kEpochMs;
  struct Row {
    const char* name;
    std::uint32_t made, checked;
    bool good;
  };
  const Row rows[] = {
      {"at_once", 10, 10, true},
      {"a_whole_epoch_later", 10, 10 + kEpoch, true},
      {"at_the_end_of_the_next", 10, 2 * kEpoch - 1, true},
      {"after_it", 10, 2 * kEpoch, false},
      {"over_the_wrap_of_the_clock", 0u - 5, 5, true},
      {"an_epoch_after_the_wrap", 0u - 5, kEpoch + 5, false},
      {"after_a_day_of_quiet", 10, 86'400'000, false},
  };
  for (const Row& row : rows) {
    SynCookies cookies(kSecret);
    const std::uint32_t cookie = cookies.make(tuple4(), 1460, at(row.made));
    EXPECT_EQ(cookies.check(tuple4(), cookie, at(row.checked)).has_value(), row.good) << row.name;
  }
}

// The clock of 32 bits comes to the same place every 49 days; the keys do not.
TEST(SynCookies, TheKeyDoesNotComeBackWithTheClock) {
  SynCookies cookies(kSecret);
  const std::uint32_t cookie = cookies.make(tuple4(), 1460, at(10));
  (void)cookies.make(tuple4(), 1460, at(0x80000000u));
  EXPECT_FALSE(cookies.check(tuple4(), cookie, at(10)));
}

TEST(SynCookies, AreOfOneTupleAndOneSecretAlone) {
  SynCookies cookies(kSecret);
  for (const CookieTuple& tuple : {tuple4(), tuple6()}) {
    const std::uint32_t cookie = cookies.make(tuple, 1460, at(10));
    for (std::uint32_t bit = 0; bit < 32; ++bit)
      EXPECT_FALSE(cookies.check(tuple, cookie ^ (1u << bit), at(10))) << bit;
    CookieTuple others[] = {tuple, tuple, tuple, tuple, tuple};
    others[0].client_port ^= 1;
    others[1].service_port ^= 1;
    others[2].client_sequence ^= 0x10000;
    std::swap(others[3].client, others[3].service);
    others[4].client = *IpAddress::parse(tuple.client.is_v4() ? "192.0.2.8" : "2001:db8:99::8");
    for (const CookieTuple& other : others) EXPECT_FALSE(cookies.check(other, cookie, at(10)));
    SynCookies of_another({1, 2});
    EXPECT_FALSE(of_another.check(tuple, cookie, at(10)));
  }
}

TEST(SynCookies, GuessesFail) {
  SynCookies cookies(kSecret);
  std::size_t taken = 0;
  for (std::uint32_t guess = 0; guess < 2'000'000; ++guess)
    taken += cookies.check(tuple4(), guess * 2147, at(10)).has_value();
  EXPECT_LE(taken, 1u);  // 2 in 2^29 each
}

// The segment size is masked: no bit of the number says it to who does not know the key.
TEST(SynCookies, LookRandom) {
  SynCookies cookies(kSecret);
  std::set<std::uint32_t> low;
  CookieTuple tuple = tuple4();
  for (; tuple.client_port < 40100; ++tuple.client_port) low.insert(cookies.make(tuple, 1460, at(10)) & 7);
  EXPECT_EQ(low.size(), 8u);
}

TEST(SynCookies, OptionsTravelInTheTimestamp) {
  for (std::uint8_t scale = 0; scale <= kNoWindowScale; ++scale) {
    for (const bool sack : {false, true}) {
      const TcpOptions client{.mss = 1460, .window_scale = scale, .sack_permitted = sack, .timestamps = true};
      for (const std::uint32_t clock : {0u, 63u, 64u, 1000u, 0xffffffffu}) {
        const std::uint32_t timestamp = SynCookies::timestamp_for(clock, client);
        EXPECT_LT(clock - timestamp, 64u);  // behind the clock, by less than 64
        const TcpOptions kept = SynCookies::options_of(timestamp);
        EXPECT_EQ(kept.window_scale, scale);
        EXPECT_EQ(kept.sack_permitted, sack);
        EXPECT_TRUE(kept.timestamps);
      }
    }
  }
}

}  // namespace
}  // namespace sluice::net
