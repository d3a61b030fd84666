// Sequence numbers and timestamps of a connection that was joined in the middle, and checksums that stay right.
#include "sluice/net/tcp_shift.h"

#include <gtest/gtest.h>

#include "packets.h"

namespace sluice::net {
namespace {

using test::Bytes;
using test::from_hex;

constexpr TcpShift kShift{.sequence = 0x1000'0001, .timestamp = 0xffff'0000, .to_client = 0, .to_backend = 0};

struct Row {
  const char* name;
  std::uint8_t flags;
  std::uint32_t sequence, acknowledgment;
  const char *options, *want_to_client, *want_to_backend;
};
const Row kRows[] = {
    {"bare", kTcpAck, 5, 0x1000'0006, "", "", ""},
    {"over_the_wrap", kTcpAck, 0xf000'0000, 0, "", "", ""},
    {"timestamps", kTcpAck, 5, 9, "0101080a 00020000 00030000", "0101080a 00010000 00030000",
     "0101080a 00020000 00040000"},
    {"timestamps_at_an_odd_place", kTcpAck, 5, 9, "01080a00 02000000 03000001", "01080a00 01000000 03000001",
     "01080a00 02000000 04000001"},
    {"sack_beside_timestamps", kTcpAck, 5, 9, "0101080a 00020000 00030000 0101050a 20000001 20000011",
     "0101080a 00010000 00030000 0101050a 20000001 20000011", "0101080a 00020000 00040000 0101050a 10000000 10000010"},
    {"three_sack_blocks_at_an_odd_place", kTcpAck, 5, 9,
     "01051a10 00000110 00000210 00000310 00000410 00000510 00000601 01010000",
     "01051a10 00000110 00000210 00000310 00000410 00000510 00000601 01010000",
     "01051a00 00000000 00000100 00000200 00000300 00000400 00000501 01010000"},
    {"an_option_cut_short_ends_the_list", kTcpAck, 5, 9, "080a0000 00010000", "080a0000 00010000", "080a0000 00010000"},
    {"a_reset_without_acknowledgment", kTcpRst, 5, 0, "", "", ""},
};

Bytes packet(const char* src, const char* dst, std::uint8_t flags, std::uint32_t sequence, std::uint32_t acknowledgment,
             const char* options, std::uint16_t window, std::size_t payload) {
  return test::PacketBuilder(src, dst)
      .tcp(80, 40000, flags, sequence, acknowledgment, Bytes(payload, 'x'))
      .tcp_options(from_hex(options))
      .tcp_window(window)
      .frame();
}

struct Family {
  const char *src, *dst;
};
const Family kFamilies[] = {{"192.0.2.7", "203.0.113.10"}, {"2001:db8:99::7", "2001:db8:5::10"}};

TEST(TcpShift, MovesWhatTheBackendCounts) {
  for (const Family& family : kFamilies) {
    for (const Row& row : kRows) {
      for (const std::size_t payload : {0u, 7u}) {
        Bytes got =
            packet(family.src, family.dst, row.flags, row.sequence, row.acknowledgment, row.options, 500, payload);
        shift_to_client(got, parse(got), kShift);
        EXPECT_EQ(got, packet(family.src, family.dst, row.flags, row.sequence + kShift.sequence, row.acknowledgment,
                              row.want_to_client, 500, payload))
            << row.name;
      }
    }
  }
}

TEST(TcpShift, MovesBackWhatTheClientSaysOfIt) {
  for (const Family& family : kFamilies) {
    for (const Row& row : kRows) {
      const bool acknowledges = (row.flags & kTcpAck) != 0;
      Bytes got = packet(family.src, family.dst, row.flags, row.sequence, row.acknowledgment, row.options, 500, 3);
      shift_to_backend(got, parse(got), kShift);
      EXPECT_EQ(got, packet(family.src, family.dst, row.flags, row.sequence,
                            acknowledges ? row.acknowledgment - kShift.sequence : row.acknowledgment,
                            row.want_to_backend, 500, 3))
          << row.name;
    }
  }
}

TEST(TcpShift, RescalesWindows) {
  struct WindowRow {
    std::int8_t bits;
    std::uint16_t from, to;
  };
  const WindowRow rows[] = {{0, 500, 500}, {2, 500, 2000}, {7, 0xffff, 0xffff},
                            {-3, 500, 62}, {-3, 7, 0},     {14, 1, 16384}};
  for (const WindowRow& row : rows) {
    TcpShift shift = kShift;
    shift.to_client = row.bits;
    Bytes got = packet("192.0.2.7", "203.0.113.10", kTcpAck, 5, 9, "", row.from, 3);
    shift_to_client(got, parse(got), shift);
    EXPECT_EQ(got, packet("192.0.2.7", "203.0.113.10", kTcpAck, 5 + kShift.sequence, 9, "", row.to, 3))
        << int{row.bits};
    shift = kShift;
    shift.to_backend = row.bits;
    got = packet("192.0.2.7", "203.0.113.10", kTcpAck, 5, 9, "", row.from, 3);
    shift_to_backend(got, parse(got), shift);
    EXPECT_EQ(got, packet("192.0.2.7", "203.0.113.10", kTcpAck, 5, 9 - kShift.sequence, "", row.to, 3))
        << int{row.bits};
  }
}

TEST(TcpShift, AWrongChecksumStaysWrong) {
  Bytes got = packet("192.0.2.7", "203.0.113.10", kTcpAck, 5, 9, "", 500, 3);
  got[50] ^= 1;
  shift_to_client(got, parse(got), kShift);
  EXPECT_FALSE(l4_checksum_ok(got, parse(got)));
}

TEST(TcpShift, QuotedNumbersAreTheSendersAgain) {
  for (const std::size_t quoted : {8u, 18u, 20u, 27u}) {
    const auto error = [&](std::uint32_t sequence) {
      Bytes about =
          test::ip4("203.0.113.10", "192.0.2.7").tcp(80, 40000, kTcpAck, sequence, 9, Bytes(7, 'x')).ip_packet();
      about.resize(20 + quoted);
      return test::ip4("192.0.2.99", "203.0.113.10").icmp(3, 4, 1280, about).frame();
    };
    Bytes got = error(5 + kShift.sequence);
    const Parsed parsed = parse(got);
    unshift_quoted(got, parse_quoted(got, parsed), kShift);
    Bytes want = error(5);
    want[36] = got[36];  // the ICMP checksum is the caller's to make
    want[37] = got[37];
    EXPECT_EQ(got, want) << quoted;
  }
}

TEST(TcpShift, LeavesLaterFragmentsAsTheyAre) {
  const Bytes later =
      test::ip4("192.0.2.7", "203.0.113.10").payload(IpProto::kTcp, Bytes(40, 0x55)).fragment(1480, false, 7).frame();
  Bytes got = later;
  shift_to_client(got, parse(got), kShift);
  shift_to_backend(got, parse(got), kShift);
  EXPECT_EQ(got, later);
}

}  // namespace
}  // namespace sluice::net
