#include "sluice/net/fragment.h"

#include <numeric>

#include <gtest/gtest.h>

#include "../../support/packets.h"
#include "sluice/net/parse.h"

namespace sluice::net {
namespace {

using test::Bytes;
using test::ip4;
using test::ip6;

Bytes numbered(std::size_t size) {
  Bytes bytes(size);
  std::iota(bytes.begin(), bytes.end(), std::uint8_t{0});
  return bytes;
}

std::vector<Bytes> cut(const Bytes& packet, std::size_t mtu) {
  std::vector<Bytes> out;
  const std::size_t payload = packet.size() - (packet[0] & 0xf) * 4u;
  for (std::size_t done = 0; done < payload;) {
    Bytes room(mtu);
    const Cut made = cut_ip4(room, packet, done, mtu);
    EXPECT_GT(made.payload, 0u);
    EXPECT_LE(made.bytes, mtu);
    room.resize(made.bytes);
    out.push_back(std::move(room));
    done += made.payload;
  }
  return out;
}

TEST(CutIp4, GivesFragmentsOfEights) {
  const Bytes l4 = numbered(1000);
  const auto packet = [&] { return ip4("192.0.2.1", "198.51.100.7").payload(IpProto::kUdp, l4); };
  Bytes whole = packet().ip_packet();
  whole[4] = 0x12;  // the identifier stays
  whole[5] = 0x34;
  const std::vector<Bytes> made = cut(whole, 500);
  ASSERT_EQ(made.size(), 3u);
  const auto want = [&](std::size_t from, std::size_t to, bool more) {
    return ip4("192.0.2.1", "198.51.100.7")
        .payload(IpProto::kUdp,
                 Bytes(l4.begin() + static_cast<std::ptrdiff_t>(from), l4.begin() + static_cast<std::ptrdiff_t>(to)))
        .fragment(static_cast<std::uint16_t>(from), more, 0x1234)
        .ip_packet();
  };
  EXPECT_EQ(made[0], want(0, 480, true));
  EXPECT_EQ(made[1], want(480, 960, true));
  EXPECT_EQ(made[2], want(960, 1000, false));
}

TEST(CutIp4, CutsFragmentsToo) {
  const Bytes packet =
      ip4("192.0.2.1", "198.51.100.7").payload(IpProto::kUdp, numbered(800)).fragment(1600, true, 7).ip_packet();
  const std::vector<Bytes> made = cut(packet, 420);
  ASSERT_EQ(made.size(), 2u);
  EXPECT_EQ((made[0][6] & 0x1f) << 8 | made[0][7], 1600 / 8);
  EXPECT_EQ((made[1][6] & 0x1f) << 8 | made[1][7], 2000 / 8);
  EXPECT_NE(made[1][6] & 0x20, 0) << "the last piece of a fragment is not the packet's last";
}

TEST(CutIp6, GivesFragmentsWithAHeaderOfTheirOwn) {
  const Bytes l4 = numbered(2000);
  const Bytes whole = ip6("2001:db8::1", "2001:db8::2").payload(IpProto::kUdp, l4).ip_packet();
  const auto part = [&](std::size_t from, std::size_t to) {
    return Bytes(l4.begin() + static_cast<std::ptrdiff_t>(from), l4.begin() + static_cast<std::ptrdiff_t>(to));
  };
  const auto want = [&](std::size_t from, std::size_t to, bool more) {
    return ip6("2001:db8::1", "2001:db8::2")
        .payload(IpProto::kUdp, part(from, to))
        .fragment(static_cast<std::uint16_t>(from), more, 0x12345678)
        .ip_packet();
  };
  Bytes first(1280), second(1280);
  const Cut one = cut_ip6(first, whole, 0, 1280, 0x12345678);
  EXPECT_EQ(one.payload, 1232u);
  first.resize(one.bytes);
  EXPECT_EQ(first, want(0, 1232, true));
  const Cut two = cut_ip6(second, whole, one.payload, 1280, 0x12345678);
  second.resize(two.bytes);
  EXPECT_EQ(second, want(1232, 2000, false));
}

TEST(PermitCut, TakesDfAndGivesAnIdentifier) {
  Bytes packet = ip4("192.0.2.1", "198.51.100.7").set_ip(6, 0x40).udp(1, 2).ip_packet();
  EXPECT_FALSE(may_be_cut(packet));
  permit_cut(packet, 0x1234);
  EXPECT_TRUE(may_be_cut(packet));
  EXPECT_EQ(packet, ip4("192.0.2.1", "198.51.100.7").set_ip(4, 0x12).set_ip(5, 0x34).udp(1, 2).ip_packet());
}

// RFC 791 section 3.1: record route is for the first one, router alert and security are for all.
TEST(CutIp4, CopiesOptionsThatSaySo) {
  const Bytes options = {0x07, 0x07, 0x04, 0, 0, 0, 0, 0x01, 0x94, 0x04, 0, 0};
  const Bytes packet =
      ip4("192.0.2.1", "198.51.100.7").options(options).payload(IpProto::kUdp, numbered(100)).ip_packet();
  const std::vector<Bytes> made = cut(packet, 80);
  ASSERT_EQ(made.size(), 2u);  // 48 bytes behind all options; the 52 that are left fit behind one of them
  EXPECT_EQ(made[0][0], 0x48);
  EXPECT_EQ(made[1][0], 0x46);
  EXPECT_EQ(Bytes(made[1].begin() + 20, made[1].begin() + 24), (Bytes{0x94, 0x04, 0, 0}));
  for (const Bytes& one : made) EXPECT_TRUE(parse_ip(one).ok());
}

TEST(CutIp4, OptionsThatAreMalformedAreNotCopied) {
  for (const Bytes& options : {Bytes{0x94, 0x40, 0, 0}, Bytes{0x94, 0x01, 0, 0}, Bytes{0x01, 0x01, 0x01, 0x94}}) {
    const Bytes packet =
        ip4("192.0.2.1", "198.51.100.7").options(options).payload(IpProto::kUdp, numbered(100)).ip_packet();
    const std::vector<Bytes> made = cut(packet, 68);
    ASSERT_GE(made.size(), 2u);
    EXPECT_EQ(made[1][0], 0x45);
  }
}

TEST(MakeWhole, OfIp4) {
  Bytes first = ip4("192.0.2.1", "198.51.100.7").udp(1, 2, numbered(16)).fragment(0, true, 9).ip_packet();
  EXPECT_EQ(make_whole(first, 20, 1024), 0u);
  EXPECT_EQ(first[2] << 8 | first[3], 1044);
  EXPECT_EQ(first[6] << 8 | first[7], 0);
  first.resize(1044);
  EXPECT_EQ(parse_ip(first).fragment, FragmentKind::kWhole);
}

TEST(MakeWhole, OfIp6TakesTheFragmentHeaderOut) {
  for (const bool extended : {false, true}) {
    auto packet = ip6("2001:db8::1", "2001:db8::2").udp(1, 2, numbered(16));
    if (extended) packet.extension(60, Bytes(14)).extension(43, {2, 0, 0, 0, 0, 0});
    const Bytes want = packet.ip_packet();
    Bytes first = packet.fragment(0, true, 9).ip_packet();
    const Parsed parsed = parse_ip(first);
    ASSERT_TRUE(parsed.ok());
    const std::size_t moved = make_whole(first, parsed.fragment_at, 24);
    EXPECT_EQ(moved, 8u);
    EXPECT_EQ(Bytes(first.begin() + 8, first.end()), want);
  }
}

}  // namespace
}  // namespace sluice::net
