#include "sluice/control/publisher.h"

#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "control_fixture.h"

namespace sluice::control {
namespace {

using namespace std::chrono_literals;

constexpr Instant kStart{Duration(1s)};

class PublisherTest : public testing::Test {
 protected:
  PublisherTest() : publisher_(two_backends(), health_, slot_, [this] { ++graces_; }) {
    EXPECT_TRUE(publisher_.publish_first().has_value());
  }

  void report(std::size_t backend, lb::Health health) {
    health_.report(slot_.owner()->id_of(static_cast<lb::BackendIndex>(backend)), {health, lb::HealthReason::kNone, 0});
  }
  [[nodiscard]] unsigned backends_up() const { return slot_.load()->pools.front().up; }

  lb::HealthBoard health_;
  lb::SnapshotSlot slot_;
  int graces_ = 0;
  Publisher publisher_;
};

TEST_F(PublisherTest, ACheckedBackendStartsDown) { EXPECT_EQ(backends_up(), 0u); }

TEST_F(PublisherTest, PublishesAChangeOfHealthOnceItHasGatheredThem) {
  const std::uint64_t generation = slot_.load()->generation;
  report(0, lb::Health::kUp);
  EXPECT_FALSE(publisher_.tick(kStart));
  report(1, lb::Health::kUp);
  EXPECT_FALSE(publisher_.tick(kStart + Publisher::kGather - 1ms));
  EXPECT_EQ(backends_up(), 0u);
  EXPECT_TRUE(publisher_.tick(kStart + Publisher::kGather));
  EXPECT_EQ(backends_up(), 2u);
  EXPECT_EQ(slot_.load()->generation, generation + 1);
  EXPECT_EQ(publisher_.current().get(), slot_.load());
  EXPECT_FALSE(publisher_.tick(kStart + 10s));
}

TEST_F(PublisherTest, WaitsUntilNobodyHoldsTheSnapshotBefore) {
  const std::weak_ptr<const lb::Snapshot> before = publisher_.current();
  report(0, lb::Health::kUp);
  publisher_.tick(kStart);
  publisher_.tick(kStart + 1s);
  EXPECT_EQ(graces_, 1);
  EXPECT_TRUE(before.expired());
}

TEST_F(PublisherTest, ABackendThatFallsIsTakenOut) {
  report(0, lb::Health::kUp);
  report(1, lb::Health::kUp);
  publisher_.tick(kStart);
  publisher_.tick(kStart + 1s);
  report(1, lb::Health::kDown);
  publisher_.tick(kStart + 2s);
  publisher_.tick(kStart + 3s);
  EXPECT_EQ(backends_up(), 1u);
}

TEST_F(PublisherTest, AReloadTakesTheListsThatTheNewConfigurationNames) {
  const std::filesystem::path file =
      std::filesystem::temp_directory_path() / fmt::format("sluice-publisher-{}.txt", ::getpid());
  config::Config next = *two_backends();
  next.defence.access.deny = {file.string()};
  const auto config = std::make_shared<const config::Config>(next);

  const auto before = publisher_.current();
  const auto refused = publisher_.reload(config, kStart);
  ASSERT_FALSE(refused) << "there is no such file";
  EXPECT_EQ(publisher_.current(), before);

  std::ofstream(file) << "198.51.100.0/24\n203.0.113.7\n";
  const auto done = publisher_.reload(config, kStart);
  std::filesystem::remove(file);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->prefixes, 2u);
  EXPECT_EQ(publisher_.current()->config, config);
  EXPECT_EQ(slot_.load()->generation, before->generation + 1);
  EXPECT_TRUE(slot_.load()->access->all.deny.contains(*net::IpAddress::parse("203.0.113.7")));

  report(0, lb::Health::kUp);  // what comes later is built on the same configuration and lists
  publisher_.tick(kStart);
  publisher_.tick(kStart + 1s);
  EXPECT_EQ(publisher_.current()->config, config);
  EXPECT_TRUE(slot_.load()->access->all.deny.contains(*net::IpAddress::parse("203.0.113.7")));
}

}  // namespace
}  // namespace sluice::control
