#include "sluice/base/endian.h"

#include <array>
#include <cstring>

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(BigEndian, LiesInNetworkOrder) {
  const Be32 value(0x01020304);
  std::array<std::uint8_t, 4> bytes;
  std::memcpy(bytes.data(), &value, 4);
  EXPECT_EQ(bytes, (std::array<std::uint8_t, 4>{1, 2, 3, 4}));
  EXPECT_EQ(value.host(), 0x01020304u);
  EXPECT_EQ(Be32::from_raw(value.raw()), value);
}

TEST(BigEndian, AssignsFromHostOrder) {
  Be16 port;
  port = std::uint16_t{443};
  EXPECT_EQ(port.host(), 443);
  EXPECT_EQ(port.raw(), 0xbb01);
}

}  // namespace
}  // namespace sluice
