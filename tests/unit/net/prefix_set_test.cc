// Sets of prefixes against a plain search through the list.
#include "sluice/net/prefix_set.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "sluice/base/random.h"

namespace sluice::net {
namespace {

PrefixSet set_of(std::initializer_list<const char*> texts) {
  std::vector<Prefix> prefixes;
  for (const char* text : texts) prefixes.push_back(*Prefix::parse(text));
  return PrefixSet(prefixes);
}
IpAddress at(const char* text) { return *IpAddress::parse(text); }

TEST(PrefixSet, HoldsWhatItsPrefixesHold) {
  const PrefixSet set = set_of({"192.0.2.0/25", "192.0.2.200/32", "198.51.0.0/16", "10.0.0.0/7", "2001:db8:1::/48",
                                "2001:db8:2::7/128", "fc00::/7"});
  for (const char* in :
       {"192.0.2.0", "192.0.2.127", "192.0.2.200", "198.51.0.0", "198.51.255.255", "10.0.0.0", "11.255.255.255",
        "2001:db8:1::", "2001:db8:1:ffff:ffff:ffff:ffff:ffff", "2001:db8:2::7", "fdff::1"}) {
    EXPECT_TRUE(set.contains(at(in))) << in;
  }
  for (const char* out : {"192.0.1.255", "192.0.2.128", "192.0.2.199", "192.0.2.201", "198.50.255.255", "198.52.0.0",
                          "9.255.255.255", "12.0.0.0", "0.0.0.0", "255.255.255.255",
                          "2001:db8:0:ffff::", "2001:db8:2::6", "2001:db8:2::8", "fbff::1", "fe00::", "::", "ffff::"}) {
    EXPECT_FALSE(set.contains(at(out))) << out;
  }
}

TEST(PrefixSet, TheWholeAndTheEmpty) {
  const PrefixSet all = set_of({"0.0.0.0/0", "::/0", "192.0.2.0/24"});
  EXPECT_TRUE(all.contains(at("0.0.0.0")) && all.contains(at("255.255.255.255")) && all.contains(at("ffff::1")));
  EXPECT_EQ(all.ranges(), 2u);
  EXPECT_TRUE(PrefixSet().empty());
  EXPECT_FALSE(PrefixSet().contains(at("192.0.2.1")) || PrefixSet().contains(at("2001:db8::1")));
}

TEST(PrefixSet, AgreesWithASearchThroughTheList) {
  Random random(7);
  std::vector<Prefix> prefixes;
  for (int i = 0; i < 2000; ++i) {
    const std::uint32_t host = 0xc0000000u + (static_cast<std::uint32_t>(random.next()) & 0x3ffffu);
    prefixes.push_back({IpAddress::v4(Be32(host)), static_cast<std::uint8_t>(20 + random.below(13))});
    std::array<std::uint8_t, 16> bytes{0x20, 0x01, 0x0d, 0xb8};
    for (std::size_t at_byte = 6; at_byte < 16; ++at_byte) bytes[at_byte] = static_cast<std::uint8_t>(random.below(4));
    prefixes.push_back({IpAddress::v6(bytes), static_cast<std::uint8_t>(56 + random.below(73))});
  }
  const PrefixSet set{prefixes};
  for (int i = 0; i < 3000; ++i) {
    const IpAddress near = prefixes[random.below(static_cast<std::uint32_t>(prefixes.size()))].address;
    auto bytes = near.bytes();
    bytes[13 + random.below(3)] ^= static_cast<std::uint8_t>(1u << random.below(8));
    for (const IpAddress& address : {near, IpAddress::v6(bytes)}) {
      EXPECT_EQ(set.contains(address),
                std::ranges::any_of(prefixes, [&](const Prefix& prefix) { return prefix.contains(address); }))
          << address.text();
    }
  }
}

// The naive model of a large set: the prefixes of each length, as they are.
class Model {
 public:
  void add(const Prefix& prefix) { of_length_[length_of(prefix)].insert(masked(prefix.address, length_of(prefix))); }
  [[nodiscard]] bool contains(const IpAddress& address) const {
    return std::ranges::any_of(of_length_, [&](const auto& one) {
      return one.first >= (address.is_v4() ? 96 : 0) && one.second.contains(masked(address, one.first));
    });
  }

 private:
  static int length_of(const Prefix& prefix) { return prefix.length + (prefix.address.is_v4() ? 96 : 0); }
  static std::array<std::uint8_t, 16> masked(const IpAddress& address, int bits) {
    auto bytes = address.bytes();
    for (int bit = bits; bit < 128; ++bit)
      bytes[static_cast<std::size_t>(bit / 8)] &= static_cast<std::uint8_t>(~(0x80u >> (bit % 8)));
    return bytes;
  }
  std::map<int, std::set<std::array<std::uint8_t, 16>>> of_length_;
};

TEST(PrefixSet, HundredThousandPrefixesAgreeWithAModel) {
  Random random(13);
  std::vector<Prefix> prefixes;
  Model model;
  for (int i = 0; i < 100'000; ++i) {
    std::array<std::uint8_t, 16> bytes{0x20, 0x01};
    for (std::size_t at_byte = 2; at_byte < 16; ++at_byte) bytes[at_byte] = static_cast<std::uint8_t>(random.next());
    const bool v4 = i % 2 == 0;
    prefixes.push_back(v4 ? Prefix{IpAddress::v4(Be32(static_cast<std::uint32_t>(random.next()))),
                                   static_cast<std::uint8_t>(12 + random.below(21))}
                          : Prefix{IpAddress::v6(bytes), static_cast<std::uint8_t>(24 + random.below(105))});
    model.add(prefixes.back());
  }
  const PrefixSet set{prefixes};
  int inside = 0;
  for (int i = 0; i < 20'000; ++i) {
    const Prefix& some = prefixes[random.below(static_cast<std::uint32_t>(prefixes.size()))];
    auto bytes = some.address.bytes();
    const std::size_t first = some.address.is_v4() ? 12 : 2;
    bytes[first + random.below(static_cast<std::uint32_t>(16 - first))] ^= static_cast<std::uint8_t>(random.next());
    const IpAddress address = IpAddress::v6(bytes);  // of IPv4 too: its mapped form is how addresses are kept
    ASSERT_EQ(address.is_v4(), some.address.is_v4());
    ASSERT_EQ(set.contains(address), model.contains(address)) << address.text();
    inside += set.contains(address);
  }
  EXPECT_GT(inside, 2'000);
  EXPECT_LT(inside, 18'000);
}

}  // namespace
}  // namespace sluice::net
