#include "sluice/net/crc32c.h"

#include <cstring>
#include <numeric>

#include <gtest/gtest.h>

#include "packets.h"
#include "sluice/base/random.h"

namespace sluice::net {
namespace {

using test::Bytes;

Bytes counting(std::size_t size, std::uint8_t first, int step) {
  Bytes out(size);
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::uint8_t>(first + step * static_cast<int>(i));
  return out;
}

// RFC 3720 appendix B.4, the values as numbers: there they stand in the order of their bytes.
TEST(Crc32c, GivesThePublishedValues) {
  const struct {
    const char* name;
    Bytes bytes;
    std::uint32_t want;
  } rows[] = {
      {"nothing", {}, 0},
      {"digits", {'1', '2', '3', '4', '5', '6', '7', '8', '9'}, 0xe3069283},
      {"32_bytes_of_zeros", Bytes(32, 0), 0x8a9136aa},
      {"32_bytes_of_ones", Bytes(32, 0xff), 0x62a8ab43},
      {"32_bytes_that_count_up", counting(32, 0, 1), 0x46dd794e},
      {"32_bytes_that_count_down", counting(32, 31, -1), 0x113fdb5c},
  };
  for (const auto& row : rows) EXPECT_EQ(crc32c(row.bytes), row.want) << row.name;
}

TEST(Crc32c, GoesOnOverPieces) {
  const Bytes all = counting(100, 7, 3);
  for (std::size_t cut = 0; cut <= all.size(); ++cut) {
    const std::uint32_t first = crc32c_add(kCrc32cStart, std::span(all).first(cut));
    EXPECT_EQ(~crc32c_add(first, std::span(all).subspan(cut)), crc32c(all)) << cut;
  }
}

TEST(Crc32c, ChangesWithAFieldAsIfMadeAnew) {
  Random random(1);
  for (const std::size_t size : {4u, 5u, 12u, 16u, 255u, 256u, 260u, 1480u, 9000u, 65535u}) {
    Bytes bytes(size);
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random.next());
    const std::uint32_t before = crc32c(bytes);
    std::uint32_t was;
    std::memcpy(&was, bytes.data(), 4);
    const auto is = static_cast<std::uint32_t>(random.next());
    std::memcpy(bytes.data(), &is, 4);
    EXPECT_EQ(before ^ crc32c_change(was ^ is, size - 4), crc32c(bytes)) << size;
  }
  EXPECT_EQ(crc32c_change(0, 100), 0u);
}

}  // namespace
}  // namespace sluice::net
