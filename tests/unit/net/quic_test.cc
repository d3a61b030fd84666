#include "sluice/net/quic.h"

#include <string>

#include <gtest/gtest.h>

#include "packets.h"

namespace sluice::net {
namespace {

TEST(Quic, GivesTheDestinationId) {
  const struct {
    const char* name;
    const char* datagram;
    const char* want;  // nullptr: none
  } rows[] = {
      {"short_header", "40 20aabbcc 0102", "20aabbcc0102"},
      {"short_header_without_the_fixed_bit", "00 20aabbcc", "20aabbcc"},
      {"short_header_alone", "40", ""},
      {"handshake", "e0 00000001 04 20aabbcc 00 0000", "20aabbcc"},
      {"handshake_of_version_2", "f0 6b3343cf 04 20aabbcc 00 0000", "20aabbcc"},
      {"unknown_version", "c0 fafafafa 04 20aabbcc 00", "20aabbcc"},
      {"initial", "c0 00000001 04 20aabbcc 00 0000", nullptr},
      {"zero_rtt", "d0 00000001 04 20aabbcc 00 0000", nullptr},
      {"initial_of_version_2", "d0 6b3343cf 04 20aabbcc 00 0000", nullptr},
      {"zero_rtt_of_version_2", "e0 6b3343cf 04 20aabbcc 00 0000", nullptr},
      {"empty_id", "e0 00000001 00 00 0000", ""},
      {"id_beyond_the_datagram", "e0 00000001 05 20aabbcc", nullptr},
      {"no_length", "e0 00000001", nullptr},
      {"nothing", "", nullptr},
  };
  for (const auto& row : rows) {
    const test::Bytes datagram = test::from_hex(row.datagram);
    const auto id = quic_destination_id(datagram);
    ASSERT_EQ(id.has_value(), row.want != nullptr) << row.name;
    if (id) {
      EXPECT_EQ(test::to_hex(id->data(), id->size()), row.want) << row.name;
    }
  }
}

TEST(Quic, TheFirstOctetNamesTheConfiguration) {
  EXPECT_EQ(quic_configuration(test::from_hex("20aa")), 1);
  EXPECT_EQ(quic_configuration(test::from_hex("df")), 6);
  EXPECT_EQ(quic_configuration(test::from_hex("ff")), kQuicNoConfiguration);
  EXPECT_EQ(quic_configuration({}), kQuicNoConfiguration);
}

}  // namespace
}  // namespace sluice::net
