// Lists of prefixes: what a line may say, and where it is wrong.
#include "sluice/config/prefix_file.h"

#include <gtest/gtest.h>

namespace sluice::config {
namespace {

TEST(PrefixFile, ReadsPrefixesAddressesAndComments) {
  const auto got =
      parse_prefixes("# ours\n192.0.2.0/24\n\n  198.51.100.7 # one host\r\n2001:db8::/32\n2001:db8::7", "l");
  ASSERT_TRUE(got);
  ASSERT_EQ(got->size(), 4u);
  EXPECT_EQ((*got)[0].text(), "192.0.2.0/24");
  EXPECT_EQ((*got)[1].text(), "198.51.100.7/32");
  EXPECT_EQ((*got)[3].length, 128);
  EXPECT_TRUE(parse_prefixes("", "l")->empty());
}

TEST(PrefixFile, SaysWhichLinesAreWrong) {
  const auto got =
      parse_prefixes("192.0.2.0/24\n192.0.2.0/33\n# 300.1.1.1\n  nonsense here \n2001:db8::/129\n", "/etc/l");
  ASSERT_FALSE(got);
  ASSERT_EQ(got.error().size(), 3u);
  EXPECT_EQ(got.error()[0].text(), "/etc/l:2: '192.0.2.0/33' is not a prefix or an address");
  EXPECT_EQ(got.error()[1].text(), "/etc/l:4: 'nonsense here' is not a prefix or an address");
  EXPECT_EQ(got.error()[2].text(), "/etc/l:5: '2001:db8::/129' is not a prefix or an address");
}

TEST(PrefixFile, StopsAfterEnoughErrors) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "x\n";
  EXPECT_EQ(parse_prefixes(text, "l").error().size(), kMaxPrefixErrors);
}

TEST(PrefixFile, AFileThatIsNotThere) {
  const auto got = read_prefix_file("/nowhere/list");
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error()[0].text(), "/nowhere/list: No such file or directory");
}

}  // namespace
}  // namespace sluice::config
