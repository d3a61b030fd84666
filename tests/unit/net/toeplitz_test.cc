#include "sluice/net/toeplitz.h"

#include <gtest/gtest.h>

#include "sluice/base/random.h"

namespace sluice::net {
namespace {

// The key of Microsoft's "Verifying the RSS hash calculation", and its rows.
constexpr std::array<std::uint8_t, Toeplitz::kKeyBytes> kMicrosoftKey = {
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
    0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
    0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

struct ToeplitzCase {
  const char* name;
  const char* from;
  const char* to;
  std::uint32_t hash;
};
const ToeplitzCase kCases[] = {
    {"v4_first", "66.9.149.187:2794", "161.142.100.80:1766", 0x51ccc178},
    {"v4_second", "199.92.111.2:14230", "65.69.140.83:4739", 0xc626b0ea},
    {"v4_third", "24.19.198.95:12898", "12.22.207.184:38024", 0x5c2b394a},
    {"v4_fourth", "38.27.205.30:48228", "209.142.163.6:2217", 0xafc7327f},
    {"v4_fifth", "153.39.163.191:44251", "202.188.127.2:1303", 0x10e828a2},
    {"v6_first", "[3ffe:2501:200:1fff::7]:2794", "[3ffe:2501:200:3::1]:1766", 0x40207d3d},
    {"v6_second", "[3ffe:501:8::260:97ff:fe40:efab]:14230", "[ff02::1]:4739", 0xdde51bbf},
    {"v6_third", "[3ffe:1900:4545:3:200:f8ff:fe21:67cf]:44251", "[fe80::200:f8ff:fe21:67cf]:38024", 0x02d1feef},
};
class ToeplitzRows : public ::testing::TestWithParam<ToeplitzCase> {};
TEST_P(ToeplitzRows, GivesTheHashOfTheSpecification) {
  for (const bool carryless : {false, Toeplitz::cpu_has_carryless()}) {
    const Toeplitz toeplitz(kMicrosoftKey, carryless);
    EXPECT_EQ(toeplitz.hash(*Endpoint::parse(GetParam().from), *Endpoint::parse(GetParam().to)), GetParam().hash);
  }
}
INSTANTIATE_TEST_SUITE_P(Microsoft, ToeplitzRows, ::testing::ValuesIn(kCases),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(Toeplitz, APortCanBeAddedAfterwards) {
  const Toeplitz toeplitz(kMicrosoftKey);
  Random random(1);
  for (const char* text : {"192.0.2.7:8080", "[2001:db8::7]:8080"}) {
    const Endpoint from = *Endpoint::parse(text);
    Endpoint to = from;
    for (int i = 0; i < 1000; ++i) {
      const auto port = static_cast<std::uint16_t>(random.next());
      to.port = 0;
      const std::uint32_t without = toeplitz.mirrored(from, to);
      to.port = port;
      EXPECT_EQ(toeplitz.mirrored(from, to), without ^ toeplitz.mirrored_port(from.address.is_v4(), port));
    }
  }
}

}  // namespace
}  // namespace sluice::net
