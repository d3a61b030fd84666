// The SYN proxy as client and backend see it: cookies, the handshake with the backend, numbers moved for the life of the flow,
// and what a flood costs.

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "lab.h"
#include "sluice/net/parse.h"
#include "sluice/net/syn_cookie.h"
#include "sluice/net/tcp_options.h"

namespace sluice::dataplane {
namespace {

using test::from_hex;

constexpr std::uint32_t kClientIsn = 1000, kBackendIsn = 0xfffffffe;
constexpr std::uint8_t kSynAck = net::kTcpSyn | net::kTcpAck;
constexpr const char* kLinuxOptions = "020405b4 0402080a 00000064 00000000 01030307";

std::string config(const std::string& syn_proxy = "always") {
  std::string out = simple_config();
  out.insert(out.rfind("forward:"), "syn_proxy: " + syn_proxy + ", ");
  return out;
}

struct Seen {  // a TCP segment
  explicit Seen(const Bytes& bytes) : frame(bytes), parsed(net::parse(bytes)) {
    EXPECT_TRUE(parsed.ok());
    EXPECT_TRUE(net::l4_checksum_ok(bytes, parsed));
    tcp = net::header_at<net::TcpHeader>(std::span<const std::uint8_t>(frame), parsed.l4_offset);
    options = net::parse_tcp_options(frame, parsed.l4_offset);
  }
  [[nodiscard]] std::uint32_t sequence() const { return tcp.sequence.host(); }
  [[nodiscard]] std::uint32_t acknowledgment() const { return tcp.acknowledgment.host(); }
  [[nodiscard]] std::uint16_t window() const { return tcp.window.host(); }
  Bytes frame;
  net::Parsed parsed;
  net::TcpHeader tcp;
  net::TcpOptions options;
};

Bytes client(std::uint8_t flags, std::uint32_t sequence, std::uint32_t acknowledgment, const std::string& options = "",
             Bytes payload = {}, std::uint16_t port = 40000) {
  return from_client(ip4(kClient, kService)
                         .tcp(port, 80, flags, sequence, acknowledgment, std::move(payload))
                         .tcp_options(from_hex(options)));
}
Bytes backend(std::uint16_t port, std::uint8_t flags, std::uint32_t sequence, std::uint32_t acknowledgment,
              const std::string& options = "", Bytes payload = {}, std::uint16_t window = 500) {
  return from_backend(ip4(kBackend, kOwn)
                          .tcp(8080, port, flags, sequence, acknowledgment, std::move(payload))
                          .tcp_options(from_hex(options))
                          .tcp_window(window));
}
std::string timestamps(std::uint32_t value, std::uint32_t echo) {
  return fmt::format("0101080a {:08x} {:08x}", value, echo);
}

// A client that has come back with its cookie, and the SYN that the backend got.
struct Opened {
  Seen answer;  // the SYN, ACK with the cookie
  Seen syn;
  [[nodiscard]] std::uint16_t port() const { return syn.parsed.src_port; }
};
Opened open(Lab& lab, const std::string& options = kLinuxOptions, std::uint16_t port = 40000) {
  const std::vector<Bytes> answer = lab.exchange(client(net::kTcpSyn, kClientIsn, 0, options, {}, port));
  EXPECT_EQ(answer.size(), 1u);
  const Seen first(answer.at(0));
  const std::string echo = first.options.timestamps ? timestamps(110, first.options.timestamp) : "";
  const std::vector<Bytes> syn =
      lab.exchange(client(net::kTcpAck, kClientIsn + 1, first.sequence() + 1, echo, {}, port));
  EXPECT_EQ(syn.size(), 1u);
  return {first, Seen(syn.at(0))};
}

TEST(SynProxy, ASynIsAnsweredWithACookieAndKeptNowhere) {
  Lab lab(config());
  const std::vector<Bytes> out = lab.exchange(client(net::kTcpSyn, kClientIsn, 0, kLinuxOptions));
  ASSERT_EQ(out.size(), 1u);
  const Seen answer(out[0]);
  EXPECT_EQ(Bytes(out[0].begin(), out[0].begin() + 6), Bytes(kGatewayMac.bytes.begin(), kGatewayMac.bytes.end()));
  EXPECT_EQ(answer.parsed.src.text(), kService);
  EXPECT_EQ(answer.parsed.dst.text(), kClient);
  EXPECT_EQ(answer.parsed.src_port, 80);
  EXPECT_EQ(answer.parsed.dst_port, 40000);
  EXPECT_EQ(answer.parsed.tcp_flags, kSynAck);
  EXPECT_EQ(answer.acknowledgment(), kClientIsn + 1);
  EXPECT_EQ(answer.window(), 0);
  EXPECT_EQ(answer.options.mss, 1460);
  EXPECT_EQ(answer.options.window_scale, 7);
  EXPECT_TRUE(answer.options.sack_permitted);
  EXPECT_EQ(answer.options.timestamp_echo, 0x64u);
  EXPECT_EQ(lab.counters().flows.read(), 0);
  EXPECT_EQ(lab.counters().syn_cookies_sent.read(), 1u);
  EXPECT_EQ(lab.drops(), 0u);
}

struct OptionRow {
  const char* name;
  const char* settings;
  const char* options;
  net::TcpOptions to_client, to_backend;  // without the timestamps' values
};
const OptionRow kOptionRows[] = {
    {"linux",
     "always",
     kLinuxOptions,
     {.mss = 1460, .window_scale = 7, .sack_permitted = true, .timestamps = true},
     {.mss = 1460, .window_scale = 7, .sack_permitted = true, .timestamps = true}},
    {"no_options", "always", "", {.mss = 1460}, {.mss = 536}},
    {"mss_alone", "always", "02040500", {.mss = 1460}, {.mss = 1220}},
    {"without_timestamps_nothing_else_is_kept", "always", "020405b4 01030307 01010402", {.mss = 1460}, {.mss = 1460}},
    {"no_sack",
     "always",
     "020405b4 0101080a 00000064 00000000 01030302",
     {.mss = 1460, .window_scale = 7, .timestamps = true},
     {.mss = 1460, .window_scale = 2, .timestamps = true}},
    {"no_window_scale",
     "always",
     "020405b4 0402080a 00000064 00000000",
     {.mss = 1460, .sack_permitted = true, .timestamps = true},
     {.mss = 1460, .sack_permitted = true, .timestamps = true}},
    {"settings",
     "{ above: 0, mss: 1400, window_scale: 3, sack: false }",
     kLinuxOptions,
     {.mss = 1400, .window_scale = 3, .timestamps = true},
     {.mss = 1460, .window_scale = 7, .timestamps = true}},
    {"no_timestamps_by_settings", "{ above: 0, timestamps: false }", kLinuxOptions, {.mss = 1460}, {.mss = 1460}},
};
TEST(SynProxy, TheOptionsThatBothSidesSee) {
  for (const OptionRow& row : kOptionRows) {
    Lab lab(config(row.settings));
    Opened opened = open(lab, row.options);
    for (Seen* seen : {&opened.answer, &opened.syn}) seen->options.timestamp = seen->options.timestamp_echo = 0;
    EXPECT_EQ(opened.answer.options, row.to_client) << row.name;
    EXPECT_EQ(opened.syn.options, row.to_backend) << row.name;
    EXPECT_EQ(opened.syn.parsed.tcp_flags, net::kTcpSyn) << row.name;
    EXPECT_EQ(opened.syn.sequence(), kClientIsn) << row.name;
    EXPECT_EQ(opened.syn.parsed.dst.text(), kBackend) << row.name;
    EXPECT_EQ(lab.counters().flows.read(), 1) << row.name;
  }
}

// Neither end is told more than the service's `mss`.
TEST(SynProxy, KeepsToTheSegmentSizeOfTheService) {
  for (const auto& [mss, size] : {std::pair{"1000", 1000}, std::pair{"auto", 1460}}) {
    std::string yaml = config();
    yaml.insert(yaml.rfind("mode: nat"), fmt::format("mss: {}, ", mss));
    Lab lab(yaml);
    const Opened opened = open(lab, "020422e8 0402080a 00000064 00000000 01030307");  // 8936
    EXPECT_EQ(opened.answer.options.mss, size);
    EXPECT_EQ(opened.syn.options.mss, std::min(size, 1460));
  }
}

TEST(SynProxy, TheTwoHalvesAreJoinedForLife) {
  Lab lab(config());
  const Opened opened = open(lab);
  EXPECT_EQ(opened.syn.options.timestamp, 110u);
  EXPECT_EQ(opened.syn.options.timestamp_echo, 0u);
  const std::uint32_t cookie = opened.answer.sequence(), ours = opened.answer.options.timestamp;

  lab.put(backend(opened.port(), kSynAck, kBackendIsn, kClientIsn + 1, "020405b4 0402080a 00070000 0000006e 01030309",
                  {}, 64000));
  lab.run();
  std::vector<Bytes> out = lab.sent();
  ASSERT_EQ(out.size(), 2u);
  const Seen ack(out[0]), update(out[1]);
  EXPECT_EQ(ack.parsed.dst.text(), kBackend);
  EXPECT_EQ(ack.parsed.tcp_flags, net::kTcpAck);
  EXPECT_EQ(ack.sequence(), kClientIsn + 1);
  EXPECT_EQ(ack.acknowledgment(), kBackendIsn + 1);
  EXPECT_EQ(ack.options.timestamp, 110u);
  EXPECT_EQ(ack.options.timestamp_echo, 0x70000u);
  EXPECT_EQ(update.parsed.dst.text(), kClient);
  EXPECT_EQ(update.parsed.tcp_flags, net::kTcpAck);
  EXPECT_EQ(update.sequence(), cookie + 1);
  EXPECT_EQ(update.acknowledgment(), kClientIsn + 1);
  EXPECT_EQ(update.window(), 64000 >> 7);
  EXPECT_EQ(update.options.timestamp, ours);  // the client's clock of us goes on from there
  EXPECT_EQ(update.options.timestamp_echo, 110u);

  // The backend scales by 9, the client was told 7.
  out = lab.exchange(backend(opened.port(), net::kTcpAck | net::kTcpPsh, kBackendIsn + 1, kClientIsn + 1,
                             timestamps(0x70005, 110), Bytes(100, 'x'), 500));
  ASSERT_EQ(out.size(), 1u);
  const Seen data(out[0]);
  EXPECT_EQ(data.sequence(), cookie + 1);
  EXPECT_EQ(data.acknowledgment(), kClientIsn + 1);
  EXPECT_EQ(data.window(), 2000);
  EXPECT_EQ(data.options.timestamp, ours + 5);
  EXPECT_EQ(data.options.timestamp_echo, 110u);

  // A hole behind the first 100 bytes: the client reports what it has beyond.
  out = lab.exchange(
      client(net::kTcpAck, kClientIsn + 1, cookie + 101,
             timestamps(120, ours + 5) + fmt::format("0101050a {:08x} {:08x}", cookie + 201, cookie + 301)));
  ASSERT_EQ(out.size(), 1u);
  const Bytes want =
      ip4(kOwn, kBackend)
          .link(kOurMac, kBackendMac)
          .ttl(63)
          .tcp(opened.port(), 8080, net::kTcpAck, kClientIsn + 1, kBackendIsn + 101)
          .tcp_options(from_hex(timestamps(120, 0x70005) +
                                fmt::format("0101050a {:08x} {:08x}", kBackendIsn + 201, kBackendIsn + 301)))
          .frame();
  EXPECT_EQ(out[0], want);

  // To the end.
  out = lab.exchange(client(net::kTcpFin | net::kTcpAck, kClientIsn + 1, cookie + 101, timestamps(130, ours + 5)));
  EXPECT_EQ(Seen(out.at(0)).acknowledgment(), kBackendIsn + 101);
  out = lab.exchange(
      backend(opened.port(), net::kTcpFin | net::kTcpAck, kBackendIsn + 101, kClientIsn + 2, timestamps(0x70009, 130)));
  EXPECT_EQ(Seen(out.at(0)).sequence(), cookie + 101);
  EXPECT_EQ(lab.counters().tcp_flows_open.read(), 0);
  EXPECT_EQ(lab.drops(), 0u);
}

TEST(SynProxy, ABackendWithoutWindowScaleGetsTheClientsWindowsInBytes) {
  Lab lab(config());
  const Opened opened = open(lab);
  lab.put(backend(opened.port(), kSynAck, kBackendIsn, kClientIsn + 1, "020405b4"));
  lab.run();
  EXPECT_EQ(lab.sent().size(), 2u);
  const std::vector<Bytes> out =
      lab.exchange(from_client(ip4(kClient, kService)
                                   .tcp(40000, 80, net::kTcpAck, kClientIsn + 1, opened.answer.sequence() + 1)
                                   .tcp_window(100)));
  EXPECT_EQ(Seen(out.at(0)).window(), 100 << 7);
  EXPECT_EQ(
      Seen(lab.exchange(backend(opened.port(), net::kTcpAck, kBackendIsn + 1, kClientIsn + 1, "", {}, 1280)).at(0))
          .window(),
      1280 >> 7);
}

TEST(SynProxy, AForgedOrOldCookieIsReset) {
  Lab lab(config());
  const Seen answer(lab.exchange(client(net::kTcpSyn, kClientIsn, 0)).at(0));
  const auto is_reset = [&](const Bytes& frame) {
    const std::vector<Bytes> out = lab.exchange(frame);
    return out.size() == 1 && (Seen(out[0]).parsed.tcp_flags & net::kTcpRst) != 0;
  };
  EXPECT_TRUE(is_reset(client(net::kTcpAck, kClientIsn + 1, answer.sequence() + 2)));
  EXPECT_TRUE(is_reset(client(net::kTcpAck, kClientIsn + 3, answer.sequence() + 1)));
  lab.pass(std::chrono::minutes(3));
  EXPECT_TRUE(is_reset(client(net::kTcpAck, kClientIsn + 1, answer.sequence() + 1)));
  EXPECT_EQ(lab.drops(Drop::kBadSynCookie), 3u);
  EXPECT_EQ(lab.drops(), 3u);
  EXPECT_EQ(lab.counters().flows.read(), 0);
}

// The first ACK was lost; what comes is the probe of the window that we closed.
TEST(SynProxy, AWindowProbeBringsTheCookieToo) {
  Lab lab(config());
  const Seen answer(lab.exchange(client(net::kTcpSyn, kClientIsn, 0)).at(0));
  const std::vector<Bytes> out = lab.exchange(client(net::kTcpAck, kClientIsn, answer.sequence() + 1));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(Seen(out[0]).sequence(), kClientIsn);
  EXPECT_EQ(lab.counters().syn_cookies_taken.read(), 1u);
}

TEST(SynProxy, WhatComesBeforeTheBackendHasAnsweredComesAgain) {
  Lab lab(config());
  const Opened opened = open(lab);
  EXPECT_TRUE(lab.exchange(client(net::kTcpAck, kClientIsn + 1, opened.answer.sequence() + 1, "", {1})).empty());
  EXPECT_TRUE(lab.exchange(client(net::kTcpSyn, kClientIsn, 0)).empty());
  EXPECT_EQ(lab.drops(Drop::kSynProxyWaits), 2u);
  EXPECT_EQ(lab.drops(), 2u);
}

TEST(SynProxy, ABackendThatRefusesResetsTheClient) {
  Lab lab(config());
  const Opened opened = open(lab);
  const std::vector<Bytes> out = lab.exchange(backend(opened.port(), net::kTcpRst | net::kTcpAck, 0, kClientIsn + 1));
  ASSERT_EQ(out.size(), 1u);
  const Seen reset(out[0]);
  EXPECT_EQ(reset.parsed.dst.text(), kClient);
  EXPECT_NE(reset.parsed.tcp_flags & net::kTcpRst, 0);
  EXPECT_EQ(reset.sequence(), opened.answer.sequence() + 1);  // RFC 5961 section 3.2: just what it expects next
  EXPECT_EQ(lab.counters().tcp_flows_open.read(), 0);
}

TEST(SynProxy, AForgedResetOfTheBackendChangesNothing) {
  Lab lab(config());
  const Opened opened = open(lab);
  EXPECT_TRUE(lab.exchange(backend(opened.port(), net::kTcpRst, 0, 0)).empty());
  EXPECT_EQ(lab.drops(Drop::kSynProxyWaits), 1u);
  EXPECT_EQ(lab.exchange(backend(opened.port(), kSynAck, kBackendIsn, kClientIsn + 1)).size(), 2u);
}

TEST(SynProxy, AClientThatGivesUpResetsTheBackend) {
  Lab lab(config());
  const Opened opened = open(lab);
  const std::vector<Bytes> out = lab.exchange(client(net::kTcpRst, kClientIsn + 1, 0));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(Seen(out[0]).parsed.tcp_flags, net::kTcpRst);
  EXPECT_EQ(Seen(out[0]).sequence(), kClientIsn + 1);
  EXPECT_EQ(Seen(out[0]).parsed.dst.text(), kBackend);
  // Its SYN, ACK was on the way: it is reset as well.
  const std::vector<Bytes> late = lab.exchange(backend(opened.port(), kSynAck, kBackendIsn, kClientIsn + 1));
  ASSERT_EQ(late.size(), 1u);
  EXPECT_EQ(Seen(late[0]).parsed.tcp_flags, net::kTcpRst);
  EXPECT_EQ(Seen(late[0]).parsed.dst.text(), kBackend);
}

TEST(SynProxy, ASilentBackendIsAskedAgainAndThenTheClientIsReset) {
  Lab lab(config());
  const Opened opened = open(lab);
  for (int again = 1; again < 5; ++again) {
    lab.pass(std::chrono::milliseconds(999));
    lab.run();
    EXPECT_TRUE(lab.sent().empty());
    lab.pass(std::chrono::milliseconds(1));
    lab.run();
    const std::vector<Bytes> out = lab.sent();
    ASSERT_EQ(out.size(), 1u) << again;
    EXPECT_EQ(out[0], opened.syn.frame) << again;
  }
  EXPECT_EQ(lab.counters().syn_proxy_retries.read(), 4u);
  lab.pass(std::chrono::seconds(1));
  lab.run();
  const std::vector<Bytes> out = lab.sent();
  ASSERT_EQ(out.size(), 1u);
  EXPECT_NE(Seen(out[0]).parsed.tcp_flags & net::kTcpRst, 0);
  EXPECT_EQ(Seen(out[0]).sequence(), opened.answer.sequence() + 1);
  EXPECT_EQ(lab.counters().flows.read(), 0);
  EXPECT_EQ(lab.counters().services[0].failed.read(), 1u);
}

// However many connections begin within a second.
TEST(SynProxy, EverySilentBackendIsAskedAgain) {
  constexpr std::uint16_t kConnections = 9000, kSilent = 1200;
  std::string yaml = simple_config("workers: [0], flows: 16384");
  yaml.insert(yaml.rfind("forward:"), "syn_proxy: always, ");
  Lab lab(yaml);
  for (std::uint16_t i = 0; i < kConnections; ++i) {
    const Opened opened = open(lab, "", static_cast<std::uint16_t>(1024 + i));
    if (i >= kConnections - kSilent) continue;
    EXPECT_EQ(lab.exchange(backend(opened.port(), kSynAck, kBackendIsn, kClientIsn + 1)).size(), 2u);
  }
  for (const std::uint64_t tries : {1u, 2u}) {
    lab.pass(std::chrono::seconds(1));
    lab.run();
    EXPECT_EQ(lab.sent().size(), kSilent);
    EXPECT_EQ(lab.counters().syn_proxy_retries.read(), tries * kSilent);
  }
}

TEST(SynProxy, ABackendThatAnswersIsNotAskedAgain) {
  Lab lab(config());
  const Opened opened = open(lab);
  EXPECT_EQ(lab.exchange(backend(opened.port(), kSynAck, kBackendIsn, kClientIsn + 1)).size(), 2u);
  lab.pass(std::chrono::seconds(2));
  lab.run();
  EXPECT_TRUE(lab.sent().empty());
  // Our ACK was lost: the backend says SYN, ACK again, and the client hears nothing of it.
  const std::vector<Bytes> out = lab.exchange(backend(opened.port(), kSynAck, kBackendIsn, kClientIsn + 1));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(Seen(out[0]).parsed.dst.text(), kBackend);
  EXPECT_EQ(Seen(out[0]).acknowledgment(), kBackendIsn + 1);
}

TEST(SynProxy, AnOldConnectionOfTheBackendOnTheTupleIsReset) {
  Lab lab(config());
  const Opened opened = open(lab);
  const std::vector<Bytes> out = lab.exchange(backend(opened.port(), net::kTcpAck, 77, 88));  // RFC 9293 section 3.5.2
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(Seen(out[0]).parsed.tcp_flags, net::kTcpRst);
  EXPECT_EQ(Seen(out[0]).sequence(), 88u);
  lab.pass(std::chrono::seconds(1));
  lab.run();
  EXPECT_EQ(lab.sent().at(0), opened.syn.frame);
}

TEST(SynProxy, NoBackendIsToldAtOnce) {
  std::string yaml = config();
  yaml.insert(yaml.find("backends:"), "health: { tcp: {} }, ");
  Lab lab(yaml);
  const Seen answer(lab.exchange(client(net::kTcpSyn, kClientIsn, 0)).at(0));
  EXPECT_NE(answer.parsed.tcp_flags & net::kTcpRst, 0);
  EXPECT_EQ(lab.drops(Drop::kNoBackend), 1u);
}

TEST(SynProxy, AnEndedConnectionMayBeginAnew) {
  Lab lab(config());
  const Opened first = open(lab);
  (void)lab.exchange(backend(first.port(), net::kTcpRst | net::kTcpAck, 0, kClientIsn + 1));
  const Opened second = open(lab);
  EXPECT_NE(second.port(), first.port());
  EXPECT_EQ(lab.counters().flows.read(), 1);
}

TEST(SynProxy, StandsAsideBelowItsThreshold) {
  Lab lab(config("{ above: 10 }"));
  const auto cookies = [&](std::uint16_t first, std::uint16_t count) {
    const std::uint64_t before = lab.counters().syn_cookies_sent.read();
    for (std::uint16_t i = 0; i < count; ++i) {
      (void)lab.exchange(client(net::kTcpSyn, kClientIsn, 0, "", {}, static_cast<std::uint16_t>(first + i)));
    }
    return lab.counters().syn_cookies_sent.read() - before;
  };
  EXPECT_EQ(cookies(1000, 10), 0u);
  EXPECT_EQ(cookies(2000, 10), 10u);  // 20 in a second
  EXPECT_EQ(lab.counters().syn_proxy_engaged.read(), 1);
  lab.pass(std::chrono::seconds(1));
  EXPECT_EQ(cookies(3000, 5), 5u);  // the second before had too many
  lab.pass(std::chrono::seconds(1));
  EXPECT_EQ(cookies(4000, 5), 0u);
  EXPECT_EQ(lab.counters().syn_proxy_engaged.read(), 0);
  EXPECT_EQ(lab.counters().flows.read(), 15);
}

TEST(SynProxy, SaysWhenAFloodHasEndedInSilence) {
  Lab lab(config("{ above: 10 }"));
  for (std::uint16_t i = 0; i < 20; ++i) {
    (void)lab.exchange(client(net::kTcpSyn, kClientIsn, 0, "", {}, static_cast<std::uint16_t>(1000 + i)));
  }
  EXPECT_EQ(lab.counters().syn_proxy_engaged.read(), 1);
  lab.pass(std::chrono::milliseconds(1999));
  lab.run();
  EXPECT_EQ(lab.counters().syn_proxy_engaged.read(), 1);
  lab.pass(std::chrono::milliseconds(1001));
  lab.run();
  EXPECT_EQ(lab.counters().syn_proxy_engaged.read(), 0);
}

// RFC 1191: a router on the client's way says what does not fit. The backend must know its segment again.
TEST(SynProxy, ErrorsQuoteTheBackendsNumbers) {
  Lab lab(config());
  const Opened opened = open(lab);
  EXPECT_EQ(lab.exchange(backend(opened.port(), kSynAck, kBackendIsn, kClientIsn + 1)).size(), 2u);
  const Bytes about = ip4(kService, kClient)
                          .tcp(80, 40000, net::kTcpAck, opened.answer.sequence() + 1, kClientIsn + 1, Bytes(100, 'x'))
                          .ip_packet();
  const std::vector<Bytes> out = lab.exchange(from_client(ip4("192.0.2.254", kService).icmp(3, 4, 1280, about)));
  ASSERT_EQ(out.size(), 1u);
  const net::Parsed parsed = net::parse(out[0]);
  EXPECT_TRUE(net::l4_checksum_ok(out[0], parsed));
  const std::size_t quoted_sequence = 14 + 20 + 8 + 20 + 4;
  EXPECT_EQ(Bytes(out[0].begin() + quoted_sequence, out[0].begin() + quoted_sequence + 4), from_hex("ffffffff"));
}

// 200,000 SYNs from spoofed sources: no entry, no mbuf and no NAT port is taken, and a connection that was there before goes on.
TEST(SynProxy, AFloodCostsNoMemoryAndNoConnection) {
  Lab lab(config("{ above: 100 }"));
  const std::uint16_t nat_port = src_port_of(lab.exchange(client(net::kTcpSyn, kClientIsn, 0, "", {}, 50000)).at(0));
  (void)lab.exchange(backend(nat_port, kSynAck, kBackendIsn, kClientIsn + 1));
  (void)lab.exchange(client(net::kTcpAck, kClientIsn + 1, kBackendIsn + 1, "", {}, 50000));
  std::uint64_t forwarded = 0, answered = 0;
  for (std::uint32_t burst = 0; burst < 200'000 / 31; ++burst) {
    for (std::uint32_t i = 0; i < 31; ++i) {
      const std::uint32_t source = burst * 31 + i;
      lab.put(from_client(
          ip4(fmt::format("100.{}.{}.{}", 64 + source / 65536, source / 256 % 256, source % 256).c_str(), kService)
              .tcp(static_cast<std::uint16_t>(1024 + source % 60000), 80)));
    }
    lab.put(client(net::kTcpAck | net::kTcpPsh, kClientIsn + 1, kBackendIsn + 1, "", {'x'}, 50000));
    lab.run();
    for (const Bytes& frame : lab.sent()) {
      if (frame[47] == (net::kTcpAck | net::kTcpPsh)) ++forwarded;
      if (frame[47] == kSynAck) ++answered;
    }
    lab.pass(std::chrono::microseconds(100));
  }
  EXPECT_EQ(forwarded, 200'000u / 31);
  EXPECT_EQ(answered, lab.counters().syn_cookies_sent.read());
  EXPECT_GE(answered, 199'000u);
  EXPECT_LE(lab.counters().flows.read(), 102);  // those below the threshold, and the connection
  EXPECT_EQ(lab.drops(), 0u);
}

}  // namespace
}  // namespace sluice::dataplane
