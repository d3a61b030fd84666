// Mode esp over several workers, and when its associations change or end: what the golden cases do not show.
#include "sluice/net/esp.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <set>

#include <gtest/gtest.h>

#include "lab.h"
#include "sluice/esp/transform.h"
#include "sluice/net/checksum.h"
#include "sluice/net/parse.h"

namespace sluice::dataplane {
namespace {

constexpr std::size_t kEspAt = 34;  // behind Ethernet and IPv4

std::string esp_config(const std::string& peers, const std::string& workers = "[0]") {
  const std::string backend = peers.find("100.12") != std::string::npos ? "198.51.100.12" : "198.51.100.11";
  return edge_config("pools: { web: { backends: { name: web, address: " + backend + R"( } } }
services: { web: { listen: "203.0.113.10:53/udp", forward: { mode: esp, pool: web } } }
esp: { peers: [ )" + peers +
                         " ] }\n",
                     "workers: " + workers + ", flows: 1024");
}
const std::string kPeer =
    "{ address: 198.51.100.11, out: { spi: 0x1000, key: 0x000102030405060708090a0b0c0d0e0f10111213 }, "
    "in: { spi: 0x2000, key: 0x202122232425262728292a2b2c2d2e2f30313233 } }";

net::EspHeader esp_of(const Bytes& frame) {
  net::EspHeader header{};
  std::memcpy(&header, frame.data() + kEspAt, sizeof header);
  return header;
}

// RFC 2473 section 7.1, of a tunnel that encrypts: what is sealed is cut.
TEST(EspMode, Ip6HasItsLeastMtu) {
  for (const char* backend : {"198.51.100.11", "2001:db8:1::11"}) {
    std::string peer = kPeer;
    peer.replace(peer.find("198.51.100.11"), 13, "\"" + std::string(backend) + "\"");
    Lab lab(narrow_config("mode: esp", backend) + "esp: { peers: [ " + peer + " ] }\n");
    lab.put(query6(1000));
    lab.put(query6(1280));
    lab.put(query6(1001));
    lab.run();
    std::vector<Bytes> out = lab.sent();
    ASSERT_EQ(out.size(), 4u) << backend;
    Bytes payload = joined_payload({out[1], out[2]});

    Bytes key(20);
    std::iota(key.begin(), key.end(), std::uint8_t{0});
    esp::GcmEngine engine = esp::GcmEngine::create().value();
    esp::InboundSa sa(0x1000, false, esp::GcmKey::expand(key).value());
    esp::Incoming incoming{.sa = &sa, .esp = payload.data(), .esp_bytes = payload.size()};
    esp::open(engine, {&incoming, 1});
    ASSERT_EQ(incoming.result, esp::OpenResult::kGood) << backend;
    Bytes want = query6(1280);
    --want[21];
    EXPECT_EQ(Bytes(incoming.inner.begin(), incoming.inner.end()), Bytes(want.begin() + 14, want.end()));
    EXPECT_EQ(lab.drops(), 0u);
    EXPECT_EQ(lab.counters().esp_sealed.read(), 3u);
    EXPECT_EQ(word_at(lab.exchange(query6(1281)).at(0), 14 + 40 + 4), 1280u);
  }
}

// A backend's answer in ESP.
class Peer {
 public:
  [[nodiscard]] Bytes answer(std::uint64_t number) {
    const Bytes inner_frame = from_backend(ip4(kService, kClient).udp(53, 40000, {9}));
    const Bytes inner(inner_frame.begin() + 14, inner_frame.end());
    Bytes esp(sizeof(net::EspHeader));
    esp.insert(esp.end(), inner.begin(), inner.end());
    esp.resize(esp.size() + net::kMaxEspTailBytes);
    const esp::Outgoing outgoing{&sa_, number, esp.data() + sizeof(net::EspHeader), inner.size(), esp::kNextIp4};
    esp::seal(engine_, {&outgoing, 1}, 0);
    esp.resize(sizeof(net::EspHeader) + inner.size() + net::esp_tail_bytes(inner.size()));
    Bytes frame = from_backend(ip4("198.51.100.11", "198.51.100.2").udp(1, 1, Bytes(esp.size() - 8)));
    std::copy(esp.begin(), esp.end(), frame.begin() + kEspAt);
    frame[23] = 50;
    frame[24] = frame[25] = 0;
    const std::uint16_t sum = net::checksum(std::span(frame).subspan(14, 20)).host();
    frame[24] = static_cast<std::uint8_t>(sum >> 8);
    frame[25] = static_cast<std::uint8_t>(sum);
    return frame;
  }

 private:
  static Bytes material() {
    Bytes out(20);
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::uint8_t>(0x20 + i);
    return out;
  }
  esp::GcmEngine engine_ = esp::GcmEngine::create().value();
  esp::OutboundSa sa_{.spi = 0x2000, .extended = false, .key = esp::GcmKey::expand(material()).value(), .use = nullptr};
};

TEST(EspMode, EveryWorkerHasAnSpiOfItsOwnAndNoIvComesTwice) {
  Lab lab(esp_config(kPeer, "[0, 0, 0]"));
  std::set<std::uint32_t> spis;
  std::set<std::pair<std::uint32_t, std::uint32_t>> ivs;
  for (std::uint16_t port = 40000; port < 40060; ++port) {
    const std::vector<Bytes> out = lab.exchange(query(port));
    ASSERT_EQ(out.size(), 1u);
    const net::EspHeader esp = esp_of(out[0]);
    spis.insert(esp.spi.host());
    EXPECT_EQ(esp.iv_high.host() >> 16, esp.spi.host() - 0x1000);
    EXPECT_EQ(esp.iv_low, esp.sequence);
    EXPECT_TRUE(ivs.emplace(esp.iv_high.host(), esp.iv_low.host()).second);
  }
  EXPECT_EQ(spis, (std::set<std::uint32_t>{0x1000, 0x1001, 0x1002}));
  EXPECT_EQ(lab.drops(), 0u);
}

// Packets amid a connection take the shortest way, and of each what it is itself is sealed.
TEST(EspMode, SegmentsAmidAConnectionAreSealedAsTheyAre) {
  Lab lab(
      edge_config("pools: { web: { backends: { name: web, address: 198.51.100.11 } } }\n"
                  "services: { web: { listen: \"203.0.113.10:80\", forward: { mode: esp, pool: web } } }\n"
                  "esp: { peers: [ " +
                      kPeer + " ] }\n",
                  "workers: [0], flows: 1024"));
  const auto segment = [](std::uint16_t port, std::size_t bytes) {
    return from_client(ip4(kClient, kService).tcp(port, 80, net::kTcpAck, 2, 2, Bytes(bytes, 'x')));
  };
  for (const std::uint16_t port : {std::uint16_t{40000}, std::uint16_t{40001}}) {
    (void)lab.exchange(syn(port));
    (void)lab.exchange(segment(port, 0));
  }
  Bytes key(20);
  std::iota(key.begin(), key.end(), std::uint8_t{0});
  esp::GcmEngine engine = esp::GcmEngine::create().value();
  esp::InboundSa sa(0x1000, false, esp::GcmKey::expand(key).value());
  for (const std::size_t bytes : {10u, 701u, 0u, 1301u}) {
    const Bytes sent = segment(static_cast<std::uint16_t>(40000 + bytes % 2), bytes);
    std::vector<Bytes> out = lab.exchange(sent);
    ASSERT_EQ(out.size(), 1u) << bytes;
    esp::Incoming incoming{.sa = &sa, .esp = out[0].data() + kEspAt, .esp_bytes = out[0].size() - kEspAt};
    esp::open(engine, {&incoming, 1});
    ASSERT_EQ(incoming.result, esp::OpenResult::kGood) << bytes;
    const net::Parsed inner = net::parse_ip(incoming.inner);
    EXPECT_EQ(inner.payload_len(), bytes);
    EXPECT_EQ(inner.ttl, 63);
    EXPECT_EQ(inner.src.text(), kClient);
  }
  EXPECT_EQ(lab.drops(), 0u);
}

TEST(EspMode, AFullBurstIsSealedInOrder) {
  Lab lab(esp_config(kPeer));
  for (std::uint16_t i = 0; i < 100; ++i) lab.put(query(static_cast<std::uint16_t>(40000 + i % 7)));
  lab.run();
  const std::vector<Bytes> out = lab.sent();
  ASSERT_EQ(out.size(), 100u);
  std::set<std::uint32_t> numbers;
  for (const Bytes& frame : out) numbers.insert(esp_of(frame).sequence.host());
  EXPECT_EQ(numbers.size(), 100u);
  EXPECT_EQ(*numbers.rbegin(), 100u);
  EXPECT_EQ(lab.counters().esp_sealed.read(), 100u);
}

TEST(EspMode, OneWorkerHasAllPacketsOfAnAssociation) {
  Lab lab(esp_config(kPeer, "[0, 0, 0]"), {.queues = 3});
  Peer peer;
  const Bytes first = peer.answer(5), second = peer.answer(6);
  for (std::uint16_t queue = 0; queue < 3; ++queue) {
    lab.put(first, 0, queue);
    lab.put(second, 0, queue);
  }
  lab.run();
  EXPECT_EQ(lab.sent().size(), 2u);
  EXPECT_EQ(lab.drops(Drop::kEspReplayed), 4u);
}

TEST(EspMode, ANewKeySealsFromTheNextPacketOn) {
  Lab lab(esp_config(kPeer));
  EXPECT_EQ(esp_of(lab.exchange(query(40000)).at(0)).sequence.host(), 1u);
  std::string changed = kPeer;
  changed.replace(changed.find("0x1000"), 6, "0x1100");
  changed.replace(changed.find("0x0001"), 6, "0xff01");
  lab.reload(esp_config(changed));
  const net::EspHeader renewed = esp_of(lab.exchange(query(40000)).at(0));
  EXPECT_EQ(renewed.spi.host(), 0x1100u);
  EXPECT_EQ(renewed.sequence.host(), 1u);
  lab.reload(esp_config(kPeer));
  const net::EspHeader back = esp_of(lab.exchange(query(40000)).at(0));
  EXPECT_EQ(back.spi.host(), 0x1000u);
  EXPECT_EQ(back.sequence.host(), 2u) << "the key has been used before";
}

TEST(EspMode, AnswersGoOnOverAChangeOfTheConfiguration) {
  Lab lab(esp_config(kPeer));
  Peer peer;
  EXPECT_EQ(lab.exchange(peer.answer(1)).size(), 1u);
  lab.reload(esp_config(kPeer));
  EXPECT_EQ(lab.exchange(peer.answer(1)).size(), 0u);
  EXPECT_EQ(lab.drops(Drop::kEspReplayed), 1u);
  EXPECT_EQ(lab.exchange(peer.answer(2)).size(), 1u);
  EXPECT_EQ(lab.counters().esp_opened.read(), 2u);
}

// No configuration is accepted in which a backend lacks a peer, and a flow that loses nothing by it leaves one that is gone
// at its next packet.
TEST(EspMode, APacketToABackendWithoutAPeerIsDropped) {
  Lab lab(esp_config(kPeer));
  EXPECT_EQ(lab.exchange(query(40000)).size(), 1u);
  const_cast<lb::Snapshot&>(lab.snapshot()).esp.outbound.at(0) = nullptr;  // the lab has one thread
  EXPECT_EQ(lab.exchange(query(40000)).size(), 0u);
  EXPECT_EQ(lab.exchange(query(40001)).size(), 0u);
  EXPECT_EQ(lab.drops(Drop::kEspNoPeer), 2u);
  EXPECT_EQ(lab.drops(), 2u);
  EXPECT_EQ(lab.counters().backends[0].failed.read(), 2u) << "by which control says whose peer is missing";
}

TEST(EspMode, AnotherBackendWithAnotherPeerTakesOver) {
  Lab lab(esp_config(kPeer));
  EXPECT_EQ(lab.exchange(query(40000)).size(), 1u);
  lab.reload(
      esp_config("{ address: 198.51.100.12, out: { spi: 0x1000, key: 0x000102030405060708090a0b0c0d0e0f10111214 } }"));
  EXPECT_EQ(lab.exchange(query(40001)).size(), 1u);
}

// Control refuses such a reload. If it came to that nevertheless: by this counter it can say which backend that was.
TEST(EspMode, AConnectionToABackendThatIsGoneWithItsPeerIsCountedThere) {
  const auto config = [](const std::string& peers) {
    std::string yaml = esp_config(peers);
    yaml.replace(yaml.find("203.0.113.10:53/udp"), 19, "203.0.113.10:80/tcp");
    return yaml;
  };
  Lab lab(config(kPeer));
  const auto segment = from_client(ip4(kClient, kService).tcp(40000, 80, net::kTcpAck));
  EXPECT_EQ(lab.exchange(segment).size(), 1u);
  lab.reload(
      config("{ address: 198.51.100.12, out: { spi: 0x1000, key: 0x000102030405060708090a0b0c0d0e0f10111214 } }"));
  EXPECT_EQ(lab.exchange(segment).size(), 0u);
  EXPECT_EQ(lab.drops(Drop::kEspNoPeer), 1u);
  EXPECT_EQ(lab.counters().backends[0].failed.read(), 1u);
  EXPECT_EQ(lab.counters().backends[1].failed.read(), 0u);
}

TEST(EspMode, AnAssociationWithoutNumbersSendsNothing) {
  Lab lab(esp_config(kPeer));
  EXPECT_EQ(lab.exchange(query(40000)).size(), 1u);
  lab.snapshot().esp.peers[0].out->use->reserve(1);
  EXPECT_EQ(lab.exchange(query(40000)).size(), 0u);
  EXPECT_EQ(lab.drops(Drop::kEspExhausted), 1u);
  lab.snapshot().esp.peers[0].out->use->reserve(2);
  EXPECT_EQ(lab.exchange(query(40000)).size(), 1u);
}

Bytes large_query() { return from_client(ip4(kClient, kService).udp(40000, 53, Bytes(1472))); }

TEST(EspMode, MoreFragmentsThanABurstHoldsAreSealedInOrder) {
  Lab lab(esp_config(kPeer));
  constexpr std::uint32_t kPackets = 32;
  for (std::uint32_t i = 0; i < kPackets; ++i) lab.put(large_query());
  lab.run();
  const std::vector<Bytes> out = lab.sent();
  ASSERT_EQ(out.size(), 2 * kPackets);
  for (std::uint32_t i = 0; i < out.size(); ++i) EXPECT_EQ(esp_of(out[i]).sequence.host(), i + 1);
  EXPECT_EQ(lab.counters().packets_cut.read(), kPackets);
  EXPECT_EQ(lab.drops(), 0u);
}

TEST(EspMode, EveryFragmentTakesANumber) {
  Lab lab(esp_config(kPeer));
  lab.snapshot().esp.peers[0].out->use->reserve(1);
  EXPECT_EQ(lab.exchange(large_query()).size(), 1u);
  EXPECT_EQ(lab.drops(Drop::kEspExhausted), 1u);
  EXPECT_EQ(lab.drops(), 1u);
}

TEST(EspMode, ABufferWithoutRoomAroundThePacketIsCounted) {
  Lab lab(esp_config(kPeer));
  const Bytes frame = query(40000);
  const auto sent_from = [&](std::size_t headroom) {
    return lab.exchange_with_headroom(frame, static_cast<std::uint16_t>(headroom)).size();
  };
  EXPECT_EQ(sent_from(82), 1u);
  EXPECT_EQ(sent_from(81), 0u);
  rte_mbuf* probe = lab.pool().alloc();
  const std::size_t whole = probe->buf_len - frame.size() - net::kMaxEspTailBytes;
  rte_pktmbuf_free(probe);
  EXPECT_EQ(sent_from(whole + 1), 0u);
  EXPECT_EQ(sent_from(whole), 1u);
  EXPECT_EQ(lab.drops(Drop::kNoHeadroom), 2u);
}

}  // namespace
}  // namespace sluice::dataplane
