#include "sluice/esp/transform.h"

#include <string>

#include <gtest/gtest.h>

#include "manager.h"
#include "reference.h"

namespace sluice::esp {
namespace {

using test::Bytes;
using test::Esp;
using test::esp_packet;
using test::from_hex;
using test::pattern;

const Bytes kMaterial128 = pattern(16 + kSaltBytes, 11);
const Bytes kMaterial256 = pattern(32 + kSaltBytes, 200);

// An inner packet with the room that seal() asks for.
struct Packet {
  explicit Packet(const Bytes& inner_) : inner(inner_), bytes(sizeof(net::EspHeader)) {
    test::append(bytes, inner);
    bytes.resize(bytes.size() + net::kMaxEspTailBytes);
  }
  Bytes inner;
  Bytes bytes;

  [[nodiscard]] Outgoing outgoing(const OutboundSa& sa, std::uint64_t sequence, std::uint8_t next) {
    return {&sa, sequence, bytes.data() + sizeof(net::EspHeader), inner.size(), next};
  }
  [[nodiscard]] Bytes sealed() const {
    const auto size = sizeof(net::EspHeader) + inner.size() + net::esp_tail_bytes(inner.size());
    return {bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size)};
  }
};

OutboundSa outbound(std::uint32_t spi, const Bytes& material, bool extended) {
  return {
      .spi = spi, .extended = extended, .key = GcmKey::expand(material).value(), .use = std::make_shared<KeyUse>(4, 0)};
}
InboundSa inbound(std::uint32_t spi, const Bytes& material, bool extended) {
  return {spi, extended, GcmKey::expand(material).value()};
}

struct SealCase {
  std::string name;
  const Bytes& material;
  bool extended;
  std::size_t worker;
  std::uint64_t sequence;
  std::uint64_t iv;  // that it should have
};
const SealCase kSealCases[] = {
    {"aes128", kMaterial128, false, 0, 1, 1},
    {"aes256", kMaterial256, false, 0, 1, 1},
    {"last_number", kMaterial128, false, 0, kMaxSequence, 0xffffffff},
    {"second_worker", kMaterial128, false, 1, 7, 0x0001000000000007},
    {"extended", kMaterial256, true, 0, 0x500000002, 0x500000002},
    {"last_extended_number", kMaterial128, true, 3, kMaxExtendedSequence, 0x0003ffffffffffff},
};
class Seal : public testing::TestWithParam<SealCase> {};
INSTANTIATE_TEST_SUITE_P(Cases, Seal, testing::ValuesIn(kSealCases), [](const auto& one) { return one.param.name; });

// All lengths of padding, and sizes around the strides of the cipher.
TEST_P(Seal, MakesWhatOpenSslMakes) {
  const SealCase& row = GetParam();
  GcmEngine engine = GcmEngine::create().value();
  const OutboundSa sa = outbound(0x1000, row.material, row.extended);
  for (const std::size_t bytes : {20u, 21u, 22u, 23u, 40u, 64u, 127u, 128u, 255u, 256u, 1400u, 1461u, 9000u}) {
    Packet packet(pattern(bytes));
    const Outgoing outgoing = packet.outgoing(sa, row.sequence, kNextIp4);
    seal(engine, {&outgoing, 1}, row.worker);
    const Esp esp{.material = row.material,
                  .spi = 0x1000 + static_cast<std::uint32_t>(row.worker),
                  .sequence = row.sequence,
                  .extended = row.extended,
                  .iv = row.iv};
    EXPECT_EQ(packet.sealed(), esp_packet(esp, packet.inner, kNextIp4)) << bytes;
  }
}

TEST_P(Seal, IsUndoneByOpen) {
  const SealCase& row = GetParam();
  GcmEngine engine = GcmEngine::create().value();
  const OutboundSa sa = outbound(0x1000, row.material, row.extended);
  InboundSa back = inbound(0x1000 + static_cast<std::uint32_t>(row.worker), row.material, row.extended);
  if (row.sequence > 1) {
    ASSERT_TRUE(back.window.accept(row.sequence - 1));
  }
  Packet packet(pattern(333));
  const Outgoing outgoing = packet.outgoing(sa, row.sequence, kNextIp6);
  seal(engine, {&outgoing, 1}, row.worker);
  Bytes wire = packet.sealed();
  Incoming incoming{.sa = &back, .esp = wire.data(), .esp_bytes = wire.size()};
  open(engine, {&incoming, 1});
  ASSERT_EQ(incoming.result, OpenResult::kGood);
  EXPECT_EQ(incoming.next_header, kNextIp6);
  EXPECT_EQ(Bytes(incoming.inner.begin(), incoming.inner.end()), packet.inner);
}

// Bursts of every size: the ring of jobs behind the engine ends somewhere amid one of them.
TEST(SealBursts, OfAnySizeAndSeveralKeys) {
  GcmEngine engine = GcmEngine::create().value();
  const OutboundSa sas[] = {outbound(0x1000, kMaterial128, false), outbound(0x2000, kMaterial256, true)};
  std::uint64_t sequence = 0;
  for (std::size_t round = 0; round < 200; ++round) {
    const std::size_t count = round * 7 % kMaxBurst + 1;
    std::vector<Packet> packets;
    std::vector<Outgoing> burst;
    const std::uint64_t first = sequence;
    for (std::size_t i = 0; i < count; ++i)
      packets.emplace_back(pattern(60 + i * 13, static_cast<std::uint8_t>(round)));
    for (std::size_t i = 0; i < count; ++i) burst.push_back(packets[i].outgoing(sas[i % 2], ++sequence, kNextIp4));
    seal(engine, burst, 0);
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint64_t number = first + i + 1;
      const Esp esp{.material = i % 2 == 0 ? kMaterial128 : kMaterial256,
                    .spi = i % 2 == 0 ? 0x1000u : 0x2000u,
                    .sequence = number,
                    .extended = i % 2 != 0,
                    .iv = number};
      ASSERT_EQ(packets[i].sealed(), esp_packet(esp, packets[i].inner, kNextIp4)) << round << ' ' << i;
    }
  }
}

