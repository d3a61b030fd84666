// `esp`: the exact text of each error, and keys that lie in files.
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include "error_case.h"
#include "sluice/config/load.h"

namespace sluice::config {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// A peer with these words for its associations, in line 4; 20 and 36 bytes of key.
#define KEY_A "0x000102030405060708090a0b0c0d0e0f10111213"
#define KEY_B "0xffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100aabbccdd"

const ErrorCase kEsp[] = {
    {"spi_is_reserved",
     Part::kRest,
     "esp: { peers: { address: 198.51.100.11, out: { spi: 255, key: " KEY_A " } } }",
     {"t.yaml:4:53: esp.peers.out.spi: '255' is not an SPI in 256..4294967295 (0x100..0xffffffff)"}},
    {"spi_is_too_large",
     Part::kRest,
     "esp: { peers: { address: 198.51.100.11, out: { spi: 0x100000000, key: " KEY_A " } } }",
     {"t.yaml:4:53: esp.peers.out.spi: '0x100000000' is not an SPI in 256..4294967295 (0x100..0xffffffff)"}},
    {"no_spi_for_each_worker",
     Part::kRest,
     "runtime: { workers: [1, 2, 3] }\n"
     "esp: { peers: { address: 198.51.100.11, out: { spi: 0xfffffffe, key: " KEY_A " } } }",
     {"t.yaml:5:53: esp.peers.out.spi: 0xfffffffe leaves no SPI for each of the 3 workers behind it"}},
    {"a_key_without_its_salt",
     Part::kRest,
     "esp: { peers: { address: 198.51.100.11, out: { spi: 256, key: 0x000102030405060708090a0b0c0d0e0f } } }",
     {"t.yaml:4:63: esp.peers.out.key: is not 0x and 40 or 72 hex digits (a key of AES-128 or AES-256, and its salt of "
      "4 "
      "bytes)"}},
    {"a_key_with_a_letter_too_far",
     Part::kRest,
     "esp: { peers: { address: 198.51.100.11, out: { spi: 256, key: 0x000102030405060708090a0b0c0d0e0f1011121g } } }",
     {"t.yaml:4:63: esp.peers.out.key: is not 0x and 40 or 72 hex digits (a key of AES-128 or AES-256, and its salt of "
      "4 "
      "bytes)"}},
    {"neither_key_nor_file",
     Part::kRest,
     "esp: { peers: { address: 198.51.100.11, out: { spi: 256 } } }",
     {"t.yaml:4:46: esp.peers.out: none of the keys key, key_file; exactly one is needed"}},
    {"no_outbound",
     Part::kRest,
     "esp: { peers: { address: 198.51.100.11 } }",
     {"t.yaml:4:15: esp.peers: required key 'out' is missing"}},
    {"peer_at_a_group",
     Part::kRest,
     "esp: { peers: { address: 224.0.0.1, out: { spi: 256, key: " KEY_A " } } }",
     {"t.yaml:4:26: esp.peers.address: 224.0.0.1 is not the address of a backend"}},
    {"peer_twice",
     Part::kRest,
     "esp: { peers: [ { address: 198.51.100.11, out: { spi: 256, key: " KEY_A " } },\n"
     "  { address: 198.51.100.11, out: { spi: 256, key: " KEY_B " } } ] }",
     {"t.yaml:5:14: esp.peers[1].address: 198.51.100.11 is given twice"}},
    {"one_key_for_two",
     Part::kRest,
     "esp: { peers: [ { address: 198.51.100.11, out: { spi: 256, key: " KEY_A " } },\n"
     "  { address: 198.51.100.12, out: { spi: 257, key: " KEY_A " } } ] }",
     {"t.yaml:5:51: esp.peers[1].out.key: is the key of esp.peers[0].out; each association needs one of its own"}},
    {"one_key_both_ways",
     Part::kRest,
     "esp: { peers: { address: 198.51.100.11, out: { spi: 256, key: " KEY_A " },\n"
     "  in: { spi: 256, key: " KEY_A " } } }",
     {"t.yaml:5:24: esp.peers.in.key: is the key of esp.peers.out; each association needs one of its own"}},
    {"a_backend_that_is_no_peer",
     Part::kServices,
     R"(services: { web: { listen: "198.51.100.80:80", forward: { mode: esp, pool: web } } })",
     {"t.yaml:2:38: pools.web.backends.address: no peer of 'esp' has 198.51.100.11, which mode esp of service 'web' "
      "needs"}},
    {"one_inbound_spi_for_two",
     Part::kRest,
     "esp: { peers: { address: 198.51.100.11, out: { spi: 256, key: " KEY_A " },\n"
     "  in: [ { spi: 0x100, key_file: /a }, { spi: 0x100, key_file: /b } ] } }",
     {"t.yaml:5:46: esp.peers.in[1].spi: 0x100 is taken by esp.peers.in[0]"}},
};
INSTANTIATE_TEST_SUITE_P(Esp, ErrorText, ::testing::ValuesIn(kEsp), row_name);

TEST(Esp, BackendsAreProbedAtTheirOwnAddressesAndNeedAPort) {
  constexpr std::string_view kText = R"(
interfaces: { edge: { device: net_null0, addresses: [198.51.100.2/24] } }
pools: { web: { backends: { address: 198.51.100.11 }, health: { HEALTH } } }
services: { web: { listen: "203.0.113.10:80", forward: { mode: esp, pool: web } } }
esp: { peers: { address: 198.51.100.11, out: { spi: 256, key: )" KEY_A " } } }\n";
  const auto with = [&](std::string_view health) {
    std::string text(kText);
    text.replace(text.find("HEALTH"), 6, health);
    const auto loaded = load_text(text, "t.yaml");
    return loaded ? "" : sluice::config::text(loaded.error());
  };
  EXPECT_EQ(with("tcp: {}, port: 80"), "");
  EXPECT_EQ(with("tcp: {}"),
            "t.yaml:3:63: pools.web.health: backend '198.51.100.11' has no port to probe; add 'port' here\n");
}

