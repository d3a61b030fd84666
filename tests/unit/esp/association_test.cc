#include "sluice/esp/association.h"

#include <gtest/gtest.h>

namespace sluice::esp {
namespace {

TEST(KeyUse, CountsForEachWorker) {
  KeyUse use(2, 0);
  EXPECT_EQ(use.take(0, kMaxSequence), 1u);
  EXPECT_EQ(use.take(0, kMaxSequence), 2u);
  EXPECT_EQ(use.take(1, kMaxSequence), 1u);
  EXPECT_EQ(use.used(), 2u);
}

TEST(KeyUse, GoesOnWhereItWas) {
  KeyUse use(2, 41);
  EXPECT_EQ(use.take(1, kMaxSequence), 42u);
  EXPECT_EQ(use.take(0, kMaxSequence), 42u);
}

TEST(KeyUse, StopsBeforeTheNumberWraps) {
  KeyUse use(1, kMaxSequence - 1);
  EXPECT_EQ(use.take(0, kMaxSequence), kMaxSequence);
  EXPECT_EQ(use.take(0, kMaxSequence), 0u);
  EXPECT_EQ(use.take(0, kMaxSequence), 0u);
  EXPECT_EQ(use.take(0, kMaxExtendedSequence), kMaxSequence + 1);
}

TEST(KeyUse, TakesNothingThatIsNotReserved) {
  KeyUse use(1, 10, 12);
  EXPECT_EQ(use.take(0, kMaxSequence), 11u);
  EXPECT_EQ(use.take(0, kMaxSequence), 12u);
  EXPECT_EQ(use.take(0, kMaxSequence), 0u);
  use.reserve(13);
  EXPECT_EQ(use.take(0, kMaxSequence), 13u);
  EXPECT_EQ(use.used(), 13u);
}

TEST(OutboundSa, AsksForANewKeyBeforeItsEnd) {
  const OutboundSa sa{.spi = 256, .extended = false, .key = nullptr, .use = nullptr};
  EXPECT_EQ(sa.limit(), 0xffffffffu);
  EXPECT_LT(sa.soft_limit(), sa.limit());
  EXPECT_GT(sa.soft_limit(), sa.limit() / 2);
}

TEST(KeyMaterial, IsAKeyAndItsSalt) {
  EXPECT_TRUE(is_key_material(20));
  EXPECT_TRUE(is_key_material(36));
  for (const std::size_t bytes : {0u, 16u, 19u, 24u, 28u, 32u, 37u}) EXPECT_FALSE(is_key_material(bytes)) << bytes;
}

}  // namespace
}  // namespace sluice::esp
