#include "sluice/lb/flow_limits.h"

#include <string>

#include <gtest/gtest.h>

#include "sluice/net/wire.h"

namespace sluice::lb {
namespace {

using enum FlowState;

// A letter is a packet: upper case from the client, lower case from the backend. S SYN, Z SYN and ACK, A ACK, F FIN and
// ACK, R RST.
std::uint8_t flags_of(char packet) {
  switch (packet | 0x20) {
    case 's':
      return net::kTcpSyn;
    case 'z':
      return net::kTcpSyn | net::kTcpAck;
    case 'f':
      return net::kTcpFin | net::kTcpAck;
    case 'r':
      return net::kTcpRst;
    default:
      return net::kTcpAck;
  }
}

struct PathCase {
  const char* name;
  const char* packets;
  FlowState end;
};
const PathCase kPathCases[] = {
    {"syn_alone", "S", kSynSent},
    {"syn_again", "SSS", kSynSent},
    {"syn_and_stray_ack", "SA", kSynSent},
    {"answered", "Sz", kSynReceived},
    {"answered_twice", "Szz", kSynReceived},
    {"established", "SzA", kEstablished},
    {"data", "SzAAaAa", kEstablished},
    {"client_closes_first", "SzAF", kFinClient},
    {"client_closes_with_its_first_ack", "SzF", kFinClient},
    {"backend_closes_first", "SzAf", kFinBackend},
    {"backend_closes_before_the_ack", "Szf", kFinBackend},
    {"half_closed_carries_on", "SzAFaaaAa", kFinClient},
    {"fin_again", "SzAFFF", kFinClient},
    {"closed_by_both", "SzAFaf", kClosed},
    {"closed_by_both_backend_first", "SzAfAF", kClosed},
    {"last_ack_changes_nothing", "SzAFafA", kClosed},
    {"reset_after_close_changes_nothing", "SzAFafR", kClosed},
    {"refused", "Sr", kResetByBackend},
    {"reset_by_client", "SzAR", kResetByClient},
    {"reset_by_backend", "SzAar", kResetByBackend},
    {"what_crosses_a_reset_changes_nothing", "SzARaaf", kResetByClient},
    {"reset_again", "SzARR", kResetByClient},
    {"a_forged_reset_is_taken_back", "SzARA", kEstablished},
    {"a_forged_reset_of_the_backend_too", "SzAra", kEstablished},
    {"a_syn_does_not_take_it_back", "SzARS", kResetByClient},
};

TEST(NextState, FollowsTheConnection) {
  for (const PathCase& row : kPathCases) {
    FlowState state = kSynSent;
    for (const char* packet = row.packets; *packet != 0; ++packet) {
      const bool from_client = (*packet & 0x20) == 0;
      state = next_state(state, flags_of(*packet), from_client ? Direction::kToBackend : Direction::kToClient);
    }
    EXPECT_EQ(text_of(state), std::string(text_of(row.end))) << row.name;
  }
}

TEST(NextState, UdpStaysUdp) {
  EXPECT_EQ(next_state(kUdp, 0, Direction::kToClient), kUdp);
  EXPECT_EQ(next_state(kUdp, 0xff, Direction::kToBackend), kUdp);
}

struct StartCase {
  const char* name;
  FlowState state;
  char packet;
  bool want;
};
const StartCase kStartCases[] = {
    {"syn_after_close", kClosed, 'S', true},
    {"syn_after_reset", kResetByBackend, 'S', true},
    {"syn_after_own_reset", kResetByClient, 'S', true},
    {"syn_ack_after_close", kClosed, 'Z', false},
    {"ack_after_close", kClosed, 'A', false},
    {"syn_again", kSynSent, 'S', false},
    {"syn_into_established", kEstablished, 'S', false},
    {"syn_into_half_closed", kFinBackend, 'S', false},
};

TEST(StartsOver, OnlyASynOnWhatHasEnded) {
  for (const StartCase& row : kStartCases) {
    EXPECT_EQ(starts_over(row.state, flags_of(row.packet)), row.want) << row.name;
  }
}

TEST(FlowLimits, ComeFromTheConfigurationInMilliseconds) {
  using namespace std::chrono_literals;
  const FlowLimits limits = FlowLimits::from({.established = 2h, .opening = 1500us, .closing = 24h * 365, .udp = 30s});
  EXPECT_EQ(limits.established_ms, 7'200'000u);
  EXPECT_EQ(limits.opening_ms, 2u);           // rounded up
  EXPECT_EQ(limits.closing_ms, 0x7fffffffu);  // as long as 32 bits can tell
  EXPECT_EQ(limits.udp_ms, 30'000u);
  EXPECT_EQ(limits.of(kResetByClient), kResetMs);
  EXPECT_EQ(limits.of(kFinClient), limits.established_ms);
}

TEST(FlowLimits, AnEstablishedAssociationHasItsOwn) {
  const FlowLimits limits{.established_ms = 1000, .opening_ms = 100, .closing_ms = 50, .udp_ms = 300, .sctp_ms = 700};
  EXPECT_EQ(limits.of(kEstablished, false, true), 700u);
  EXPECT_EQ(limits.of(kFinBackend, false, true), 700u);
  EXPECT_EQ(limits.of(kFinClient, true, true), 50u);
  EXPECT_EQ(limits.of(kSynSent, false, true), 100u);
  EXPECT_EQ(limits.of(kClosed, false, true), 50u);
  EXPECT_EQ(limits.of(kEstablished, false, false), 1000u);
}

}  // namespace
}  // namespace sluice::lb
