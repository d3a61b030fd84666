// Mode `nat` between the families through the whole worker. (Whole packets and errors: golden cases and net's tests.)
#include <gtest/gtest.h>

#include "lab.h"
#include "sluice/base/random.h"
#include "sluice/net/parse.h"

namespace sluice::dataplane {
namespace {

using test::PacketBuilder;

constexpr const char *kClient4 = "192.0.2.7", *kService4 = "203.0.113.10", *kOwn4 = "198.51.100.2",
                     *kBackend4 = "198.51.100.11";
constexpr const char *kClient6 = "2001:db8:99::7", *kService6 = "2001:db8:5::10", *kOwn6 = "2001:db8:1::2",
                     *kBackend6 = "2001:db8:1::11";

std::string config(const std::string& runtime = "workers: [0], flows: 1024") {
  return "runtime: { " + runtime + R"( }
interfaces:
  edge: { device: net_null0, addresses: [198.51.100.2/24, "2001:db8:1::2/64"], gateway: [198.51.100.1, "2001:db8:1::1"] }
neighbors:
  - { interface: edge, address: 198.51.100.1, mac: "02:00:00:00:ff:01" }
  - { interface: edge, address: "2001:db8:1::1", mac: "02:00:00:00:ff:01" }
  - { interface: edge, address: 198.51.100.11, mac: "02:00:00:00:bb:01" }
  - { interface: edge, address: "2001:db8:1::11", mac: "02:00:00:00:bb:01" }
pools:
  four: { backends: { name: four1, address: 198.51.100.11, port: 8080 } }
  six: { backends: { name: six1, address: "2001:db8:1::11", port: 8080 } }
services:
  to4: { listen: ["[2001:db8:5::10]:80/tcp", "[2001:db8:5::10]:53/udp"], forward: { mode: nat, pool: four } }
  to6: { listen: ["203.0.113.10:80/tcp", "203.0.113.10:53/udp"], forward: { mode: nat, pool: six } }
)";
}

// The source port of a translated packet, which has no options or extension headers.
std::uint16_t port_of(const Bytes& frame) {
  const std::size_t at = frame[12] == 0x08 ? 34 : 54;
  return static_cast<std::uint16_t>(frame[at] << 8 | frame[at + 1]);
}

TEST(WorkerNat64, AFlowGoesAndComesBack) {
  Lab lab(config());
  const std::vector<Bytes> out = lab.exchange(from_client(ip6(kClient6, kService6).tcp(40000, 80)));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].size(), 14 + 40u);
  const std::vector<Bytes> back =
      lab.exchange(from_backend(ip4(kBackend4, kOwn4).tcp(8080, port_of(out[0]), net::kTcpSyn | net::kTcpAck, 9, 2)));
  const Bytes want = ip6(kService6, kClient6)
                         .link(kOurMac, kGatewayMac)
                         .ttl(63)
                         .tcp(80, 40000, net::kTcpSyn | net::kTcpAck, 9, 2)
                         .frame();
  EXPECT_EQ(back, std::vector<Bytes>(1, want));
  EXPECT_EQ(lab.counters().flows.read(), 1);
  EXPECT_EQ(lab.counters().tcp_flows_open.read(), 1);
  EXPECT_EQ(lab.counters().services[0].in.packets.read(), 1u);
  EXPECT_EQ(lab.counters().services[0].out.packets.read(), 1u);
  EXPECT_EQ(lab.counters().backends[0].out.packets.read(), 1u);
  EXPECT_EQ(lab.counters().backends[0].in.packets.read(), 1u);
  EXPECT_EQ(lab.drops(), 0u);
}

