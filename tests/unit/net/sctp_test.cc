#include "sluice/net/sctp.h"

#include <gtest/gtest.h>

#include "packets.h"
#include "sluice/net/build.h"
#include "sluice/net/rewrite.h"

namespace sluice::net {
namespace {

using test::Bytes;
using test::from_hex;
using test::ip4;
using test::ip6;
using test::sctp_chunk;

Bytes joined(std::initializer_list<Bytes> parts) {
  Bytes out;
  for (const Bytes& part : parts) out.insert(out.end(), part.begin(), part.end());
  return out;
}

constexpr std::uint8_t kData = 0, kInit = 1, kInitAck = 2, kSack = 3, kAbort = 6, kShutdown = 7, kShutdownAck = 8,
                       kCookieEcho = 10, kShutdownComplete = 14;
const Bytes kInitValue = from_hex("11223344 00010000 000a 000a 00000001");

TEST(Sctp, SaysItsChunksInFlags) {
  const Bytes many = [] {
    Bytes out;
    for (std::size_t i = 0; i < kMaxSctpChunks; ++i) {
      const Bytes sack = sctp_chunk(kSack, 0, Bytes(12, 0));
      out.insert(out.end(), sack.begin(), sack.end());
    }
    return out;
  }();
  const struct {
    const char* name;
    Bytes chunks;
    std::optional<std::uint8_t> want;
  } rows[] = {
      {"init", sctp_chunk(kInit, 0, kInitValue), kTcpSyn},
      {"init_ack", sctp_chunk(kInitAck, 0, kInitValue), kTcpSyn | kTcpAck},
      {"cookie_echo_and_data", joined({sctp_chunk(kCookieEcho, 0, {1, 2, 3}), sctp_chunk(kData, 3, Bytes(13, 1))}),
       kTcpAck},
      {"data_without_its_padding", from_hex("00 03 0005 01"), kTcpAck},
      {"sack_and_shutdown", joined({sctp_chunk(kSack, 0, Bytes(12, 0)), sctp_chunk(kShutdown, 0, Bytes(4, 0))}),
       kTcpFin | kTcpAck},
      {"shutdown_ack", sctp_chunk(kShutdownAck), kTcpFin | kTcpAck},
      {"shutdown_complete", sctp_chunk(kShutdownComplete), kTcpRst},
      {"abort_behind_data", joined({sctp_chunk(kData, 3, Bytes(13, 1)), sctp_chunk(kAbort)}), kTcpRst},
      {"an_unknown_chunk", sctp_chunk(0xc1), kTcpAck},
      {"what_is_behind_the_bound_is_not_read", joined({many, from_hex("06 00 0001")}), kTcpAck},
      {"no_chunk", {}, std::nullopt},
      {"three_bytes", from_hex("00 03 00"), std::nullopt},
      {"chunk_shorter_than_its_header", from_hex("00 03 0003"), std::nullopt},
      {"chunk_beyond_the_packet", from_hex("00 03 0009 01020304"), std::nullopt},
      {"second_chunk_beyond_the_packet", joined({sctp_chunk(kSack), from_hex("00 03 0005")}), std::nullopt},
      {"init_beside_data", joined({sctp_chunk(kInit, 0, kInitValue), sctp_chunk(kData)}), std::nullopt},
      {"data_beside_init", joined({sctp_chunk(kData), sctp_chunk(kInit, 0, kInitValue)}), std::nullopt},
  };
  for (const auto& row : rows) EXPECT_EQ(sctp_flags(row.chunks), row.want) << row.name;
}

TEST(Sctp, IsParsed) {
  const auto packet = ip4("192.0.2.7", "203.0.113.10");
  const auto row = [&](const Bytes& chunks) { return test::PacketBuilder(packet).sctp(40000, 36412, 1, chunks); };
  const Parsed init = parse(row(sctp_chunk(kInit, 0, kInitValue)).frame());
  EXPECT_TRUE(init.ok());
  EXPECT_EQ(init.proto, IpProto::kSctp);
  EXPECT_EQ(init.src_port, 40000);
  EXPECT_EQ(init.dst_port, 36412);
  EXPECT_EQ(init.tcp_flags, kTcpSyn);
  EXPECT_EQ(init.payload_offset, init.l4_offset + 12);
  EXPECT_EQ(parse(row({}).frame()).error, ParseError::kSctpChunk);
  EXPECT_EQ(parse(test::PacketBuilder(packet).payload(IpProto::kSctp, Bytes(11, 0)).frame()).error,
            ParseError::kL4Truncated);
  const Parsed six =
      parse(ip6("2001:db8::7", "2001:db8:5::10").sctp(1, 2, 3, sctp_chunk(kData, 3, Bytes(13, 1))).frame());
  EXPECT_TRUE(six.ok());
  EXPECT_EQ(six.tcp_flags, kTcpAck);
  // The first fragment of a packet holds its header and perhaps half a chunk.
  const Parsed first = parse(row(from_hex("00 03 0100 00000001")).fragment(0, true).set_l4(2, 0).frame());
  EXPECT_EQ(first.error, ParseError::kFragment);  // 20 bytes, not a multiple of 8
  const Parsed half = parse(row(from_hex("00 03 0100 00000001 00000002")).fragment(0, true).frame());
  EXPECT_TRUE(half.ok());
  EXPECT_EQ(half.dst_port, 36412);
}

TEST(Sctp, ChecksumIsJudged) {
  Bytes frame = ip4("192.0.2.7", "203.0.113.10").sctp(1, 2, 3, sctp_chunk(kData, 3, Bytes(20, 9))).frame();
  EXPECT_TRUE(l4_checksum_ok(frame, parse(frame)));
  frame.back() ^= 1;
  EXPECT_FALSE(l4_checksum_ok(frame, parse(frame)));
}

// Every length that a packet may have: the checksum is that of a packet made with the new ports.
TEST(Sctp, RewritesPortsAndChecksum) {
  for (std::size_t size = 1; size < 1450; size += 7) {
    const Bytes chunks = sctp_chunk(kData, 3, Bytes(size, static_cast<std::uint8_t>(size)));
    Bytes frame = ip4("192.0.2.7", "203.0.113.10").sctp(40000, 36412, 0xdeadbeef, chunks).frame();
    rewrite_flow(frame, parse(frame), *IpAddress::parse("198.51.100.2"), 30001, *IpAddress::parse("198.51.100.11"), 99);
    EXPECT_EQ(frame, ip4("198.51.100.2", "198.51.100.11").ttl(63).sctp(30001, 99, 0xdeadbeef, chunks).frame()) << size;
  }
  const Bytes chunks = sctp_chunk(kData, 3, Bytes(100, 1));
  Bytes frame = ip6("2001:db8:9::7", "2001:db8:5::10").sctp(1, 2, 3, chunks).frame();
  rewrite_flow(frame, parse(frame), *IpAddress::parse("2001:db8:1::2"), 4, *IpAddress::parse("2001:db8:1::11"), 5);
  EXPECT_EQ(frame, ip6("2001:db8:1::2", "2001:db8:1::11").ttl(63).sctp(4, 5, 3, chunks).frame());
}

TEST(Sctp, AWrongChecksumStaysWrong) {
  const Bytes chunks = sctp_chunk(kData, 3, Bytes(100, 1));
  Bytes frame = ip4("192.0.2.7", "203.0.113.10").sctp(40000, 36412, 7, chunks).frame();
  const Parsed parsed = parse(frame);
  frame[parsed.l4_offset + 9u] ^= 0x40;
  rewrite_flow(frame, parsed, *IpAddress::parse("198.51.100.2"), 30001, *IpAddress::parse("198.51.100.11"), 99);
  frame[parsed.l4_offset + 9u] ^= 0x40;
  EXPECT_EQ(frame, ip4("198.51.100.2", "198.51.100.11").ttl(63).sctp(30001, 99, 7, chunks).frame());
}

TEST(Sctp, AbortRefusesWhatHasNoAssociation) {
  const auto client = [](Bytes chunks) {
    return ip4("192.0.2.7", "203.0.113.10").sctp(40000, 36412, 0xaabbccdd, chunks);
  };
  const auto answer = [](const test::PacketBuilder& packet) {
    const Bytes frame = packet.frame();
    Bytes out(kMaxBuiltBytes);
    out.resize(build_sctp_abort(out, frame, parse(frame)));
    return out;
  };
  const auto abort = [](std::uint32_t tag, std::uint8_t flags) {
    return ip4("203.0.113.10", "192.0.2.7")
        .link({{2, 0, 0, 0, 0, 2}}, {{2, 0, 0, 0, 0, 1}})
        .set_ip(6, 0x40)
        .sctp(36412, 40000, tag, sctp_chunk(kAbort, flags))
        .frame();
  };
  EXPECT_EQ(answer(client(sctp_chunk(kInit, 0, kInitValue))), abort(0x11223344, 0));
  EXPECT_EQ(answer(client(sctp_chunk(kData, 3, Bytes(13, 1)))), abort(0xaabbccdd, 1));
  EXPECT_EQ(answer(client(sctp_chunk(kShutdownAck))), abort(0xaabbccdd, 1));
  EXPECT_TRUE(answer(client(sctp_chunk(kAbort))).empty());
  EXPECT_TRUE(answer(client(sctp_chunk(kShutdownComplete))).empty());
  EXPECT_TRUE(answer(client(sctp_chunk(kInit))).empty());  // without a tag
  EXPECT_TRUE(answer(ip4("192.0.2.7", "203.0.113.10").udp(1, 2)).empty());
}

TEST(Sctp, AbortEndsAnAssociation) {
  const auto written = [](const char* src, const char* dst, bool reflected, std::size_t room) {
    Bytes out(room);
    const SctpAbort abort{.src = {*IpAddress::parse(src), 80},
                          .dst = {*IpAddress::parse(dst), 40000},
                          .tag = 0xaabbccdd,
                          .reflected = reflected};
    const std::size_t len = write_sctp_abort(out, 14, abort);
    return len == 0 ? Bytes{} : Bytes(out.begin() + 14, out.begin() + static_cast<std::ptrdiff_t>(len));
  };
  const auto want = [](test::PacketBuilder packet, std::uint8_t flags) {
    return packet.sctp(80, 40000, 0xaabbccdd, sctp_chunk(kAbort, flags)).ip_packet();
  };
  EXPECT_EQ(written("203.0.113.10", "192.0.2.7", true, 50),
            want(ip4("203.0.113.10", "192.0.2.7").set_ip(6, 0x40), 1));  // DF
  EXPECT_EQ(written("2001:db8:5::10", "2001:db8:9::7", false, 70), want(ip6("2001:db8:5::10", "2001:db8:9::7"), 0));
  EXPECT_TRUE(written("203.0.113.10", "192.0.2.7", true, 49).empty());
}

}  // namespace
}  // namespace sluice::net