// The first packet of draft-mcgrew-gcm-test-01: an extended number whose low half is 0, and an IV that is not it.
TEST(Open, KnownPacketOfAnotherMaker) {
  const Bytes material = from_hex("4c80cdefbb5d10da906ac73c3613a634 2e443b68");
  Bytes wire = from_hex(
      "00004321 00000000 4956ed7e3b244cfe"
      "fecf537e729d5b07dc30df528dd22b768d1b98736696a6fd348509fa13ceac34cfa2436f14a3f3cf65925bf1f4a13c5d"
      "15b21e1884f5ff6247aeabb786b93bce61bc17d768fd9732459018148f6cbe722fd04796562dfdb4");
  InboundSa sa = inbound(0x4321, material, true);
  ASSERT_TRUE(sa.window.accept(0x8765432100000000 - 1));
  GcmEngine engine = GcmEngine::create().value();
  Incoming incoming{.sa = &sa, .esp = wire.data(), .esp_bytes = wire.size()};
  open(engine, {&incoming, 1});
  // Its plaintext ends with padding 1, 2, of length 2, and a next header of 1.
  ASSERT_EQ(incoming.result, OpenResult::kGood);
  EXPECT_EQ(incoming.next_header, 1);
  EXPECT_EQ(Bytes(incoming.inner.begin(), incoming.inner.end()),
            from_hex("45000048699a000080114db7c0a80102c0a801010a9bf15638d3010000010000"
                     "00000000045f736970045f756470037369700963796265726369747902646b0000210001"));
}

struct OpenCase {
  std::string name;
  OpenResult want;
  void (*change)(Bytes& wire);
};
const OpenCase kOpenCases[] = {
    {"unchanged", OpenResult::kGood, [](Bytes&) {}},
    {"empty", OpenResult::kTruncated, [](Bytes& wire) { wire.clear(); }},
    {"header_alone", OpenResult::kTruncated, [](Bytes& wire) { wire.resize(16); }},
    {"no_trailer", OpenResult::kTruncated, [](Bytes& wire) { wire.resize(32); }},
    {"not_of_whole_words", OpenResult::kTruncated, [](Bytes& wire) { wire.pop_back(); }},
    {"cut_by_a_word", OpenResult::kForged, [](Bytes& wire) { wire.resize(wire.size() - 4); }},
    {"number_of_zero", OpenResult::kReplayed, [](Bytes& wire) { wire[7] = 0; }},
    {"another_number", OpenResult::kForged, [](Bytes& wire) { wire[7] ^= 2; }},
    {"another_spi", OpenResult::kForged, [](Bytes& wire) { wire[0] ^= 1; }},
    {"another_iv", OpenResult::kForged, [](Bytes& wire) { wire[15] ^= 1; }},
    {"first_byte_of_text", OpenResult::kForged, [](Bytes& wire) { wire[16] ^= 0x80; }},
    {"last_byte_of_tag", OpenResult::kForged, [](Bytes& wire) { wire.back() ^= 1; }},
    {"first_byte_of_tag", OpenResult::kForged, [](Bytes& wire) { wire[wire.size() - 16] ^= 1; }},
};
class Open : public testing::TestWithParam<OpenCase> {};
INSTANTIATE_TEST_SUITE_P(Cases, Open, testing::ValuesIn(kOpenCases), [](const auto& one) { return one.param.name; });