TEST(WorkerNat46, AFlowGoesAndComesBack) {
  Lab lab(config());
  const std::vector<Bytes> out = lab.exchange(from_client(ip4(kClient4, kService4).tcp(40000, 80)));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0], ip6(kOwn6, kBackend6).link(kOurMac, kBackendMac).ttl(63).tcp(port_of(out[0]), 8080).frame());
  const std::vector<Bytes> back =
      lab.exchange(from_backend(ip6(kBackend6, kOwn6).tcp(8080, port_of(out[0]), net::kTcpSyn | net::kTcpAck, 9, 2)));
  ASSERT_EQ(back.size(), 1u);
  const net::Parsed parsed = net::parse(back[0]);
  EXPECT_TRUE(parsed.ok() && net::l4_checksum_ok(back[0], parsed));
  EXPECT_EQ(parsed.src.text(), kService4);
  EXPECT_EQ(parsed.dst.text(), kClient4);
  EXPECT_EQ(parsed.src_port, 80);
  EXPECT_EQ(parsed.dst_port, 40000);
  EXPECT_EQ(parsed.ttl, 63);
  EXPECT_EQ(lab.drops(), 0u);
}

TEST(WorkerNat64, WhatHasNoOtherFormIsDropped) {
  Lab lab(config());
  (void)lab.exchange(from_client(ip4(kClient4, kService4).tcp(40000, 80)));
  const PacketBuilder rows[] = {
      ip6(kClient6, kService6).extension(43, {4, 1, 0, 0, 0, 0}).tcp(40000, 80),
      ip6(kClient6, kService6).udp(40000, 53, {1}).no_checksum(),
  };
  for (const PacketBuilder& row : rows) EXPECT_TRUE(lab.exchange(from_client(row)).empty());
  EXPECT_EQ(lab.drops(Drop::kUntranslatable), 2u);
  EXPECT_EQ(lab.drops(), 2u);
}

// An IPv6 header needs 20 bytes more than the IPv4 header that was there, unless that had options.
TEST(WorkerNat46, WithoutHeadroomNothingIsTranslated) {
  Lab lab(config());
  const Bytes plain = from_client(ip4(kClient4, kService4).tcp(40000, 80));
  const Bytes with_options = from_client(ip4(kClient4, kService4).options(Bytes(20, 1)).tcp(40000, 80));
  EXPECT_EQ(lab.exchange_with_headroom(plain, 20).size(), 1u);
  EXPECT_EQ(lab.exchange_with_headroom(with_options, 0).size(), 1u);
  EXPECT_TRUE(lab.exchange_with_headroom(plain, 19).empty());
  EXPECT_EQ(lab.drops(Drop::kNoHeadroom), 1u);
}

Bytes large_query(std::size_t bytes, std::uint16_t port = 40000) {
  return from_client(ip4(kClient4, kService4).set_ip(4, 0xab).set_ip(5, 0xcd).udp(port, 53, Bytes(bytes - 28)));
}

// RFC 7915 section 4: without DF it is cut for IPv6, where it would be too big.
TEST(WorkerNat46, APacketThatIsCutIsOnePacketOfItsFlow) {
  Lab lab(config());
  EXPECT_EQ(lab.exchange(large_query(1480)).size(), 1u);
  EXPECT_EQ(lab.counters().packets_cut.read(), 0u);
  const std::vector<Bytes> out = lab.exchange(large_query(1481));
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0].size(), 14 + 1496u);  // 48 bytes of headers, and eights
  EXPECT_EQ(out[1].size(), 14 + 48 + 1461 - 1448u);
  EXPECT_EQ(lab.counters().packets_cut.read(), 1u);
  EXPECT_EQ(lab.counters().services[0].in.packets.read() + lab.counters().services[1].in.packets.read(), 2u);
  EXPECT_EQ(lab.drops(), 0u);
}

