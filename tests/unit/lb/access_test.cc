// Allow and deny lists out of their files: large ones, and read again.
#include "sluice/lb/access.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace sluice::lb {
namespace {

class AccessFromFiles : public ::testing::Test {
 protected:
  AccessFromFiles() {
    char name[] = "/tmp/sluice-access-XXXXXX";
    ::close(::mkstemp(name));
    path_ = name;
    config_.defence.access.deny = {path_};
    config_.services.emplace_back().name = "web";
    config_.services[0].access.allow = {path_};
  }
  ~AccessFromFiles() override { std::remove(path_.c_str()); }

  // 50,000 /24 of 16.0.0.0/4 and as many /48: the even or the odd ones.
  void write(unsigned odd) const {
    std::ofstream out(path_);
    for (unsigned i = 0; i < 50'000; ++i) {
      const unsigned number = i * 2 + odd;
      out << fmt::format("{}.{}.{}.0/24\n2001:db8:{:x}:{:x}::/64\n", 16 + (number >> 16), number >> 8 & 255,
                         number & 255, number >> 16, number & 0xffff);
    }
  }
  static bool holds(const net::PrefixSet& set, unsigned number) {
    const bool four = set.contains(
        *net::IpAddress::parse(fmt::format("{}.{}.{}.77", 16 + (number >> 16), number >> 8 & 255, number & 255)));
    EXPECT_EQ(
        set.contains(*net::IpAddress::parse(fmt::format("2001:db8:{:x}:{:x}::77", number >> 16, number & 0xffff))),
        four)
        << number;
    return four;
  }

  std::string path_;
  config::Config config_;
};

TEST_F(AccessFromFiles, HundredThousandPrefixesAreLoadedAndReloaded) {
  write(0);
  const auto first = load_access(config_);
  ASSERT_TRUE(first);
  EXPECT_EQ((*first)->prefixes, 200'000u);  // of both owners
  write(1);
  const auto second = load_access(config_);
  ASSERT_TRUE(second);
  for (unsigned number = 0; number < 100'000; number += 7) {
    for (const bool odd : {false, true}) {
      const Access& access = odd ? **second : **first;
      ASSERT_EQ(holds(access.all.deny, number), (number % 2 == 1) == odd);
      ASSERT_EQ(holds(access.services.at("web").allow, number), (number % 2 == 1) == odd);
    }
  }
}

TEST_F(AccessFromFiles, AFileWithAWrongLineIsNotLoaded) {
  write(0);
  std::ofstream(path_, std::ios::app) << "192.0.2.0/33\n";
  const auto access = load_access(config_);
  ASSERT_FALSE(access);
  EXPECT_EQ(access.error().message, fmt::format("{0}:100001: '192.0.2.0/33' is not a prefix or an address\n"
                                                "{0}:100001: '192.0.2.0/33' is not a prefix or an address",
                                                path_));
}

}  // namespace
}  // namespace sluice::lb