TEST_P(Open, JudgesWhatCame) {
  Bytes wire = esp_packet({.material = kMaterial128, .spi = 0x2000, .sequence = 1, .extended = false, .iv = 1},
                          pattern(100), kNextIp4);
  GetParam().change(wire);
  InboundSa sa = inbound(0x2000, kMaterial128, false);
  GcmEngine engine = GcmEngine::create().value();
  Incoming incoming{.sa = &sa, .esp = wire.data(), .esp_bytes = wire.size()};
  open(engine, {&incoming, 1});
  EXPECT_EQ(incoming.result, GetParam().want);
  // Nothing but a good packet moves the window: who cannot seal cannot silence those who can.
  EXPECT_EQ(sa.window.highest(), GetParam().want == OpenResult::kGood ? 1u : 0u);
}

TEST(OpenPadding, IsLookedAt) {
  const Bytes nonce = from_hex("0b121920 00000000 00000001");
  struct Row {
    std::string tail;
    OpenResult want;
  };
  for (const Row& row : {Row{"01 02 02 04", OpenResult::kGood}, Row{"00 00 00 04", OpenResult::kGood},
                         Row{"02 01 02 04", OpenResult::kPadding}, Row{"00 00 02 04", OpenResult::kPadding},
                         Row{"01 02 ff 04", OpenResult::kPadding}, Row{"01 02 22 04", OpenResult::kPadding}}) {
    Bytes text = pattern(28, 64);
    test::append(text, from_hex(row.tail));
    Bytes material = kMaterial128;
    std::copy(nonce.begin(), nonce.begin() + 4, material.end() - 4);
    Bytes wire = from_hex("00002000 00000001 0000000000000001");
    const Bytes sealed = test::gcm_seal(std::span(material).first(16), nonce, from_hex("00002000 00000001"), text);
    test::append(wire, sealed);
    InboundSa sa = inbound(0x2000, material, false);
    GcmEngine engine = GcmEngine::create().value();
    Incoming incoming{.sa = &sa, .esp = wire.data(), .esp_bytes = wire.size()};
    open(engine, {&incoming, 1});
    EXPECT_EQ(incoming.result, row.want) << row.tail;
  }
}

TEST(OpenBursts, TheSamePacketTwiceIsAReplay) {
  const Bytes first = esp_packet({.material = kMaterial128, .spi = 0x2000, .sequence = 9, .extended = false, .iv = 9},
                                 pattern(100), kNextIp4);
  Bytes a = first, b = first, later = first;
  InboundSa sa = inbound(0x2000, kMaterial128, false);
  GcmEngine engine = GcmEngine::create().value();
  Incoming both[] = {{.sa = &sa, .esp = a.data(), .esp_bytes = a.size()},
                     {.sa = &sa, .esp = b.data(), .esp_bytes = b.size()}};
  open(engine, both);
  EXPECT_EQ(both[0].result, OpenResult::kGood);
  EXPECT_EQ(both[1].result, OpenResult::kReplayed);
  Incoming again{.sa = &sa, .esp = later.data(), .esp_bytes = later.size()};
  open(engine, {&again, 1});
  EXPECT_EQ(again.result, OpenResult::kReplayed);
  EXPECT_EQ(later, first) << "a replay is not even deciphered";
}

// ipsec-mb would do it without, some fifty times slower: sluice says so at its start instead.
TEST(Manager, IsRefusedWhereTheCpuHasNoAes) {
  const auto manager = make_manager(IMB_FLAG_AESNI_OFF);
  ASSERT_FALSE(manager);
  EXPECT_EQ(manager.error().message, "this CPU has no AES instructions, which mode esp needs");
  EXPECT_TRUE(make_manager());
}

TEST(InnerLimit, IsTheLargestThatFits) {
  for (std::size_t payload = 0; payload < 2000; ++payload) {
    const std::size_t limit = net::esp_inner_limit(payload);
    const auto size = [](std::size_t inner) { return sizeof(net::EspHeader) + inner + net::esp_tail_bytes(inner); };
    if (limit != 0) {
      EXPECT_LE(size(limit), payload);
    }
    EXPECT_GT(size(limit + 1), payload) << payload;
  }
}

}  // namespace
}  // namespace sluice::esp
