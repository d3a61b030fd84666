// Every tunnel header, field by field and in every combination of families.
#include "sluice/net/encapsulate.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "packets.h"

namespace sluice::net {
namespace {

using test::Bytes;
using test::ip4;
using test::ip6;

IpAddress address(const char* text) { return *IpAddress::parse(text); }

struct Row {
  const char* name;
  Encapsulation kind;
  bool inner4, outer4;
  const char* want;  // what lies between the outer addresses and the packet
};
constexpr std::uint32_t kSpread = 0x89abcdef;  // UDP source port 0xc000 | 0x89abcdef >> 18
const Row kRows[] = {
    {"4_in_4", Encapsulation::kIpIp, true, true, ""},
    {"6_in_4", Encapsulation::kIpIp, false, true, ""},
    {"4_in_6", Encapsulation::kIpIp, true, false, ""},
    {"6_in_6", Encapsulation::kIpIp, false, false, ""},
    {"gre_4_in_4", Encapsulation::kGre, true, true, "0000 0800"},
    {"gre_6_in_4", Encapsulation::kGre, false, true, "0000 86dd"},
    {"gre_4_in_6", Encapsulation::kGre, true, false, "0000 0800"},
    {"gre_6_in_6", Encapsulation::kGre, false, false, "0000 86dd"},
    {"gue_4_in_4", Encapsulation::kGue, true, true, "e26a 17c0 LLLL 0000"},
    {"gue_6_in_6", Encapsulation::kGue, false, false, "e26a 17c0 LLLL 0000"},
    {"gue_data_4_in_4", Encapsulation::kGueData, true, true, "e26a 17c0 LLLL 0000 0004 0000"},
    {"gue_data_6_in_6", Encapsulation::kGueData, false, false, "e26a 17c0 LLLL 0000 0029 0000"},
    {"vxlan_4_in_4", Encapsulation::kVxlan, true, true,
     "e26a 17c0 LLLL 0000 0800 0000 1234 5600 0200 0000 00bb 0200 0000 0001 0800"},
    {"vxlan_6_in_6", Encapsulation::kVxlan, false, false,
     "e26a 17c0 LLLL 0000 0800 0000 1234 5600 0200 0000 00bb 0200 0000 0001 86dd"},
};

TunnelEnds ends_of(const Row& row) {
  return {.kind = row.kind,
          .inner = row.inner4 ? Family::kIp4 : Family::kIp6,
          .src = address(row.outer4 ? "198.51.100.2" : "2001:db8:1::2"),
          .src_spread = 0,
          .dst = address(row.outer4 ? "198.51.100.11" : "2001:db8:1::11"),
          .ttl = 33,
          .port = 6080,
          .vni = 0x123456,
          .inner_src = {{2, 0, 0, 0, 0, 1}},
          .inner_dst = {{2, 0, 0, 0, 0, 0xbb}}};
}

// The packet behind its header, in a buffer with room for it.
Bytes encapsulated(const TunnelEnds& ends, const Bytes& packet, std::uint8_t traffic_class, std::uint32_t spread) {
  const EncapsulationHeader header(ends);
  Bytes buffer(EncapsulationHeader::kRoom + packet.size(), 0xee);
  std::ranges::copy(packet, buffer.begin() + EncapsulationHeader::kRoom);
  header.write(buffer.data() + EncapsulationHeader::kRoom, packet.size(), traffic_class, spread);
  buffer.erase(buffer.begin(),
               buffer.begin() + static_cast<std::ptrdiff_t>(EncapsulationHeader::kRoom - header.size()));
  return buffer;
}

Bytes with_length(std::string hex, std::size_t udp_len) {
  if (const std::size_t at = hex.find("LLLL"); at != hex.npos) {
    const std::uint8_t bytes[] = {static_cast<std::uint8_t>(udp_len >> 8), static_cast<std::uint8_t>(udp_len)};
    hex.replace(at, 4, test::to_hex(bytes, 2));
  }
  return test::from_hex(hex);
}

TEST(Encapsulate, WritesEveryField) {
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.name);
    const Bytes packet = row.inner4 ? ip4("192.0.2.7", "203.0.113.10").tcp(40000, 80).ip_packet()
                                    : ip6("2001:db8:99::7", "2001:db8:5::10").tcp(40000, 80).ip_packet();
    const std::uint8_t tos = 0xb9;  // EF, ECT(1)
    const Bytes out = encapsulated(ends_of(row), packet, tos, kSpread);
    std::size_t behind = std::string(row.want).size();
    for (const char c : std::string(row.want)) behind -= c == ' ' ? 1 : 0;
    behind /= 2;
    const std::size_t ip_len = row.outer4 ? 20 : 40;
    const std::size_t total = ip_len + behind + packet.size();
    ASSERT_EQ(out.size(), total);

