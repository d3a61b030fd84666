// The ledger over the life of a process, and over changes of the configuration while it runs.
#include "sluice/control/esp_keys.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "control_fixture.h"
#include "sluice/control/publisher.h"
#include "sluice/control/reload.h"

namespace sluice::control {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr Instant kStart{Duration(std::chrono::seconds(1))};
constexpr std::string_view kOld = "0x1111111111111111111111111111111111111111";
constexpr std::string_view kNew = "0x2222222222222222222222222222222222222222";
constexpr std::string_view kInbound = "0x4444444444444444444444444444444444444444";
constexpr std::string_view kSecond = "0x3333333333333333333333333333333333333333";

class EspKeysTest : public testing::Test {
 protected:
  EspKeysTest() { std::filesystem::create_directory(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::shared_ptr<const config::Config> configuration(std::string_view key,
                                                                    std::string_view second = kSecond,
                                                                    std::string_view in = kInbound) const {
    const auto loaded = config::load_text(fmt::format(R"(
interfaces:
  edge: {{ device: "net_null0", addresses: [198.51.100.2/24] }}
pools:
  web:
    backends: [ {{ address: 198.51.100.11 }}, {{ address: 198.51.100.12 }} ]
    health: {{ tcp: {{}}, port: 80 }}
services:
  web: {{ listen: "203.0.113.10:80", forward: {{ mode: esp, pool: web }} }}
esp:
  state: {}
  peers:
    - {{ address: 198.51.100.11, out: {{ spi: 0x1000, key: {} }}, in: {{ spi: 0x2000, key: {} }} }}
    - {{ address: 198.51.100.12, out: {{ spi: 0x1100, key: {} }} }}
)",
                                                      state(), key, in, second),
                                          "test.yaml");
    EXPECT_TRUE(loaded) << config::text(loaded.error());
    return std::make_shared<const config::Config>(loaded.value_or(config::Config{}));
  }
  void start(const std::shared_ptr<const config::Config>& config) {
    ASSERT_TRUE(keys_.open(*config));
    publisher_.emplace(config, health_, slot_, [] {});
    ASSERT_TRUE(publisher_->publish_first(keys_.ledger()));
  }
  void reload(const config::Config& fresh) {
    const auto taken = take_over(*publisher_->current()->config, fresh);
    ASSERT_TRUE(taken) << taken.error().message;
    const auto done = publisher_->reload(taken->config, kStart);
    ASSERT_TRUE(done) << done.error().message;
    reloaded_ = *done;
  }
  void stop() {
    keys_.close();
    publisher_.reset();
    keys_ = EspKeys();
    (void)slot_.publish(nullptr);
  }
  void report(std::size_t backend, lb::Health health) {
    health_.report(slot_.owner()->id_of(static_cast<lb::BackendIndex>(backend)), {health, lb::HealthReason::kNone, 0});
  }
  [[nodiscard]] unsigned backends_up() const { return slot_.load()->pools.front().up; }
  [[nodiscard]] std::uint64_t take() const {
    const lb::EspTable& esp = publisher_->current()->esp;
    return esp.peers[0].out->use->take(0, esp.peers[0].out->limit());
  }
  // As if a process before had sealed up to that number.
  void write_state(std::string_view key, std::uint64_t used) const {
    std::vector<std::uint8_t> material(
        20, static_cast<std::uint8_t>(std::stoi(std::string(key.substr(2, 2)), nullptr, 16)));
    std::ofstream out(state());
    out << "sluice: sequence numbers of ESP, by SHA-256 of key and salt\n";
    const auto fingerprint = esp::fingerprint(material);
    for (const std::uint8_t byte : *fingerprint) out << fmt::format("{:02x}", byte);
    out << ' ' << used << '\n';
  }
  [[nodiscard]] std::string state() const { return (folder_ / "esp.state").string(); }

  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / fmt::format("sluice-esp-keys-{}", ::getpid());
  lb::HealthBoard health_;
  lb::SnapshotSlot slot_;
  EspKeys keys_;
  std::optional<Publisher> publisher_;
  Publisher::Reloaded reloaded_;
};

TEST_F(EspKeysTest, WithoutPeersThereIsNoLedger) {
  ASSERT_TRUE(keys_.open(*two_backends()));
  EXPECT_EQ(keys_.ledger(), nullptr);
  keys_.reserve();
  keys_.close();
  EXPECT_FALSE(std::filesystem::exists(state()));
}

TEST_F(EspKeysTest, ANewKeyIsInForceAndTheOldOneIsNotForgotten) {
  start(configuration(kOld));
  EXPECT_EQ(take(), 1u);
  EXPECT_EQ(take(), 2u);
  const auto in = publisher_->current()->esp.peers[0].in[0];

  reload(*configuration(kNew));
  EXPECT_EQ(reloaded_.peers, 2u);
  EXPECT_EQ(reloaded_.new_associations, 1u);
  EXPECT_EQ(publisher_->current()->esp.peers[0].in[0], in) << "with its window";
  EXPECT_EQ(take(), 1u) << "reserved on disk before it was published";

  reload(*configuration(kNew));
  EXPECT_EQ(reloaded_.new_associations, 0u);
  EXPECT_EQ(take(), 2u);

  reload(*configuration(kOld));
  EXPECT_EQ(take(), 3u) << "the key goes on where it was";
}

TEST_F(EspKeysTest, ARestartGoesOnBehindWhatWasUsedUnderANewKey) {
  start(configuration(kOld));
  reload(*configuration(kNew));
  for (int i = 0; i < 5; ++i) (void)take();
  stop();
  start(configuration(kOld));
  EXPECT_EQ(take(), 1u);
  reload(*configuration(kNew));
  EXPECT_EQ(take(), 6u);
}

TEST_F(EspKeysTest, AStateThatCannotBeWrittenLeavesAllAsItWas) {
  start(configuration(kOld));
  EXPECT_EQ(take(), 1u);
  std::filesystem::create_directory(state() + ".new");  // in the way
  const auto before = publisher_->current();
  const auto done = publisher_->reload(configuration(kNew), kStart);
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message, testing::HasSubstr("esp.state"));
  EXPECT_EQ(publisher_->current(), before);
  EXPECT_EQ(take(), 2u);
  std::filesystem::remove(state() + ".new");
  reload(*configuration(kNew));
  EXPECT_EQ(take(), 1u);
}

// Half of what was reserved is used, and no more can be: backends come and go all the same.
TEST_F(EspKeysTest, HealthIsPublishedWhateverCannotBeWritten) {
  start(configuration(kOld));
  const lb::EspTable& esp = publisher_->current()->esp;
  while (esp.peers[0].out->use->reserved() - esp.peers[0].out->use->used() >= esp::KeyLedger::kAhead / 2) (void)take();
  std::filesystem::create_directory(state() + ".new");  // in the way
  report(0, lb::Health::kUp);
  EXPECT_FALSE(publisher_->tick(kStart));
  EXPECT_TRUE(publisher_->tick(kStart + Publisher::kGather));
  EXPECT_EQ(backends_up(), 1u);
}

TEST_F(EspKeysTest, AReloadThatIsRefusedLeavesNewsOfHealthToTheNextTick) {
  start(configuration(kOld));
  std::filesystem::create_directory(state() + ".new");  // in the way
  report(0, lb::Health::kUp);
  ASSERT_FALSE(publisher_->reload(configuration(kNew), kStart));
  EXPECT_FALSE(publisher_->tick(kStart));
  EXPECT_TRUE(publisher_->tick(kStart + Publisher::kGather));
  EXPECT_EQ(backends_up(), 1u);
}

// The other end would seal with the numbers that were used here.
TEST_F(EspKeysTest, AKeyThatHasSealedIsNotTakenForTheOtherDirection) {
  start(configuration(kOld));
  EXPECT_EQ(take(), 1u);
  reload(*configuration(kNew));
  const auto swapped = configuration(kNew, kSecond, kOld);
  const auto done = publisher_->reload(swapped, kStart);
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message, testing::HasSubstr("esp.peers[0].in[0]: has a key under which sluice has sealed"));
  reload(*configuration(kOld));
  EXPECT_EQ(take(), 2u);
  stop();

