#include "sluice/base/siphash.h"

#include <vector>

#include <gtest/gtest.h>

namespace sluice {
namespace {

// The paper's appendix A: key 00..0f, input 00..0e; and the first vectors of its reference table.
constexpr SipKey kKey = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};

struct Case {
  const char* name;
  std::size_t length;
  std::uint64_t want;
};
const Case kCases[] = {
    {"empty", 0, 0x726fdb47dd0e0e31u},
    {"one_byte", 1, 0x74f839c593dc67fdu},
    {"paper_appendix_a", 15, 0xa129ca6149be45e5u},
};

class SipHash : public testing::TestWithParam<Case> {};

TEST_P(SipHash, GivesTheReferenceValue) {
  std::vector<std::uint8_t> input;
  for (std::size_t i = 0; i < GetParam().length; ++i) input.push_back(static_cast<std::uint8_t>(i));
  EXPECT_EQ(siphash24(kKey, input), GetParam().want);
}

INSTANTIATE_TEST_SUITE_P(Vectors, SipHash, testing::ValuesIn(kCases),
                         [](const auto& row) { return std::string(row.param.name); });

}  // namespace
}  // namespace sluice
