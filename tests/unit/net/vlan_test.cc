#include "sluice/net/vlan.h"

#include <gtest/gtest.h>

#include "../../support/packets.h"

namespace sluice::net {
namespace {

using test::Bytes;
using test::from_hex;

constexpr const char* kMacs = "02 00 00 00 00 02  02 00 00 00 00 01 ";

Bytes frame(const std::string& behind_macs) { return from_hex(kMacs + behind_macs); }

struct TagRow {
  const char* name;
  std::string behind_macs;
  VlanIds ids;
  std::size_t bytes;
};
const TagRow kTagRows[] = {
    {"none", "0800 4500", {0, 0}, 0},
    {"one", "8100 0064 0800 4500", {100, 0}, 4},
    {"one_of_the_service_type", "88a8 0064 0800 4500", {100, 0}, 4},
    {"priority_and_drop_bit_are_no_part_of_it", "8100 f064 0800 4500", {100, 0}, 4},
    {"two", "88a8 0064 8100 0007 86dd 6000", {100, 7}, 8},
    {"two_of_one_type", "8100 0064 8100 0007 86dd 6000", {100, 7}, 8},
    {"priority_alone", "8100 e000 0800 4500", {0, 0}, 4},
    {"priority_outside", "8100 e000 8100 0007 0800 4500", {7, 0}, 8},
    {"priority_inside", "88a8 0007 8100 e000 0800 4500", {7, 0}, 8},
    {"a_third_is_left", "88a8 0064 8100 0007 8100 0008 0800 4500", {100, 7}, 8},
    {"cut_inside_the_first", "8100 00", {0, 0}, 0},
    {"cut_inside_the_second", "8100 0064 8100 00", {100, 0}, 4},
    {"cut_in_the_macs", "", {0, 0}, 0},
};

TEST(VlanTags, AreFoundBehindTheMacAddresses) {
  for (const TagRow& row : kTagRows) {
    const FoundTags found = find_tags(frame(row.behind_macs));
    EXPECT_EQ(found.ids.outer, row.ids.outer) << row.name;
    EXPECT_EQ(found.ids.inner, row.ids.inner) << row.name;
    EXPECT_EQ(found.bytes, row.bytes) << row.name;
  }
  EXPECT_EQ(find_tags({}).bytes, 0u);
}

TEST(VlanTags, AreTakenOff) {
  Bytes bytes = frame("88a8 0064 8100 0007 0800 4500");
  remove_tags(bytes, 8);
  EXPECT_EQ(Bytes(bytes.begin() + 8, bytes.end()), frame("0800 4500"));
}

TEST(VlanTags, ArePutOn) {
  const auto tagged = [](const VlanTags& tags) {
    Bytes bytes(tags.bytes());
    const Bytes plain = frame("0800 4500");
    bytes.insert(bytes.end(), plain.begin(), plain.end());
    insert_tags(bytes, tags);
    return bytes;
  };
  EXPECT_EQ(tagged({.ids = {100, 0}, .outer_type = EtherType::kVlan}), frame("8100 0064 0800 4500"));
  EXPECT_EQ(tagged({.ids = {100, 0}, .outer_type = EtherType::kVlanService}), frame("8100 0064 0800 4500"));
  EXPECT_EQ(tagged({.ids = {100, 7}, .outer_type = EtherType::kVlanService}), frame("88a8 0064 8100 0007 0800 4500"));
  EXPECT_EQ(tagged({.ids = {100, 7}, .outer_type = EtherType::kVlan}), frame("8100 0064 8100 0007 0800 4500"));
}

}  // namespace
}  // namespace sluice::net