  ASSERT_TRUE(keys_.open(*swapped));
  publisher_.emplace(swapped, health_, slot_, [] {});
  EXPECT_FALSE(publisher_->publish_first(keys_.ledger()));
}

TEST_F(EspKeysTest, EachKeyIsDueOnce) {
  constexpr std::uint64_t kSoft = esp::kMaxSequence / 4 * 3;
  write_state(kOld, kSoft);
  start(configuration(kOld));
  const auto due = [&] {
    std::vector<std::uint32_t> spis;
    for (const esp::OutboundSa* sa : keys_.take_due(publisher_->current()->esp)) spis.push_back(sa->spi);
    return spis;
  };
  EXPECT_THAT(due(), IsEmpty());
  EXPECT_EQ(take(), kSoft + 1);
  EXPECT_THAT(due(), ElementsAre(0x1000));
  EXPECT_THAT(due(), IsEmpty());
  reload(*configuration(kNew));
  EXPECT_THAT(due(), IsEmpty());
}

TEST_F(EspKeysTest, EachBackendWithoutAPeerIsSaidOnce) {
  start(configuration(kOld));
  const auto missing = [&](std::vector<std::uint64_t> failed) {
    return keys_.take_missing(*publisher_->current(), failed);
  };
  EXPECT_THAT(missing({0, 0}), IsEmpty());
  EXPECT_THAT(missing({0, 3}), ElementsAre(1));
  EXPECT_THAT(missing({0, 4}), IsEmpty());
  EXPECT_THAT(missing({1, 5}), ElementsAre(0));
  EXPECT_THAT(missing({2, 6}), IsEmpty());
}

}  // namespace
}  // namespace sluice::control
