#include "sluice/net/checksum.h"

#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "packets.h"
#include "sluice/base/random.h"
#include "sluice/net/wire.h"

namespace sluice::net {
namespace {

using test::Bytes;

Bytes random_bytes(Random& random, std::size_t size) {
  Bytes bytes(size);
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random.next() >> 8);
  return bytes;
}

TEST(Checksum, ExampleOfRfc1071) {
  // Section 3: the sum of these bytes is ddf2.
  EXPECT_EQ(checksum(test::from_hex("0001 f203 f4f5 f6f7")).host(), static_cast<std::uint16_t>(~0xddf2));
  EXPECT_EQ(checksum({}).host(), 0xffff);
}

TEST(Checksum, IsTheNaiveOneForAllLengths) {
  Random random(1);
  for (std::size_t size = 0; size < 300; ++size) {
    const Bytes bytes = random_bytes(random, size);
    ASSERT_EQ(checksum(bytes).host(), test::naive_checksum(bytes)) << size;
  }
  for (const std::size_t size : {1500u, 9000u, 65535u}) {
    const Bytes bytes = random_bytes(random, size);
    EXPECT_EQ(checksum(bytes).host(), test::naive_checksum(bytes)) << size;
    const Bytes ones(size, 0xff);  // the most carries
    EXPECT_EQ(checksum(ones).host(), test::naive_checksum(ones)) << size;
  }
}

TEST(Checksum, PartsOfEvenLengthAddUp) {
  Random random(2);
  for (int round = 0; round < 200; ++round) {
    const Bytes bytes = random_bytes(random, 100 + random.below(100));
    ChecksumSum sum;
    const std::size_t cut = random.below(50) * 2;
    sum.add(std::span(bytes).first(cut));
    sum.add(std::span(bytes).subspan(cut));
    ASSERT_EQ(sum.checksum(), checksum(bytes));
  }
}

TEST(Checksum, PseudoHeaders) {
  const Bytes l4 = test::from_hex("9c400035000b0000616263");
  EXPECT_EQ(l4_checksum(*IpAddress::parse("192.0.2.1"), *IpAddress::parse("198.51.100.7"), IpProto::kUdp, l4).host(),
            0xb2c3);
  EXPECT_EQ(l4_checksum(*IpAddress::parse("2001:db8::1"), *IpAddress::parse("2001:db8::2"), IpProto::kUdp, l4).host(),
            0x438b);
}

TEST(ChecksumSum, AUdpResultOfZeroIsSentAsOnes) {
  ChecksumSum sum;
  sum.add(Be16(0xffff));
  EXPECT_EQ(sum.checksum().host(), 0);
  EXPECT_EQ(sum.udp_checksum().host(), 0xffff);
}

TEST(ChecksumDelta, ExampleOfRfc1624) {
  // Section 4: HC = 0xDD2F, m = 0x5555, m' = 0x3285 gives 0x0000, where RFC 1141's way gave 0xFFFF.
  ChecksumDelta delta;
  delta.replace(Be16(0x5555), Be16(0x3285));
  EXPECT_EQ(delta.apply(Be16(0xdd2f)).host(), 0x0000);
}

struct UdpCase {
  const char* name;
  std::uint16_t before, from, to, want;
};
const UdpCase kUdpCases[] = {
    {"none_stays_none", 0, 0x1111, 0x2222, 0},
    {"zero_is_sent_as_ones", 0xdd2f, 0x5555, 0x3285, 0xffff},
    {"nothing_changes", 0x1234, 0x5555, 0x5555, 0x1234},
};
TEST(ChecksumDelta, Udp) {
  for (const UdpCase& row : kUdpCases) {
    ChecksumDelta delta;
    delta.replace(Be16(row.from), Be16(row.to));
    EXPECT_EQ(delta.apply_udp(Be16(row.before)).host(), row.want) << row.name;
  }
}

// What the incremental way gives is what the whole sum gives, for replacements of all kinds and extreme values.
TEST(ChecksumDelta, AgreesWithTheWholeSum) {
  Random random(3);
  const auto extreme = [&]() -> std::uint32_t {
    switch (random.below(4)) {
      case 0:
        return 0;
      case 1:
        return 0xffffffff;
      default:
        return static_cast<std::uint32_t>(random.next());
    }
  };
  for (int round = 0; round < 100'000; ++round) {
    // 2 bytes of checksum, then a 16-bit field, a 32-bit field, two addresses of 16 bytes, and something that stays.
    Bytes packet = random_bytes(random, 60);
    packet[0] = packet[1] = 0;
    packet[59] |= 1;  // never all zero
    const auto field16 = [&] { return header_at<Be16>(std::span<const std::uint8_t>(packet), 2); };
    const auto field32 = [&] { return header_at<Be32>(std::span<const std::uint8_t>(packet), 4); };
    const auto address = [&](std::size_t at) { return IpAddress::v6(packet.data() + at); };
    const Be16 before = checksum(packet);
    ChecksumDelta delta;
    const Be16 new16(static_cast<std::uint16_t>(extreme()));
    const Be32 new32(extreme());
    Bytes new_address = random_bytes(random, 16);
    if (random.below(4) == 0) std::ranges::fill(new_address, std::uint8_t{0xff});
    delta.replace(field16(), new16);
    delta.replace(field32(), new32);
    ChecksumDelta more;
    more.replace(address(8), IpAddress::v6(new_address.data()));
    delta.add(more);
    std::memcpy(packet.data() + 2, &new16, 2);
    std::memcpy(packet.data() + 4, &new32, 4);
    std::ranges::copy(new_address, packet.begin() + 8);
    ASSERT_EQ(delta.apply(before), checksum(packet)) << round;
  }
}

TEST(ChecksumDelta, AnIPv4AddressIsFourBytes) {
  const auto from = *IpAddress::parse("192.0.2.1");
  const auto to = *IpAddress::parse("198.51.100.7");
  ChecksumDelta delta;
  delta.replace(from, to);
  ChecksumDelta words;
  words.replace(from.v4(), to.v4());
  EXPECT_EQ(delta.apply(Be16(0x1234)), words.apply(Be16(0x1234)));
}

}  // namespace
}  // namespace sluice::net
