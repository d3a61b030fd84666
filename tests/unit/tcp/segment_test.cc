#include "segment.h"

#include <vector>

#include <gtest/gtest.h>

#include "sluice/base/random.h"

namespace sluice::tcp {
namespace {

using Bytes = std::vector<std::uint8_t>;

const net::Endpoint kA4{*net::IpAddress::parse("192.0.2.1"), 80}, kB4{*net::IpAddress::parse("198.51.100.7"), 40000};
const net::Endpoint kA6{*net::IpAddress::parse("2001:db8::1"), 80}, kB6{*net::IpAddress::parse("2001:db8:1::7"), 40000};

HeaderFields flags_only(std::uint8_t flags) {
  HeaderFields fields;
  fields.seq = 5;
  fields.flags = flags;
  return fields;
}

Bytes build(const FourTuple& tuple, const HeaderFields& fields, std::size_t payload, bool tx_checksum = false) {
  const std::size_t headers = ip_header_len(tuple) + 20 + options_len(fields.options);
  Bytes packet(headers + payload);
  for (std::size_t i = 0; i < payload; ++i) packet[headers + i] = static_cast<std::uint8_t>(i);
  build_segment(packet, tuple, fields, payload, tx_checksum);
  return packet;
}

struct OptionsCase {
  const char* name;
  SegmentOptions options;
  Bytes want;
};

const OptionsCase kOptionsCases[] = {
    {"none", {}, {}},
    {"syn_of_linux",
     {.mss = 1460,
      .window_scale = 7,
      .has_window_scale = true,
      .has_timestamp = true,
      .sack_permitted = true,
      .ts_value = 0x01020304,
      .ts_echo = 0},
     {2, 4, 0x05, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7}},
    {"syn_without_sack",
     {.mss = 1460, .window_scale = 2, .has_window_scale = true, .has_timestamp = true, .ts_value = 1, .ts_echo = 2},
     {2, 4, 0x05, 0xb4, 1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 3, 3, 2}},
    {"syn_with_sack_alone", {.mss = 536, .sack_permitted = true}, {2, 4, 0x02, 0x18, 1, 1, 4, 2}},
    {"syn_with_mss_alone", {.mss = 1220}, {2, 4, 0x04, 0xc4}},
    {"timestamps",
     {.has_timestamp = true, .ts_value = 0x0a0b0c0d, .ts_echo = 0x01000000},
     {1, 1, 8, 10, 0x0a, 0x0b, 0x0c, 0x0d, 1, 0, 0, 0}},
    {"sack_beside_timestamps",
     {.has_timestamp = true, .sack_count = 1, .ts_value = 1, .ts_echo = 2, .sack = {{{5, 0xfffffff0}}}},
     {1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1, 5, 10, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xf0}},
    {"sack_alone", {.sack_count = 2, .sack = {{{1, 2}, {3, 4}}}}, {1, 1, 5, 18, 0, 0, 0, 1, 0, 0,
                                                                   0, 2, 0, 0,  0, 3, 0, 0, 0, 4}},
};

class BuildOptions : public ::testing::TestWithParam<OptionsCase> {};

TEST_P(BuildOptions, StandInTheOrderOfLinux) {
  const OptionsCase& row = GetParam();
  HeaderFields fields;
  fields.flags = row.options.mss != 0 ? kTcpSyn : kTcpAck;
  fields.options = row.options;
  for (const FourTuple& tuple : {FourTuple{kA4, kB4}, FourTuple{kA6, kB6}}) {
    const Bytes packet = build(tuple, fields, 5);
    const std::size_t at = ip_header_len(tuple) + 20;
    ASSERT_EQ(packet.size(), at + row.want.size() + 5);
    EXPECT_EQ(Bytes(packet.begin() + static_cast<std::ptrdiff_t>(at), packet.end() - 5), row.want);
    Segment back;
    ASSERT_EQ(parse_segment(packet, {}, back), ParseResult::kOk);
    EXPECT_EQ(back.options.mss, row.options.mss);
    EXPECT_EQ(back.options.has_timestamp, row.options.has_timestamp);
    EXPECT_EQ(back.options.ts_value, row.options.ts_value);
    EXPECT_EQ(back.options.ts_echo, row.options.ts_echo);
    EXPECT_EQ(back.options.sack_permitted, row.options.sack_permitted);
    EXPECT_EQ(back.options.has_window_scale, row.options.has_window_scale);
    EXPECT_EQ(back.options.window_scale, row.options.window_scale);
    EXPECT_EQ(back.options.sack_count, row.options.sack_count);
    EXPECT_EQ(back.options.sack, row.options.sack);
    EXPECT_EQ(back.payload.size(), 5u);
    EXPECT_EQ(back.tuple, (FourTuple{tuple.remote, tuple.local}));
  }
}
INSTANTIATE_TEST_SUITE_P(Tcp, BuildOptions, ::testing::ValuesIn(kOptionsCases),
                         [](const auto& param_info) { return param_info.param.name; });

struct ParseOptionsCase {
  const char* name;
  Bytes options;  // a multiple of four
  std::uint16_t mss;
  int window_scale;  // -1: none
  bool timestamp;
  unsigned sack_blocks = 0;
};

const ParseOptionsCase kParseOptionsCases[] = {
    {"unknown_option_is_skipped", {0xfe, 4, 9, 9, 2, 4, 0x05, 0xb4}, 1460, -1, false},
    {"end_ends", {0, 2, 4, 5, 2, 4, 0x05, 0xb4}, 0, -1, false},
    {"length_of_zero_ends", {2, 4, 0x05, 0xb4, 3, 0, 7, 0}, 1460, -1, false},
    {"length_of_one_ends", {2, 4, 0x05, 0xb4, 3, 1, 7, 0}, 1460, -1, false},
    {"length_beyond_the_header_ends", {2, 4, 0x05, 0xb4, 8, 10, 1, 2}, 1460, -1, false},
    {"kind_without_length", {2, 4, 0x05, 0xb4, 1, 1, 1, 8}, 1460, -1, false},
    {"mss_of_wrong_length_is_ignored", {2, 3, 5, 1, 3, 3, 7, 0}, 0, 7, false},
    {"scale_above_14_is_14", {1, 3, 3, 200}, 0, 14, false},
    {"timestamps_in_another_layout", {8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1}, 0, -1, true},
    {"timestamps_of_wrong_length", {8, 9, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1}, 0, -1, false},
    {"sack", {1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2}, 0, -1, false, 1},
    {"sack_of_wrong_length_is_ignored", {1, 5, 11, 0, 0, 0, 1, 0, 0, 0, 2, 0}, 0, -1, false},
    {"sack_without_blocks", {1, 1, 5, 2}, 0, -1, false},
};

class ParseOptions : public ::testing::TestWithParam<ParseOptionsCase> {};

TEST_P(ParseOptions, TakesWhatIsWellFormed) {
  const ParseOptionsCase& row = GetParam();
  // Built without options, then the options put in; the checksum is not looked at.
  Bytes packet = build({kA4, kB4}, flags_only(kTcpSyn), 0);
  packet.insert(packet.end(), row.options.begin(), row.options.end());
  packet[3] = static_cast<std::uint8_t>(packet.size());
  packet[32] = static_cast<std::uint8_t>((20 + row.options.size()) / 4 << 4);
  Segment s;
  ASSERT_EQ(parse_segment(packet, {.rx_checksum_good = true}, s), ParseResult::kOk);
  EXPECT_EQ(s.options.mss, row.mss);
  EXPECT_EQ(s.options.has_window_scale ? s.options.window_scale : -1, row.window_scale);
  EXPECT_EQ(s.options.has_timestamp, row.timestamp);
  EXPECT_EQ(s.options.sack_count, row.sack_blocks);
  EXPECT_TRUE(s.payload.empty());
}
INSTANTIATE_TEST_SUITE_P(Tcp, ParseOptions, ::testing::ValuesIn(kParseOptionsCases),
                         [](const auto& param_info) { return param_info.param.name; });

struct DamageCase {
  const char* name;
  bool v6;
  void (*damage)(Bytes& packet);
  ParseResult want;
  bool checked = true;  // the NIC has checked the sums
};

const DamageCase kDamageCases[] = {
    {"intact_v4", false, [](Bytes&) {}, ParseResult::kOk, false},
    {"intact_v6", true, [](Bytes&) {}, ParseResult::kOk, false},
    {"padding_after_the_packet", false, [](Bytes& p) { p.resize(p.size() + 6); }, ParseResult::kOk, false},
    {"empty", false, [](Bytes& p) { p.clear(); }, ParseResult::kBadSegment},
    {"version_5", false, [](Bytes& p) { p[0] = 0x55; }, ParseResult::kBadSegment},
    {"header_length_of_16", false, [](Bytes& p) { p[0] = 0x44; }, ParseResult::kBadSegment},
    {"total_beyond_the_packet", false, [](Bytes& p) { p[3] = static_cast<std::uint8_t>(p[3] + 1); },
     ParseResult::kBadSegment},
    {"total_below_the_headers", false, [](Bytes& p) { p[3] = 39; }, ParseResult::kBadSegment},
    {"first_fragment", false, [](Bytes& p) { p[6] = 0x20; }, ParseResult::kBadSegment},
    {"later_fragment", false, [](Bytes& p) { p[7] = 1; }, ParseResult::kBadSegment},
    {"udp", false, [](Bytes& p) { p[9] = 17; }, ParseResult::kBadSegment},
    {"data_offset_of_4", false, [](Bytes& p) { p[32] = 0x40; }, ParseResult::kBadSegment},
    {"data_offset_beyond_the_segment", false, [](Bytes& p) { p[32] = 0xf0; }, ParseResult::kBadSegment},
    {"broadcast_source", false, [](Bytes& p) { p[12] = p[13] = p[14] = p[15] = 0xff; }, ParseResult::kBadSegment},
    {"multicast_destination", false, [](Bytes& p) { p[16] = 224; }, ParseResult::kBadSegment},
    {"multicast_source_v6", true, [](Bytes& p) { p[8] = 0xff; }, ParseResult::kBadSegment},
    {"short_v6", true, [](Bytes& p) { p.resize(39); }, ParseResult::kBadSegment},
    {"payload_length_beyond_the_packet_v6", true, [](Bytes& p) { p[5] = 200; }, ParseResult::kBadSegment},
    {"fragment_v6", true, [](Bytes& p) { p[6] = 44; }, ParseResult::kBadSegment},
    {"damaged_payload", false, [](Bytes& p) { p.back() ^= 1; }, ParseResult::kBadChecksum, false},
    {"damaged_payload_v6", true, [](Bytes& p) { p.back() ^= 1; }, ParseResult::kBadChecksum, false},
    {"damaged_header", false, [](Bytes& p) { p[24] ^= 4; }, ParseResult::kBadChecksum, false},
    {"damaged_ip_header", false, [](Bytes& p) { p[8] ^= 4; }, ParseResult::kBadSegment, false},
    {"damaged_but_vouched_for", false, [](Bytes& p) { p.back() ^= 1; }, ParseResult::kOk, true},
};

class ParseSegment : public ::testing::TestWithParam<DamageCase> {};

TEST_P(ParseSegment, JudgesThePacket) {
  const DamageCase& row = GetParam();
  Bytes packet = build(row.v6 ? FourTuple{kA6, kB6} : FourTuple{kA4, kB4}, flags_only(kTcpAck), 10);
  row.damage(packet);
  Segment s;
  EXPECT_EQ(parse_segment(packet, {.rx_checksum_good = row.checked}, s), row.want);
  if (row.want == ParseResult::kOk) {
    EXPECT_EQ(s.payload.size(), 10u);
  }
}
INSTANTIATE_TEST_SUITE_P(Tcp, ParseSegment, ::testing::ValuesIn(kDamageCases),
                         [](const auto& param_info) { return param_info.param.name; });

TEST(ParseSegmentV6, SkipsExtensionHeaders) {
  Bytes packet = build({kA6, kB6}, flags_only(kTcpAck), 10);
  const Bytes extension{6, 0, 1, 4, 0, 0, 0, 0};  // destination options, padding only
  packet.insert(packet.begin() + 40, extension.begin(), extension.end());
  packet[5] = static_cast<std::uint8_t>(packet[5] + 8);
  packet[6] = 60;
  Segment s;
  EXPECT_EQ(parse_segment(packet, {}, s), ParseResult::kOk);
  EXPECT_EQ(s.payload.size(), 10u);
}

// With tx_checksum the field holds the folded sum of the pseudo header: adding the rest gives the whole.
TEST(BuildSegment, LeavesTheChecksumToTheDevice) {
  for (const FourTuple& tuple : {FourTuple{kA4, kB4}, FourTuple{kA6, kB6}}) {
    const std::size_t ip = ip_header_len(tuple);
    Bytes offloaded = build(tuple, flags_only(kTcpAck), 11, true);
    std::uint32_t sum = 0;
    for (std::size_t i = ip; i < offloaded.size(); ++i) {
      sum += static_cast<std::uint32_t>(offloaded[i]) << ((i - ip) % 2 == 0 ? 8 : 0);
    }
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
    offloaded[ip + 16] = static_cast<std::uint8_t>(~sum >> 8);
    offloaded[ip + 17] = static_cast<std::uint8_t>(~sum);
    EXPECT_EQ(offloaded, build(tuple, flags_only(kTcpAck), 11, false));
  }
}

TEST(ParseQuoted, FindsTheConnectionThatAnIcmpErrorMeans) {
  for (const FourTuple& tuple : {FourTuple{kA4, kB4}, FourTuple{kA6, kB6}}) {
    HeaderFields fields = flags_only(kTcpSyn);
    fields.seq = 0xdeadbeef;
    Bytes packet = build(tuple, fields, 0);
    packet.resize(ip_header_len(tuple) + 8);
    const auto found = parse_quoted(packet);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->tuple, tuple);
    EXPECT_EQ(found->seq, 0xdeadbeefu);
    EXPECT_EQ(found->packet_len, ip_header_len(tuple) + 20);
    for (std::size_t len = 0; len < packet.size(); ++len) EXPECT_FALSE(parse_quoted(std::span(packet).first(len)));
  }
}

// Whatever bytes arrive, parsing ends, reads only them (AddressSanitizer watches), and keeps the payload inside.
TEST(ParseSegment, SurvivesRandomBytes) {
  Random random(1);
  for (int round = 0; round < 20'000; ++round) {
    HeaderFields fields = flags_only(kTcpAck);
    fields.options.has_timestamp = true;
    Bytes packet = build(round % 2 == 0 ? FourTuple{kA4, kB4} : FourTuple{kA6, kB6}, fields, random.below(20));
    const std::uint32_t changes = 1 + random.below(4);
    for (std::uint32_t i = 0; i < changes; ++i) {
      packet[random.below(static_cast<std::uint32_t>(packet.size()))] = static_cast<std::uint8_t>(random.next());
    }
    packet.resize(random.below(static_cast<std::uint32_t>(packet.size()) + 1));
    const Bytes exact(packet);
    Segment s;
    if (parse_segment(exact, {.rx_checksum_good = true}, s) == ParseResult::kOk && !s.payload.empty()) {
      EXPECT_GE(s.payload.data(), exact.data());
      EXPECT_LE(s.payload.data() + s.payload.size(), exact.data() + exact.size());
    }
  }
}

}  // namespace
}  // namespace sluice::tcp