// Clients that happen to choose one identifier have one source towards the backend.
TEST(WorkerNat46, FragmentsOfTwoClientsHaveDifferentIdentifiers) {
  Lab lab(config());
  std::vector<std::uint32_t> ids;
  for (const std::uint16_t port : std::initializer_list<std::uint16_t>{40000, 40001}) {
    const std::vector<Bytes> out = lab.exchange(large_query(1500, port));
    ASSERT_EQ(out.size(), 2u);
    EXPECT_EQ(net::parse(out[0]).fragment_id, net::parse(out[1]).fragment_id);
    EXPECT_EQ(net::parse(out[0]).fragment_id & 0xffff, 0xabcdu);
    ids.push_back(net::parse(out[0]).fragment_id);
  }
  EXPECT_NE(ids[0], ids[1]);
}

TEST(WorkerNat46, APacketWithoutABufferForEachFragmentIsCounted) {
  Lab lab(config());
  lab.put(large_query(1500));
  lab.run_with_buffers(1);
  EXPECT_EQ(lab.sent().size(), 1u);
  EXPECT_EQ(lab.drops(Drop::kNoMbuf), 1u);
  EXPECT_EQ(lab.drops(), 1u);
  EXPECT_EQ(lab.counters().packets_cut.read(), 0u);
}

// Refusals are in the client's family.
TEST(WorkerNat64, ASegmentAmidAnUnknownFlowIsReset) {
  Lab lab(config());
  for (const PacketBuilder& row : {ip6(kClient6, kService6).tcp(40000, 80, net::kTcpAck, 5, 5),
                                   ip4(kClient4, kService4).tcp(40000, 80, net::kTcpAck, 5, 5)}) {
    const std::vector<Bytes> out = lab.exchange(from_client(row));
    ASSERT_EQ(out.size(), 1u);
    const net::Parsed parsed = net::parse(out[0]);
    EXPECT_EQ(parsed.tcp_flags, net::kTcpRst);
    EXPECT_EQ(parsed.dst, net::parse(row.frame()).src);
  }
  EXPECT_EQ(lab.drops(Drop::kNoFlow), 2u);
}

TEST(WorkerNat64, AFlowHasOneOwner) {
  Lab lab(config("workers: [0, 1, 1, 2], flows: 4096"), {.queues = 2});
  for (std::uint16_t port = 3000; port < 3100; ++port) {
    for (std::uint16_t queue = 0; queue < 2; ++queue)
      lab.put(from_client(ip6(kClient6, kService6).tcp(port, 80)), 0, queue);
    lab.run();
    const std::vector<Bytes> out = lab.sent();
    ASSERT_EQ(out.size(), 2u);
    EXPECT_EQ(out[0], out[1]);
    lab.put(from_backend(ip4(kBackend4, kOwn4).tcp(8080, port_of(out[0]), net::kTcpSyn | net::kTcpAck, 9, 2)));
    lab.run();
    EXPECT_EQ(lab.sent().size(), 1u);
  }
  EXPECT_EQ(lab.drops(), 0u);
}