class EspKeyFiles : public ::testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string file(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
    return (folder_ / name).string();
  }
  static Config config(const std::string& out, const std::string& in) {
    const auto yaml = file_with(Part::kRest, fmt::format("esp: {{ peers: {{ address: 198.51.100.11,\n"
                                                         "  out: {{ spi: 4096, esn: on, {} }},\n"
                                                         "  in: {{ spi: 0x2000, {} }} }} }}",
                                                         out, in));
    auto loaded = load_text(yaml, "t.yaml");
    EXPECT_TRUE(loaded.has_value()) << text(loaded.error());
    return loaded.value_or(Config{});
  }

  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / fmt::format("sluice-esp-keys-{}", ::getpid());
};

TEST_F(EspKeyFiles, AreRead) {
  Config read = config("key_file: " + file("out", KEY_B "\n"), "key: " KEY_A);
  EXPECT_THAT(check_files(read), IsEmpty());
  ASSERT_THAT(read_esp_keys(read), IsEmpty());
  ASSERT_THAT(read.esp.peers, SizeIs(1));
  const EspPeer& peer = read.esp.peers[0];
  EXPECT_EQ(peer.out.spi, 4096u);
  EXPECT_TRUE(peer.out.extended);
  EXPECT_THAT(peer.out.key, SizeIs(36));
  EXPECT_EQ(peer.out.key.front(), 0xff);
  EXPECT_EQ(peer.out.key.back(), 0xdd);
  ASSERT_THAT(peer.in, SizeIs(1));
  EXPECT_EQ(peer.in[0].spi, 0x2000u);
  EXPECT_FALSE(peer.in[0].extended);
  EXPECT_THAT(peer.in[0].key, SizeIs(20));
  EXPECT_EQ(find_esp_peer(read, peer.address), &peer);
}

TEST_F(EspKeyFiles, ErrorsNameTheFileAndNotTheKey) {
  const std::string out = file("out", KEY_A), in = file("in", "0x1234"), none = (folder_ / "none").string();
  Config bad = config("key_file: " + none, "key_file: " + in);
  const ConfigErrors errors = read_esp_keys(bad);
  ASSERT_THAT(errors, SizeIs(2));
  EXPECT_EQ(errors[0].text(),
            fmt::format("t.yaml:5:40: esp.peers.out.key_file: '{}': No such file or directory", none));
  EXPECT_EQ(
      errors[1].text(),
      fmt::format("t.yaml:6:32: esp.peers.in.key_file: what '{}' holds is not 0x and 40 or 72 hex digits (a key of "
                  "AES-128 or AES-256, and its salt of 4 bytes)",
                  in));
  Config same = config("key_file: " + out, "key: " KEY_A);
  const ConfigErrors again = read_esp_keys(same);
  ASSERT_THAT(again, SizeIs(1));
  EXPECT_EQ(again[0].text(),
            fmt::format("t.yaml:5:40: esp.peers.out.key_file: '{}' holds the key of esp.peers[0].in[0]; "
                        "each association needs one of its own",
                        out));
}

}  // namespace
}  // namespace sluice::config
