#include "sluice/telemetry/drop.h"

#include <set>
#include <string>

#include <gtest/gtest.h>

namespace sluice::telemetry {
namespace {

TEST(Drop, EveryReasonHasItsOwnNameAndAHelpText) {
  std::set<std::string_view> names;
  for (const DropText& text : kDropTexts) {
    EXPECT_TRUE(names.insert(text.name).second) << text.name << " stands twice";
    EXPECT_FALSE(text.help.empty()) << text.name;
    EXPECT_EQ(text.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_"), std::string_view::npos)
        << text.name;
  }
  EXPECT_EQ(names.size(), kDropReasons);
}

TEST(Drop, NamesFollowTheirEnumerators) {
  EXPECT_EQ(text_of(Drop::kNone).name, "none");
  EXPECT_EQ(text_of(Drop::kBadEthernet).name, "bad_ethernet");
  EXPECT_EQ(text_of(Drop::kShutdown).name, "shutdown");
}

}  // namespace
}  // namespace sluice::telemetry
