#include "sluice/esp/key_ledger.h"

#include <filesystem>
#include <fstream>
#include <iterator>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "reference.h"

namespace sluice::esp {
namespace {

using test::pattern;

const test::Bytes kKey = pattern(20, 1), kOther = pattern(36, 2);

class KeyLedgerFile : public ::testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::string path() const { return (folder_ / "lib" / "esp.state").string(); }
  [[nodiscard]] std::shared_ptr<KeyLedger> open(std::size_t workers = 1) const {
    auto ledger = KeyLedger::open(path(), workers);
    EXPECT_TRUE(ledger) << ledger.error().message;
    return ledger.value_or(nullptr);
  }
  [[nodiscard]] std::string text() const {
    std::ifstream in(path());
    return {std::istreambuf_iterator<char>(in), {}};
  }
  [[nodiscard]] std::string problem() const {
    const auto ledger = KeyLedger::open(path(), 1);
    return ledger ? "" : ledger.error().message;
  }

  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / fmt::format("sluice-key-ledger-{}", ::getpid());
};

TEST(KeyLedger, InMemoryBeginsAtOneAndHasNoBound) {
  KeyLedger ledger(2);
  const auto use = ledger.use_of(kKey).value();
  EXPECT_EQ(use->take(0, kMaxSequence), 1u);
  EXPECT_EQ(use->reserved(), KeyUse::kUnbounded);
  EXPECT_EQ(ledger.use_of(kKey).value(), use) << "a key that comes back goes on";
  EXPECT_NE(ledger.use_of(kOther).value(), use);
  EXPECT_TRUE(ledger.reserve());
  EXPECT_TRUE(ledger.close());
}

TEST_F(KeyLedgerFile, NothingIsTakenBeforeItIsReservedOnDisk) {
  const auto ledger = open();
  const auto use = ledger->use_of(kKey).value();
  EXPECT_EQ(use->take(0, kMaxSequence), 0u);
  ASSERT_TRUE(ledger->reserve());
  EXPECT_EQ(use->take(0, kMaxSequence), 1u);
  EXPECT_THAT(text(), ::testing::HasSubstr(fmt::format(" {}\n", KeyLedger::kAhead)));
}

TEST_F(KeyLedgerFile, ReservesMoreWhenHalfIsUsed) {
  const auto ledger = open();
  const auto use = ledger->use_of(kKey).value();
  ASSERT_TRUE(ledger->reserve());
  for (std::uint64_t i = 0; i < KeyLedger::kAhead / 2; ++i) ASSERT_NE(use->take(0, kMaxSequence), 0u);
  ASSERT_TRUE(ledger->reserve());
  EXPECT_EQ(use->reserved(), KeyLedger::kAhead);
  ASSERT_NE(use->take(0, kMaxSequence), 0u);
  ASSERT_TRUE(ledger->reserve());
  EXPECT_EQ(use->reserved(), use->used() + KeyLedger::kAhead);
  EXPECT_THAT(text(), ::testing::HasSubstr(fmt::format(" {}\n", use->reserved())));
}

TEST_F(KeyLedgerFile, AProcessThatDiedHasUsedAllThatItReserved) {
  {
    const auto ledger = open();
    const auto use = ledger->use_of(kKey).value();
    ASSERT_TRUE(ledger->reserve());
    EXPECT_EQ(use->take(0, kMaxSequence), 1u);
  }
  const auto ledger = open(4);
  const auto use = ledger->use_of(kKey).value();
  ASSERT_TRUE(ledger->reserve());
  EXPECT_EQ(use->take(3, kMaxSequence), KeyLedger::kAhead + 1) << "of every worker: there may be others than before";
}

TEST_F(KeyLedgerFile, AProcessThatStoppedGivesBackTheRest) {
  {
    const auto ledger = open(2);
    const auto use = ledger->use_of(kKey).value();
    ASSERT_TRUE(ledger->reserve());
    for (int i = 0; i < 5; ++i) EXPECT_NE(use->take(1, kMaxSequence), 0u);
    ASSERT_TRUE(ledger->close());
  }
  const auto ledger = open(2);
  const auto use = ledger->use_of(kKey).value();
  ASSERT_TRUE(ledger->reserve());
  EXPECT_EQ(use->take(0, kMaxSequence), 6u);
}

TEST_F(KeyLedgerFile, KeysThatNobodyUsesNowAreNotForgotten) {
  {
    const auto ledger = open();
    const auto use = ledger->use_of(kKey).value();
    ASSERT_TRUE(ledger->reserve());
    EXPECT_EQ(use->take(0, kMaxSequence), 1u);
    ASSERT_TRUE(ledger->close());
  }
  {
    const auto ledger = open();
    const auto other = ledger->use_of(kOther).value();
    ASSERT_TRUE(ledger->reserve());
    EXPECT_EQ(other->take(0, kMaxSequence), 1u);
    ASSERT_TRUE(ledger->close());
  }
  const auto ledger = open();
  const auto use = ledger->use_of(kKey).value();
  ASSERT_TRUE(ledger->reserve());
  EXPECT_EQ(use->take(0, kMaxSequence), 2u);
}

TEST_F(KeyLedgerFile, HoldsNoKey) {
  const auto ledger = open();
  ASSERT_TRUE(ledger->use_of(kKey));
  ASSERT_TRUE(ledger->reserve());
  std::string hex;
  for (const std::uint8_t byte : std::span(kKey).first(4)) hex += fmt::format("{:02x}", byte);
  EXPECT_THAT(text(), ::testing::Not(::testing::HasSubstr(hex)));
}

TEST_F(KeyLedgerFile, BelongsToOneProcess) {
  const auto ledger = open();
  EXPECT_EQ(problem(),
            fmt::format("esp.state: {} is in use by another process: two may not seal with the same keys", path()));
}

TEST_F(KeyLedgerFile, IsRefusedWhenItIsNotWhatSluiceWrites) {
  std::filesystem::create_directories(folder_ / "lib");
  const std::string title = "sluice: sequence numbers of ESP, by SHA-256 of key and salt\n";
  const std::string name(64, 'a');
  struct Row {
    std::string text;
    int line;
  };
  for (const Row& row :
       {Row{"", 1}, Row{"something else\n", 1}, Row{title + name + "\n", 2}, Row{title + name + " 12x\n", 2},
        Row{title + name + " 12\n" + std::string(64, 'z') + " 3\n", 3},
        Row{title + name + " 99999999999999999999\n", 2}}) {
    std::ofstream(path()) << row.text;
    EXPECT_EQ(problem(),
              fmt::format("esp.state: {}:{}: not what sluice writes there; without it the keys must not be used "
                          "again: give every association a new key, then remove the file",
                          path(), row.line))
        << row.text;
  }
}

TEST_F(KeyLedgerFile, SaysWhyItCannotBeWritten) {
  const auto ledger = open();
  const auto use = ledger->use_of(kKey).value();
  std::filesystem::create_directories(path() + ".new");
  const auto done = ledger->reserve();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().message, fmt::format("esp.state: {}.new: Is a directory", path()));
  EXPECT_EQ(use->take(0, kMaxSequence), 0u);
}

// FIPS 180-2, appendix B.1: "abc".
TEST(Fingerprint, IsSha256) {
  const std::array<std::uint8_t, 3> abc{'a', 'b', 'c'};
  const Fingerprint got = fingerprint(abc).value();
  EXPECT_EQ(test::Bytes(got.begin(), got.end()),
            test::from_hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
}

}  // namespace
}  // namespace sluice::esp
