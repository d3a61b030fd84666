// TCP options read and written, and whole segments without data.
#include "sluice/net/tcp_options.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "packets.h"
#include "sluice/base/random.h"
#include "sluice/net/parse.h"
#include "sluice/net/tcp_segment.h"

namespace sluice::net {
namespace {

using test::Bytes;
using test::from_hex;
using test::ip4;
using test::ip6;

struct Row {
  const char* name;
  const char* options;
  TcpOptions want;
};
const Row kRows[] = {
    {"none", "", {}},
    {"linux_syn",
     "020405b4 0402080a 00000102 00000304 01030307",
     {.mss = 1460,
      .window_scale = 7,
      .sack_permitted = true,
      .timestamps = true,
      .timestamp = 0x102,
      .timestamp_echo = 0x304}},
    {"windows_syn", "020405b4 01030308 01010402", {.mss = 1460, .window_scale = 8, .sack_permitted = true}},
    {"macos_syn",
     "020405b4 01030306 0101080a 00000001 00000000 04020000",
     {.mss = 1460, .window_scale = 6, .sack_permitted = true, .timestamps = true, .timestamp = 1, .timestamp_echo = 0}},
    {"timestamps_of_a_segment",
     "0101080a 00000001 00000002",
     {.timestamps = true, .timestamp = 1, .timestamp_echo = 2}},
    {"scale_beyond_14_is_14", "0303ff01", {.window_scale = 14}},
    {"unknown_ones_are_passed", "fd0400aa 020405b4", {.mss = 1460}},
    {"end_ends", "00000000 020405b4", {}},
    {"length_beyond_the_header", "020405b4 08ff0102", {.mss = 1460}},
    {"length_of_0", "020005b4", {}},
    {"length_of_1_in_the_last_byte", "01010102", {}},
    {"mss_of_a_wrong_length", "02030501", {}},
};
TEST(TcpOptions, AreRead) {
  for (const Row& row : kRows) {
    const Bytes frame = ip4("192.0.2.7", "203.0.113.10").tcp(1, 2).tcp_options(from_hex(row.options)).frame();
    EXPECT_EQ(parse_tcp_options(frame, 34), row.want) << row.name;
  }
}

TEST(TcpOptions, AreWrittenAndReadBack) {
  for (const std::uint16_t mss : std::initializer_list<std::uint16_t>{0, 1460}) {
    for (const std::uint8_t scale : std::initializer_list<std::uint8_t>{0, 7, kNoWindowScale}) {
      for (const bool sack : {false, true}) {
        for (const bool timestamps : {false, true}) {
          TcpOptions options{.mss = mss, .window_scale = scale, .sack_permitted = sack, .timestamps = timestamps};
          if (timestamps) {
            options.timestamp = 7;
            options.timestamp_echo = 0xfffffff0;
          }
          Bytes bytes(kMaxTcpOptionBytes);
          bytes.resize(write_tcp_options(bytes.data(), options));
          EXPECT_EQ(bytes.size() % 4, 0u);
          const Bytes frame = ip4("192.0.2.7", "203.0.113.10").tcp(1, 2).tcp_options(bytes).frame();
          EXPECT_EQ(parse_tcp_options(frame, 34), options)
              << mss << ' ' << int{scale} << ' ' << sack << ' ' << timestamps;
        }
      }
    }
  }
}

// What follows the header of `options`, and must stay: it reads as more options, or as the rest of one that was cut.
Bytes clamped(const std::string& options, std::uint16_t most, Bytes* before = nullptr) {
  Bytes frame = ip4("192.0.2.7", "203.0.113.10")
                    .tcp(40000, 80, kTcpSyn, 1, 0, from_hex("05b4ffff 020405b4"))
                    .tcp_options(from_hex(options))
                    .frame();
  if (before != nullptr) *before = frame;
  clamp_mss(frame, 34, most);
  return frame;
}

struct ClampRow {
  const char* name;
  const char* options;
  const char* want;  // nullptr: as it was
};
const ClampRow kClampRows[] = {
    {"alone", "020405b4", "020404b0"},
    {"at_an_odd_place", "01020405b4000000", "01020404b0000000"},
    {"in_the_last_four_bytes", "01010101 020405b4", "01010101 020404b0"},
    {"behind_options_to_the_edge", "0402080a 00000102 00000304 01030307 fd08aabbccdd0011 fd06aabbccdd 0101 020405b4",
     "0402080a 00000102 00000304 01030307 fd08aabbccdd0011 fd06aabbccdd 0101 020404b0"},
    {"behind_an_unknown_one", "fd0400aa 020405b4", "fd0400aa 020404b0"},
    {"each_of_several", "020405b4 02040400 020405b4", "020404b0 02040400 020404b0"},
    {"none", "", nullptr},
    {"small_enough", "020404b0", nullptr},
    {"behind_the_end", "00000000 020405b4", nullptr},
    {"kind_alone_in_the_last_byte", "01010102", nullptr},
    {"cut_behind_its_length", "01010204", nullptr},
    {"cut_amid_its_value", "01020405", nullptr},
    {"length_of_0", "020005b4", nullptr},
    {"length_of_1", "020105b4", nullptr},
    {"length_of_2", "0202ffff", nullptr},
    {"length_of_3", "02030501 020405b4", "02030501 020404b0"},  // passed over, and 01 is a NOP
    {"length_of_5", "020505b4 01000000", nullptr},
    {"length_beyond_the_header", "020905b4 01010101", nullptr},
    {"another_with_length_0", "0800aaaa 020405b4", nullptr},
    {"another_with_length_1", "0801aaaa 020405b4", nullptr},
    {"another_beyond_the_header", "08ff0102 020405b4", nullptr},
    {"another_that_ends_at_the_edge", "fd040000 fd040000", nullptr},
    {"nops_to_the_edge", "01010101 01010101", nullptr},
};
TEST(TcpOptions, TheSegmentSizeIsClampedAndWhatIsMalformedStays) {
  for (const ClampRow& row : kClampRows) {
    Bytes before;
    const Bytes after = clamped(row.options, 1200, &before);
    if (row.want == nullptr) {
      EXPECT_EQ(after, before) << row.name;
      continue;
    }
    const Bytes want = ip4("192.0.2.7", "203.0.113.10")
                           .tcp(40000, 80, kTcpSyn, 1, 0, from_hex("05b4ffff 020405b4"))
                           .tcp_options(from_hex(row.want))
                           .frame();
    EXPECT_EQ(after, want) << row.name;  // the checksum too
  }
}

// Any options: no byte but the two of a size and the checksum changes, and the checksum stays right.
TEST(TcpOptions, ClampingAnyOptionsChangesNothingElse) {
  Random random(11);
  for (int round = 0; round < 20000; ++round) {
    Bytes options(random.below(11) * 4);
    for (std::uint8_t& byte : options) {
      byte = static_cast<std::uint8_t>(random.below(3) == 0 ? random.below(256) : random.below(6));
    }
    Bytes frame = ip4("192.0.2.7", "203.0.113.10").tcp(1, 2, kTcpSyn, 1, 0, Bytes(8, 2)).tcp_options(options).frame();
    const Bytes before = frame;
    clamp_mss(frame, 34, 536);
    const Parsed parsed = parse(frame);
    ASSERT_TRUE(l4_checksum_ok(frame, parsed));
    ASSERT_LE(parse_tcp_options(frame, 34).mss, 536);
    for (std::size_t i = 0; i < frame.size(); ++i) {
      if (frame[i] == before[i] || (i >= 50 && i < 52)) continue;  // the checksum
      ASSERT_GE(i, 34 + sizeof(TcpHeader) + 2);
      ASSERT_LT(i, 34 + sizeof(TcpHeader) + options.size());
      ASSERT_EQ(frame[i], frame[i - 1] == 2 ? 24 : 2);
    }
  }
}

// Nobody sends such a header as TCP; other protocols have something else in its place.
TEST(ClampMss, KeepsWithinTheFrame) {
  for (const unsigned words : {0u, 1u, 4u, 6u, 15u}) {
    Bytes frame = ip4("192.0.2.7", "203.0.113.10").tcp(40000, 80, kTcpSyn, 1, 0, from_hex("020405b4")).frame();
    frame[34 + 12] = static_cast<std::uint8_t>(words << 4);
    if (words == 6) frame.resize(34 + sizeof(TcpHeader) + 3);
    frame.shrink_to_fit();
    const Bytes before = frame;
    clamp_mss(frame, 34, 536);
    EXPECT_EQ(frame, before) << words;
  }
}

TEST(TcpSegment, IsWhatAnotherWouldHaveBuilt) {
  const char* const kLinux = "020405b4 0402080a 00000102 00000304 01030307";
  const TcpOptions linux{.mss = 1460,
                         .window_scale = 7,
                         .sack_permitted = true,
                         .timestamps = true,
                         .timestamp = 0x102,
                         .timestamp_echo = 0x304};
  struct Case {
    const char *src, *dst, *hex;
    TcpOptions options;
  };
  const Case cases[] = {
      {"203.0.113.10", "192.0.2.7", kLinux, linux},
      {"203.0.113.10", "192.0.2.7", "", {}},
      {"203.0.113.10", "192.0.2.7", "020405b4", {.mss = 1460}},
      {"203.0.113.10",
       "192.0.2.7",
       "0101080a 00000001 00000002",
       {.timestamps = true, .timestamp = 1, .timestamp_echo = 2}},
      {"2001:db8:5::10", "2001:db8:99::7", kLinux, linux},
      {"2001:db8:5::10", "2001:db8:99::7", "", {}},
  };
  for (const Case& one : cases) {
    auto builder = test::PacketBuilder(one.src, one.dst)
                       .tcp(80, 40000, kTcpSyn | kTcpAck, 0xfffffff0, 0x12345678)
                       .tcp_options(from_hex(one.hex))
                       .tcp_window(4321);
    if (IpAddress::parse(one.src)->is_v4()) builder.set_ip(6, 0x40);  // DF
    const Bytes want = builder.frame();
    Bytes got(14 + kMaxSegmentBytes, 0xee);
    std::copy_n(want.begin(), 14, got.begin());
    const std::size_t len = write_tcp_segment(got, 14,
                                              {.src = {*IpAddress::parse(one.src), 80},
                                               .dst = {*IpAddress::parse(one.dst), 40000},
                                               .sequence = 0xfffffff0,
                                               .acknowledgment = 0x12345678,
                                               .flags = kTcpSyn | kTcpAck,
                                               .window = 4321,
                                               .options = one.options});
    EXPECT_TRUE(std::all_of(got.begin() + static_cast<std::ptrdiff_t>(len), got.end(),
                            [](std::uint8_t byte) { return byte == 0xee; }));
    got.resize(len);
    const Parsed parsed = parse(got);
    EXPECT_TRUE(parsed.ok()) << text_of(parsed.error);
    EXPECT_TRUE(l4_checksum_ok(got, parsed));
    EXPECT_EQ(test::to_hex(got.data(), got.size()), test::to_hex(want.data(), want.size()));
  }
}

}  // namespace
}  // namespace sluice::net
