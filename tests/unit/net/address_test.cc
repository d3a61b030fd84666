#include "sluice/net/address.h"

#include <string>

#include <gtest/gtest.h>

namespace sluice::net {
namespace {

struct TextCase {
  const char* text;
  const char* want;  // nullptr: refused
};

const TextCase kAddressCases[] = {
    {"192.0.2.1", "192.0.2.1"},
    {"0.0.0.0", "0.0.0.0"},
    {"255.255.255.255", "255.255.255.255"},
    {"2001:db8::1", "2001:db8::1"},
    {"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
    {"::", "::"},
    {"::ffff:192.0.2.1", "192.0.2.1"},  // the same value: RFC 4291 section 2.5.5.2
    {"192.0.2", nullptr},
    {"192.0.2.256", nullptr},
    {"192.0.2.1 ", nullptr},
    {"", nullptr},
    {"2001:db8::1::", nullptr},
    {"[2001:db8::1]", nullptr},
    {"www.example.com", nullptr},
    {"1111:2222:3333:4444:5555:6666:255.255.255.255:more-than-there-is-room", nullptr},
};

TEST(IpAddress, ParsesAndPrints) {
  for (const TextCase& row : kAddressCases) {
    const auto address = IpAddress::parse(row.text);
    ASSERT_EQ(address.has_value(), row.want != nullptr) << row.text;
    if (address) {
      EXPECT_EQ(address->text(), row.want);
    }
  }
}

struct KindCase {
  const char* text;
  bool v4, multicast, link_local, unspecified;
};
const KindCase kKindCases[] = {
    {"192.0.2.1", true, false, false, false},
    {"224.0.0.1", true, true, false, false},
    {"239.255.255.255", true, true, false, false},
    {"240.0.0.1", true, false, false, false},
    {"169.254.1.1", true, false, true, false},
    {"0.0.0.0", true, false, false, false},
    {"2001:db8::1", false, false, false, false},
    {"ff02::1", false, true, false, false},
    {"fe80::1", false, false, true, false},
    {"fec0::1", false, false, false, false},
    {"::", false, false, false, true},
    {"::fffe:0:1", false, false, false, false},
};

TEST(IpAddress, KnowsItsKind) {
  for (const KindCase& row : kKindCases) {
    const auto address = *IpAddress::parse(row.text);
    EXPECT_EQ(address.is_v4(), row.v4) << row.text;
    EXPECT_EQ(address.is_multicast(), row.multicast) << row.text;
    EXPECT_EQ(address.is_link_local(), row.link_local) << row.text;
    EXPECT_EQ(address.is_unspecified(), row.unspecified) << row.text;
  }
}

TEST(IpAddress, V4GivesBackWhatWentIn) {
  static_assert(IpAddress::v4(Be32(0xc0000201)).is_v4());
  EXPECT_EQ(IpAddress::v4(Be32(0xc0000201)).v4().host(), 0xc0000201u);
  EXPECT_EQ(IpAddress::v4(Be32(0xc0000201)), *IpAddress::parse("192.0.2.1"));
}

const TextCase kEndpointCases[] = {
    {"192.0.2.1:80", "192.0.2.1:80"}, {"[2001:db8::1]:443", "[2001:db8::1]:443"},
    {"192.0.2.1:0", "192.0.2.1"},     {"192.0.2.1:65535", "192.0.2.1:65535"},
    {"192.0.2.1:65536", nullptr},     {"192.0.2.1:", nullptr},
    {"192.0.2.1", nullptr},           {":80", nullptr},
    {"2001:db8::1:443", nullptr},  // without brackets it is another address
    {"[192.0.2.1]:80", nullptr},      {"[2001:db8::1]443", nullptr},
    {"192.0.2.1:-1", nullptr},        {"192.0.2.1:8x", nullptr},
};

TEST(Endpoint, ParsesAndPrints) {
  for (const TextCase& row : kEndpointCases) {
    const auto endpoint = Endpoint::parse(row.text);
    ASSERT_EQ(endpoint.has_value(), row.want != nullptr) << row.text;
    if (endpoint) {
      EXPECT_EQ(endpoint->text(), row.want);
    }
  }
}

const TextCase kPrefixCases[] = {
    {"192.0.2.0/24", "192.0.2.0/24"},
    {"0.0.0.0/0", "0.0.0.0/0"},
    {"192.0.2.1/32", "192.0.2.1/32"},
    {"2001:db8::/32", "2001:db8::/32"},
    {"::/0", "::/0"},
    {"2001:db8::1/128", "2001:db8::1/128"},
    {"192.0.2.0/33", nullptr},
    {"2001:db8::/129", nullptr},
    {"192.0.2.0", nullptr},
    {"192.0.2.0/", nullptr},
    {"/24", nullptr},
    {"192.0.2.0/2 4", nullptr},
};

TEST(Prefix, ParsesAndPrints) {
  for (const TextCase& row : kPrefixCases) {
    const auto prefix = Prefix::parse(row.text);
    ASSERT_EQ(prefix.has_value(), row.want != nullptr) << row.text;
    if (prefix) {
      EXPECT_EQ(prefix->text(), row.want);
    }
  }
}

struct ContainsCase {
  const char* prefix;
  const char* address;
  bool want;
};
const ContainsCase kContainsCases[] = {
    {"192.0.2.0/24", "192.0.2.255", true},
    {"192.0.2.0/24", "192.0.3.0", false},
    {"192.0.2.64/26", "192.0.2.127", true},
    {"192.0.2.64/26", "192.0.2.128", false},
    {"192.0.2.1/32", "192.0.2.1", true},
    {"192.0.2.1/32", "192.0.2.2", false},
    {"0.0.0.0/0", "203.0.113.1", true},
    {"0.0.0.0/0", "2001:db8::1", false},
    {"::/0", "2001:db8::1", true},
    {"::/0", "192.0.2.1", false},
    {"2001:db8::/33", "2001:db8:7fff::", true},
    {"2001:db8::/33", "2001:db8:8000::", false},
    {"2001:db8::1/128", "2001:db8::1", true},
    {"2001:db8::1/128", "2001:db8::", false},
};

TEST(Prefix, Contains) {
  for (const ContainsCase& row : kContainsCases) {
    EXPECT_EQ(Prefix::parse(row.prefix)->contains(*IpAddress::parse(row.address)), row.want)
        << row.prefix << " " << row.address;
  }
}

const TextCase kMacCases[] = {
    {"02:00:5e:10:00:ff", "02:00:5e:10:00:ff"},
    {"02:00:5E:10:00:FF", "02:00:5e:10:00:ff"},
    {"02:00:5e:10:00", nullptr},
    {"02-00-5e-10-00-ff", nullptr},
    {"02:00:5e:10:00:f", nullptr},
    {"02:00:5e:10:00:fg", nullptr},
    {"", nullptr},
};

TEST(MacAddress, ParsesAndPrints) {
  for (const TextCase& row : kMacCases) {
    const auto mac = MacAddress::parse(row.text);
    ASSERT_EQ(mac.has_value(), row.want != nullptr) << row.text;
    if (mac) {
      EXPECT_EQ(mac->text(), row.want);
    }
  }
  EXPECT_TRUE(kBroadcastMac.is_multicast());
  EXPECT_TRUE(MacAddress::parse("33:33:00:00:00:01")->is_multicast());
  EXPECT_FALSE(MacAddress::parse("02:00:00:00:00:01")->is_multicast());
}

}  // namespace
}  // namespace sluice::net
