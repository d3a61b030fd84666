#include "sluice/lb/health_board.h"

#include <gtest/gtest.h>

namespace sluice::lb {
namespace {

TEST(HealthBoard, GivesWhatWasReported) {
  HealthBoard board;
  const BackendId backend{7, 3};
  EXPECT_EQ(board.read(backend).health, Health::kUnknown);
  board.report(backend, {Health::kDown, HealthReason::kBadStatus, 503});
  EXPECT_EQ(board.read(backend).health, Health::kDown);
  EXPECT_EQ(board.read(backend).reason, HealthReason::kBadStatus);
  EXPECT_EQ(board.read(backend).detail, 503);
  EXPECT_EQ(board.read({8, 3}).health, Health::kUnknown);
}

TEST(HealthBoard, AnotherGenerationOfTheSlotIsUnknown) {
  HealthBoard board;
  board.report({7, 3}, {Health::kUp, HealthReason::kSuccess});
  EXPECT_EQ(board.read({7, 4}).health, Health::kUnknown);
}

TEST(HealthBoard, ChangesCountOnlyChangesOfHealth) {
  HealthBoard board;
  const BackendId backend{0, 1};
  const auto before = board.changes();
  board.report(backend, {Health::kUp, HealthReason::kSuccess});
  EXPECT_EQ(board.changes(), before + 1);
  board.report(backend, {Health::kUp, HealthReason::kTimeout});  // one failure of three
  EXPECT_EQ(board.changes(), before + 1);
  board.report(backend, {Health::kDown, HealthReason::kTimeout});
  EXPECT_EQ(board.changes(), before + 2);
}

TEST(HealthBoard, IgnoresAnIndexBeyondItsSize) {
  HealthBoard board;
  board.report({kNoBackend, 0}, {Health::kUp, HealthReason::kSuccess});
  EXPECT_EQ(board.read({kNoBackend, 0}).health, Health::kUnknown);
  EXPECT_EQ(board.changes(), 0u);
}

}  // namespace
}  // namespace sluice::lb
