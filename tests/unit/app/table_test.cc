#include "../../../src/app/table.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace sluice::app {
namespace {

using nlohmann::json;

TEST(Table, AlignsNumbersRightAndWordsLeft) {
  const json rows = {{{"name", "web1"}, {"count", 7}}, {{"name", "a"}, {"count", 12345}}};
  EXPECT_EQ(format_table(rows, {{"NAME", "name"}, {"COUNT", "count"}}),
            "NAME  COUNT\n"
            "web1      7\n"
            "a     12345\n");
}

TEST(Table, ShowsNestedMissingAndListValues) {
  const json rows = {{{"in", {{"packets", 3}}}, {"listen", {"192.0.2.1:80", "192.0.2.2:80"}}, {"none", nullptr}}};
  EXPECT_EQ(format_table(rows, {{"IN", "in.packets"}, {"LISTEN", "listen"}, {"NONE", "none"}, {"ABSENT", "x.y"}}),
            "IN  LISTEN                     NONE  ABSENT\n"
            " 3  192.0.2.1:80 192.0.2.2:80  -     -\n");
}

TEST(Table, OfNothingIsItsTitles) { EXPECT_EQ(format_table(json::array(), {{"NAME", "name"}}), "NAME\n"); }

TEST(Table, ControlCharactersCannotDriveTheTerminal) {
  const json rows = {{{"name", "a\x1b[31mb\n"}}};
  EXPECT_EQ(format_table(rows, {{"NAME", "name"}}), "NAME\na?[31mb?\n");
}

TEST(Fields, StandOneALine) {
  EXPECT_EQ(format_fields(json{{"a", 1}, {"b", "two"}}, {{"first", "a"}, {"2", "b"}}),
            "first  1\n"
            "2      two\n");
}

}  // namespace
}  // namespace sluice::app