// The two halves of the connection are of two families.
TEST(WorkerNat64, TheSynProxyStandsBetween) {
  std::string yaml = config();
  yaml.insert(yaml.find("forward:"), "syn_proxy: always, ");
  Lab lab(yaml);
  const auto tcp_of = [](const Bytes& frame) {
    const net::Parsed parsed = net::parse(frame);
    EXPECT_TRUE(parsed.ok() && net::l4_checksum_ok(frame, parsed));
    return net::header_at<net::TcpHeader>(std::span<const std::uint8_t>(frame), parsed.l4_offset);
  };
  const auto family_of = [](const Bytes& frame) { return net::parse(frame).family; };
  const auto client = [&](std::uint8_t flags, std::uint32_t sequence, std::uint32_t acknowledgment, Bytes data = {}) {
    return lab.exchange(
        from_client(ip6(kClient6, kService6).tcp(40000, 80, flags, sequence, acknowledgment, std::move(data))));
  };
  const std::vector<Bytes> cookie = client(net::kTcpSyn, 1000, 0);
  ASSERT_EQ(cookie.size(), 1u);
  const std::uint32_t ours = tcp_of(cookie[0]).sequence.host();
  EXPECT_EQ(family_of(cookie[0]), net::Family::kIp6);
  const std::vector<Bytes> opening = client(net::kTcpAck, 1001, ours + 1);
  ASSERT_EQ(opening.size(), 1u);
  EXPECT_EQ(family_of(opening[0]), net::Family::kIp4);
  EXPECT_EQ(tcp_of(opening[0]).flags, net::kTcpSyn);
  const auto backend = [&](std::uint8_t flags, std::uint32_t sequence, std::uint32_t acknowledgment, Bytes data = {}) {
    return lab.exchange(from_backend(
        ip4(kBackend4, kOwn4).tcp(8080, port_of(opening[0]), flags, sequence, acknowledgment, std::move(data))));
  };
  EXPECT_EQ(backend(net::kTcpSyn | net::kTcpAck, 7000, 1001).size(), 2u);  // to the backend, and to the client
  const std::vector<Bytes> question = client(net::kTcpAck, 1001, ours + 1, {1, 2, 3});
  ASSERT_EQ(question.size(), 1u);
  EXPECT_EQ(family_of(question[0]), net::Family::kIp4);
  EXPECT_EQ(tcp_of(question[0]).sequence.host(), 1001u);
  EXPECT_EQ(tcp_of(question[0]).acknowledgment.host(), 7001u);
  const std::vector<Bytes> answer = backend(net::kTcpAck, 7001, 1004, {4, 5});
  ASSERT_EQ(answer.size(), 1u);
  EXPECT_EQ(family_of(answer[0]), net::Family::kIp6);
  EXPECT_EQ(tcp_of(answer[0]).sequence.host(), ours + 1);
  EXPECT_EQ(tcp_of(answer[0]).acknowledgment.host(), 1004u);
  EXPECT_EQ(lab.drops(), 0u);
}

// Whatever stands in the quoted packet, and wherever it is cut off (AddressSanitizer watches).
TEST(WorkerNat64, AnyQuotedBytesDoNoHarm) {
  Lab lab(config());
  const Bytes sent4 = lab.exchange(from_client(ip6(kClient6, kService6).tcp(40000, 80))).at(0);
  const Bytes sent6 = lab.exchange(from_client(ip4(kClient4, kService4).tcp(40000, 80))).at(0);
  Random random(1);
  for (int round = 0; round < 20'000; ++round) {
    const bool from4 = round % 2 == 0;
    const Bytes& sent = from4 ? sent4 : sent6;
    Bytes quoted(sent.begin() + 14, sent.end());
    const auto size = static_cast<std::uint32_t>(quoted.size());
    for (std::uint32_t changes = random.below(4); changes > 0; --changes) {
      quoted[random.below(size)] = static_cast<std::uint8_t>(random.next());
    }
    quoted.resize(random.below(size + 1400));
    const auto rest = static_cast<std::uint32_t>(random.next());
    const std::uint8_t types4[] = {3, 11, 12}, types6[] = {1, 2, 3, 4};
    const auto code = static_cast<std::uint8_t>(random.below(16));
    const Bytes error =
        from4 ? from_backend(ip4(kBackend4, kOwn4).icmp(types4[random.below(3)], code, rest, std::move(quoted)))
              : from_backend(ip6(kBackend6, kOwn6).icmp(types6[random.below(4)], code, rest, std::move(quoted)));
    for (const Bytes& out : lab.exchange(error)) {
      const net::Parsed parsed = net::parse(out);
      ASSERT_TRUE(parsed.ok());
      ASSERT_TRUE(net::l4_checksum_ok(out, parsed));
      ASSERT_LE(parsed.l3_len(), from4 ? 1280u : 576u);
    }
  }
  EXPECT_GT(lab.counters().icmp_errors_passed.read(), 1000u);
}

}  // namespace
}  // namespace sluice::dataplane
