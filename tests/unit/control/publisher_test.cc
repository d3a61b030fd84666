#include "sluice/control/publisher.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace sluice::control