    Bytes want;
    const unsigned proto = row.kind == Encapsulation::kIpIp  ? (row.inner4 ? 4 : 41)
                           : row.kind == Encapsulation::kGre ? 47
                                                             : 17;
    if (row.outer4) {
      want = {0x45,
              tos,
              static_cast<std::uint8_t>(total >> 8),
              static_cast<std::uint8_t>(total),
              0,
              0,
              0x40,
              0,
              33,
              static_cast<std::uint8_t>(proto),
              0,
              0,
              198,
              51,
              100,
              2,
              198,
              51,
              100,
              11};
      const std::uint16_t sum = test::naive_checksum(want);
      want[10] = static_cast<std::uint8_t>(sum >> 8);
      want[11] = static_cast<std::uint8_t>(sum);
    } else {
      const std::size_t payload = total - 40;
      want = {0x6b,
              0x9b,
              0xcd,
              0xef,
              static_cast<std::uint8_t>(payload >> 8),
              static_cast<std::uint8_t>(payload),
              static_cast<std::uint8_t>(proto),
              33};
      for (const char* end : {"2001:db8:1::2", "2001:db8:1::11"}) {
        const IpAddress ip = address(end);
        want.insert(want.end(), ip.bytes().begin(), ip.bytes().end());
      }
    }
    const Bytes middle = with_length(row.want, behind + packet.size());
    want.insert(want.end(), middle.begin(), middle.end());
    want.insert(want.end(), packet.begin(), packet.end());
    EXPECT_EQ(test::to_hex(out.data(), out.size()), test::to_hex(want.data(), want.size()));
  }
}

TEST(Encapsulate, SpreadsTheSourceAndKeepsTheChecksumRight) {
  for (const bool outer4 : {true, false}) {
    TunnelEnds ends = ends_of({"", Encapsulation::kIpIp, true, outer4, ""});
    ends.src = address(outer4 ? "172.16.0.0" : "100::");
    ends.src_spread = 0xffff;
    const Bytes packet = ip4("192.0.2.7", "203.0.113.10").tcp(40000, 80).ip_packet();
    std::set<Bytes> sources;
    for (std::uint32_t spread = 0; spread < 0x30000; spread += 0x111) {
      const Bytes out = encapsulated(ends, packet, static_cast<std::uint8_t>(spread >> 4), spread);
      const Parsed parsed = parse_ip(out);  // which judges the checksum
      ASSERT_TRUE(parsed.ok()) << text_of(parsed.error);
      const std::size_t low = outer4 ? 12 + 2 : 8 + 14;
      EXPECT_EQ(out[low], static_cast<std::uint8_t>(spread >> 8));
      EXPECT_EQ(out[low + 1], static_cast<std::uint8_t>(spread));
      EXPECT_EQ(out[low - 1], outer4 ? 16 : 0);
      sources.insert(Bytes(parsed.src.bytes().begin(), parsed.src.bytes().end()));
    }
    EXPECT_GT(sources.size(), 700u);
  }
}

TEST(Encapsulate, FlowsOfManyClientsAndOfOneClientAreSpread) {
  for (const bool one_client : {true, false}) {
    std::vector<unsigned> counts(64);
    for (std::uint32_t i = 0; i < 6400; ++i) {
      const IpAddress client = IpAddress::v4(Be32(one_client ? 0xc0000207u : 0xc0000000u + i));
      ++counts[spread_hash(client, static_cast<std::uint16_t>(one_client ? 1024 + i : 40000)) & 63];
    }
    for (const unsigned count : counts) {
      EXPECT_GT(count, 50u);
      EXPECT_LT(count, 160u);
    }
  }
}

}  // namespace
}  // namespace sluice::net
