// TCP options read and written, and whole segments without data.
#include "sluice/net/tcp_options.h"

#include <gtest/gtest.h>

#include "packets.h"
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
    got.resize(write_tcp_segment(got, 14,
                                 {.src = {*IpAddress::parse(one.src), 80},
                                  .dst = {*IpAddress::parse(one.dst), 40000},
                                  .sequence = 0xfffffff0,
                                  .acknowledgment = 0x12345678,
                                  .flags = kTcpSyn | kTcpAck,
                                  .window = 4321,
                                  .options = one.options}));
    const Parsed parsed = parse(got);
    EXPECT_TRUE(parsed.ok()) << text_of(parsed.error);
    EXPECT_TRUE(l4_checksum_ok(got, parsed));
    EXPECT_EQ(test::to_hex(got.data(), got.size()), test::to_hex(want.data(), want.size()));
  }
}

}  // namespace
}  // namespace sluice::net
