// Sessions end to end: a libssl client over a fake connection, with both versions and both providers.
#include "sluice/tls/session.h"

#include <gtest/gtest.h>

#include "pair.h"

namespace sluice::tls::test {
namespace {

using tcp::StreamError;
using tcp::StreamEvents;

struct Setup {
  const char* name;
  Crypto crypto;
  int version;
};

class SessionTest : public testing::TestWithParam<Setup> {
 protected:
  ~SessionTest() override {
    pair_.reset();
    EXPECT_EQ(library_->stats().sessions, 0u);
    EXPECT_EQ(library_->stats().rx_buffers, 0u);
  }
  Pair& start(ClientOptions options = {}) {
    options.version = GetParam().version;
    pair_ = std::make_unique<Pair>(*library_, *context_, options);
    return *pair_;
  }
  Pair& connect(ClientOptions options = {}) {
    Pair& pair = start(options);
    EXPECT_TRUE(pair.pump());
    EXPECT_TRUE(pair.client.connected()) << pair.client.error();
    EXPECT_TRUE(pair.recorder.saw(StreamEvents::kConnected));
    return pair;
  }

  std::unique_ptr<Library> library_ = make_library(GetParam().crypto);
  std::shared_ptr<ServerContext> context_ = make_context(*library_);
  std::unique_ptr<Pair> pair_;
};

INSTANTIATE_TEST_SUITE_P(Tls, SessionTest,
                         testing::Values(Setup{"tls13_mb", Crypto::kIpsecMb, TLS1_3_VERSION},
                                         Setup{"tls12_mb", Crypto::kIpsecMb, TLS1_2_VERSION},
                                         Setup{"tls13_openssl", Crypto::kOpenssl, TLS1_3_VERSION},
                                         Setup{"tls12_openssl", Crypto::kOpenssl, TLS1_2_VERSION}),
                         [](const auto& row) { return row.param.name; });

TEST_P(SessionTest, ConnectsAndSaysWhatWasNegotiated) {
  Pair& pair = connect({.sni = "www.example.com", .alpn = {"http/1.1"}});
  EXPECT_EQ(pair.session->version(), GetParam().version == TLS1_3_VERSION ? "TLSv1.3" : "TLSv1.2");
  EXPECT_EQ(pair.session->cipher(),
            GetParam().version == TLS1_3_VERSION ? "TLS_AES_128_GCM_SHA256" : "ECDHE-ECDSA-AES128-GCM-SHA256");
  EXPECT_EQ(pair.session->sni(), "www.example.com");
  EXPECT_EQ(pair.session->alpn(), "http/1.1");
  EXPECT_FALSE(pair.session->resumed());
  EXPECT_EQ(&pair.session->conn(), &pair.conn);
  EXPECT_EQ(library_->stats().handshakes, 1u);
}

TEST_P(SessionTest, WithoutSniAndAlpnBothAreEmpty) {
  Pair& pair = connect();
  EXPECT_EQ(pair.session->sni(), "");
  EXPECT_EQ(pair.session->alpn(), "");
}

struct CutCase {
  const char* name;
  Cut cut;
  std::size_t bytes;
};
std::vector<CutCase> cut_cases() {
  std::vector<CutCase> rows = {{"whole", Cut::whole(), 1 << 20},
                               {"byte_by_byte", Cut::at_most(1), 30'000},
                               {"segments", Cut::at_most(1448), 1 << 20}};
  for (std::uint64_t seed = 1; seed <= 8; ++seed) rows.push_back({"random", Cut::random(seed, 4000), 200'000});
  return rows;
}

TEST_P(SessionTest, CarriesBothWaysHoweverBytesAreCut) {
  for (const CutCase& row : cut_cases()) {
    SCOPED_TRACE(row.name);
    const std::string up = pattern(row.bytes, 3), down = pattern(row.bytes, 4);
    Pair& pair = start();
    pair.collect();
    ASSERT_TRUE(pair.pump(row.cut));
    ASSERT_TRUE(pair.client.connected()) << pair.client.error();
    pair.client.send(up);
    pair.send_all(down);
    ASSERT_TRUE(pair.pump(row.cut));
    EXPECT_EQ(pair.received, up);
    EXPECT_EQ(pair.client.received(), down);
    EXPECT_TRUE(pair.all_sent());
    EXPECT_TRUE(pair.session->tx_drained());
    EXPECT_EQ(library_->stats().rx_buffers, 0u) << "a buffer is held only while it holds something";
  }
}

TEST_P(SessionTest, SmallSendSpaceHoldsTheWriterBackAndLosesNothing) {
  for (const std::size_t capacity : {1u, 50u, 100u, 1000u, 1425u, 1500u, 5000u, 20000u}) {
    SCOPED_TRACE(capacity);
    Pair& pair = start();
    pair.conn.tx_capacity = capacity;
    ASSERT_TRUE(pair.pump());
    ASSERT_TRUE(pair.client.connected()) << pair.client.error();
    const std::string down = pattern(200'000, capacity);
    pair.send_all(down);
    EXPECT_FALSE(pair.all_sent());
    EXPECT_LE(pair.outgoing_at, capacity + 64) << "more was taken than the connection has room for";
    EXPECT_EQ(pair.session->tx_space(), 0u);
    EXPECT_FALSE(pair.session->tx_drained());
    ASSERT_TRUE(pair.pump(Cut::random(5, 3000)));
    EXPECT_TRUE(pair.all_sent());
    EXPECT_EQ(pair.client.received(), down);
  }
}

TEST_P(SessionTest, AWriteOfTxSpaceIsTakenWhole) {
  for (const std::size_t capacity : {100u, 1000u, 1425u, 3000u, 70'000u, 200'000u, 256u << 10}) {
    SCOPED_TRACE(capacity);
    Pair& pair = connect();
    pair.conn.tx_capacity = capacity;
    for (int round = 0; round < 4; ++round) {
      const std::size_t space = pair.session->tx_space();
      EXPECT_GT(space, capacity / 2);
      EXPECT_EQ(pair.session->write(bytes_of(pattern(space))), space);
      ASSERT_TRUE(pair.pump());
    }
  }
}

TEST_P(SessionTest, RecordsAreASegmentLongAtFirstThenFull) {
  Pair& pair = connect();
  ASSERT_EQ(pair.session->write(bytes_of(pattern(120'000))), 120'000u);
  const FakeConn::Bytes sent = pair.conn.take_sent();
  std::vector<std::size_t> lengths;
  for (std::size_t at = 0; at + 5 <= sent.size();) {
    EXPECT_EQ(sent[at], 23);  // application_data
    lengths.push_back(static_cast<std::size_t>(sent[at + 3] << 8 | sent[at + 4]) + 5);
    at += lengths.back();
  }
  const std::size_t small = (Session::kSmallRecordBytes + Session::kSmallRecord - 1) / Session::kSmallRecord;
  ASSERT_GT(lengths.size(), small);
  for (std::size_t i = 0; i < small; ++i) EXPECT_LE(lengths[i], 1428u);
  EXPECT_GT(lengths[small], Session::kFullRecord);
}

TEST_P(SessionTest, ReadingIsHeldBackByTheReader) {
  Pair& pair = connect();
  const std::string up = pattern(100'000);
  pair.client.send(up);
  ASSERT_TRUE(pair.pump());
  EXPECT_TRUE(pair.recorder.saw(StreamEvents::kReadable));
  EXPECT_EQ(library_->stats().rx_buffers, 1u);
  EXPECT_GT(pair.conn.unread(), up.size() - 2 * Session::kRxBuffer - 2000) << "the rest stays in the connection";
  EXPECT_EQ(pair.session->rx_peek().size(), Session::kRxBuffer);
  pair.session->rx_consume(1000);
  EXPECT_EQ(pair.session->rx_peek().size(), Session::kRxBuffer - 1000);
  EXPECT_EQ(up.substr(0, 1000) + pair.read_all(), up);
  EXPECT_EQ(library_->stats().rx_buffers, 0u);
}

// Of those who leave their plaintext unread only so many have room. The next one is ended, and nobody else.
TEST(Session, WaitsWhenThereIsNoBuffer) {
  std::unique_ptr<Library> library = std::move(*Library::create(Crypto::kOpenssl, 2 * Session::kRxBuffer));
  const std::shared_ptr<ServerContext> context = make_context(*library);
  std::vector<std::unique_ptr<Pair>> pairs;
  for (int i = 0; i < 4; ++i) {
    pairs.push_back(std::make_unique<Pair>(*library, *context));
    pairs.back()->client.send("unread");
    ASSERT_TRUE(pairs.back()->pump());
  }
  EXPECT_EQ(library->stats().rx_buffers, 2u);
  EXPECT_GE(library->stats().no_buffer, 2u);
  for (const int late : {2, 3}) {
    EXPECT_FALSE(pairs[static_cast<std::size_t>(late)]->recorder.saw(StreamEvents::kReadable));
    EXPECT_FALSE(pairs[static_cast<std::size_t>(late)]->recorder.saw(StreamEvents::kClosed));
  }
  // Each buffer that is given back goes to one that waits.
  EXPECT_EQ(pairs[0]->read_all(), "unread");
  ASSERT_TRUE(pairs[2]->pump());
  EXPECT_TRUE(pairs[2]->recorder.saw(StreamEvents::kReadable));
  EXPECT_FALSE(pairs[3]->recorder.saw(StreamEvents::kReadable));
  EXPECT_EQ(pairs[2]->read_all(), "unread");
  ASSERT_TRUE(pairs[3]->pump());
  EXPECT_EQ(pairs[3]->read_all(), "unread");
  EXPECT_EQ(pairs[1]->read_all(), "unread");
  // One that waits may end like any other.
  for (auto& pair : pairs) {
    pair->client.send("unread");
    ASSERT_TRUE(pair->pump());
  }
  pairs.erase(pairs.begin() + 3);
  pairs.clear();
  EXPECT_EQ(library->stats().sessions, 0u);
  EXPECT_EQ(library->stats().rx_buffers, 0u);
}

// The one that was woken for it may end before it takes the buffer.
TEST(Session, ABufferThatNobodyTookGoesToTheNext) {
  std::unique_ptr<Library> library = std::move(*Library::create(Crypto::kOpenssl, Session::kRxBuffer));
  const std::shared_ptr<ServerContext> context = make_context(*library);
  std::vector<std::unique_ptr<Pair>> pairs;
  for (int i = 0; i < 3; ++i) {
    pairs.push_back(std::make_unique<Pair>(*library, *context));
    pairs.back()->client.send("unread");
    ASSERT_TRUE(pairs.back()->pump());
  }
  EXPECT_EQ(pairs[0]->read_all(), "unread");
  pairs.erase(pairs.begin() + 1);
  ASSERT_TRUE(pairs[1]->pump());
  EXPECT_EQ(pairs[1]->read_all(), "unread");
}

// Who consumes what it saw and goes back to the loop hears of the rest.
TEST_P(SessionTest, WhatIsBehindTheBufferBecomesAnEvent) {
  Pair& pair = connect();
  const std::string up = pattern(100'000);
  pair.recorder.act = [&pair](StreamEvents events) {
    if (!tcp::has(events, StreamEvents::kReadable)) return;
    const auto piece = pair.session->rx_peek();
    pair.received.append(reinterpret_cast<const char*>(piece.data()), piece.size());
    pair.session->rx_consume(piece.size());
  };
  pair.client.send(up);
  ASSERT_TRUE(pair.pump());
  EXPECT_EQ(pair.received, up);
}

TEST_P(SessionTest, EventsWaitForAHandler) {
  Pair& pair = start();
  pair.session->set_handler(nullptr);
  ASSERT_TRUE(pair.pump());
  pair.client.send("hello");
  ASSERT_TRUE(pair.pump());
  EXPECT_EQ(pair.recorder.calls, 0);
  pair.session->set_handler(&pair.recorder);
  EXPECT_EQ(pair.recorder.calls, 0) << "never from inside a call";
  library_->dispatch(Instant{});
  EXPECT_EQ(pair.recorder.calls, 1);
  EXPECT_TRUE(pair.recorder.saw(StreamEvents::kConnected));
  EXPECT_TRUE(pair.recorder.saw(StreamEvents::kReadable));
}

TEST_P(SessionTest, AWriteBeforeTheHandshakeIsToldWhenItMayGoOn) {
  Pair& pair = start();
  EXPECT_EQ(pair.session->write(bytes_of("early")), 0u);
  ASSERT_TRUE(pair.pump());
  EXPECT_TRUE(pair.recorder.saw(StreamEvents::kWritable));
}

// ---- ends

TEST_P(SessionTest, ShutdownWriteSendsCloseNotifyAndStillReads) {
  Pair& pair = connect();
  ASSERT_EQ(pair.session->write(bytes_of("bye")), 3u);
  pair.session->shutdown_write();
  EXPECT_TRUE(pair.conn.fin_sent());
  EXPECT_EQ(pair.session->write(bytes_of("more")), 0u);
  EXPECT_EQ(pair.session->tx_space(), 0u);
  pair.client.send("still here");
  ASSERT_TRUE(pair.pump());
  EXPECT_EQ(pair.client.received(), "bye");
  EXPECT_TRUE(pair.client.got_close_notify());
  EXPECT_EQ(pair.read_all(), "still here");
  EXPECT_EQ(pair.session->error(), StreamError::kNone);
}

TEST_P(SessionTest, ShutdownWriteBeforeTheHandshakeComesAfterIt) {
  Pair& pair = start();
  pair.session->shutdown_write();
  EXPECT_FALSE(pair.conn.fin_sent());
  ASSERT_TRUE(pair.pump());
  EXPECT_TRUE(pair.conn.fin_sent());
  EXPECT_TRUE(pair.client.got_close_notify());
}

TEST_P(SessionTest, CloseSendsCloseNotify) {
  Pair& pair = connect();
  ASSERT_EQ(pair.session->write(bytes_of("bye")), 3u);
  pair.session->close();
  EXPECT_TRUE(pair.conn.closed());
  ASSERT_TRUE(pair.pump());
  EXPECT_EQ(pair.client.received(), "bye");
  EXPECT_TRUE(pair.client.got_close_notify());
}

TEST_P(SessionTest, CloseReadsAwayWhatWouldMakeAReset) {
  Pair& pair = connect();
  pair.client.send("unread");
  pair.client.step();
  pair.conn.receive(pair.client.take());
  pair.session->close();
  EXPECT_EQ(pair.conn.unread(), 0u);
  EXPECT_TRUE(pair.conn.closed());
}

TEST_P(SessionTest, CloseWithoutRoomLingersUntilThereIs) {
  Pair& pair = connect();
  pair.conn.tx_capacity = 1000;
  const std::string down = pattern(5000);
  const std::size_t taken = pair.session->write(bytes_of(down));
  pair.session->close();
  EXPECT_FALSE(pair.conn.closed());
  EXPECT_EQ(library_->stats().sessions, 1u);
  ASSERT_TRUE(pair.pump());
  EXPECT_TRUE(pair.conn.closed());
  EXPECT_EQ(pair.client.received(), down.substr(0, taken));
  EXPECT_TRUE(pair.client.got_close_notify());
}

TEST_P(SessionTest, LingeringEndsByTime) {
  Pair& pair = connect();
  pair.conn.tx_capacity = 1000;
  EXPECT_LT(pair.session->write(bytes_of(pattern(5000))), 5000u);
  pair.session->close();
  const Instant start{std::chrono::seconds(100)};
  EXPECT_EQ(library_->next_deadline(), Instant{});
  library_->dispatch(start);
  EXPECT_EQ(library_->next_deadline(), start + Library::kLinger);
  library_->dispatch(start + Library::kLinger - Duration(1));
  EXPECT_FALSE(pair.conn.ended());
  library_->dispatch(start + Library::kLinger);
  EXPECT_TRUE(pair.conn.aborted());
  EXPECT_EQ(library_->stats().sessions, 0u);
}

TEST_P(SessionTest, LingeringEndsWithTheLibrary) {
  auto library = make_library(GetParam().crypto);
  auto context = make_context(*library);
  Pair pair(*library, *context, {.version = GetParam().version});
  ASSERT_TRUE(pair.pump());
  pair.conn.tx_capacity = 1000;
  EXPECT_LT(pair.session->write(bytes_of(pattern(5000))), 5000u);
  pair.session->close();
  context.reset();
  library.reset();
  EXPECT_TRUE(pair.conn.aborted());
}

TEST_P(SessionTest, LingeringEndsWithTheConnection) {
  Pair& pair = connect();
  pair.conn.tx_capacity = 1000;
  EXPECT_LT(pair.session->write(bytes_of(pattern(5000))), 5000u);
  pair.session->close();
  pair.conn.receive_reset();
  pair.run_server();
  EXPECT_TRUE(pair.conn.ended());
  EXPECT_EQ(library_->stats().sessions, 0u);
}

TEST_P(SessionTest, APeerThatClosesProperlyEndsWithoutAnError) {
  Pair& pair = connect();
  pair.client.send("last words");
  pair.client.step();
  pair.client.close_notify();
  pair.conn.receive(pair.client.take());
  pair.conn.receive_fin();
  pair.run_server();
  EXPECT_TRUE(pair.recorder.saw(StreamEvents::kPeerClosed));
  EXPECT_FALSE(pair.session->rx_ended()) << "there is something to read first";
  EXPECT_EQ(pair.read_all(), "last words");
  EXPECT_TRUE(pair.session->rx_ended());
  EXPECT_EQ(pair.session->error(), StreamError::kNone);
  EXPECT_EQ(pair.session->write(bytes_of("answer")), 6u) << "our direction still works";
  ASSERT_TRUE(pair.pump());
}

TEST_P(SessionTest, AFinWithoutCloseNotifyIsTruncation) {
  Pair& pair = connect();
  pair.client.send("cut sh");
  pair.client.step();
  pair.conn.receive(pair.client.take());
  pair.conn.receive_fin();
  pair.run_server();
  EXPECT_TRUE(pair.recorder.saw(StreamEvents::kPeerClosed));
  EXPECT_FALSE(pair.recorder.saw(StreamEvents::kClosed));
  EXPECT_EQ(pair.session->error(), StreamError::kTls);
  EXPECT_EQ(pair.session->failure(), "the peer closed without close_notify");
  EXPECT_EQ(pair.read_all(), "cut sh");
  EXPECT_EQ(library_->stats().truncated, 1u);
  EXPECT_EQ(pair.session->write(bytes_of("answer")), 6u);
}

TEST_P(SessionTest, TheEndBehindAFullBufferIsFoundByReading) {
  Pair& pair = connect();
  const std::string up = pattern(40'000);
  pair.client.send(up);
  pair.client.step();
  pair.client.close_notify();
  pair.conn.receive(pair.client.take());
  pair.conn.receive_fin();
  pair.run_server();
  EXPECT_FALSE(pair.recorder.saw(StreamEvents::kPeerClosed));
  EXPECT_EQ(pair.read_all(), up);
  EXPECT_TRUE(pair.session->rx_ended());
  EXPECT_FALSE(pair.recorder.saw(StreamEvents::kPeerClosed)) << "never from inside a call";
  library_->dispatch(Instant{});
  EXPECT_TRUE(pair.recorder.saw(StreamEvents::kPeerClosed));
}

TEST_P(SessionTest, AResetClosesTheStream) {
  Pair& pair = connect();
  pair.conn.receive_reset();
  pair.run_server();
  EXPECT_TRUE(pair.recorder.saw(StreamEvents::kClosed));
  EXPECT_EQ(pair.session->error(), StreamError::kReset);
  pair.session->close();
  EXPECT_TRUE(pair.conn.closed());
}

TEST_P(SessionTest, AbortInAnyStateLeavesNothing) {
  // Steps of a connection's life; the session is aborted after each number of them.
  for (int steps = 0; steps < 6; ++steps) {
    SCOPED_TRACE(steps);
    Pair& pair = start();
    for (int step = 0; step < steps; ++step) {
      pair.client.step();
      if (step == 3) pair.client.send("half a request");
      pair.conn.receive(pair.client.take());
      pair.conn.dispatch();
      if (step != 4) library_->run_handshakes();
      pair.client.give(pair.conn.take_sent());
    }
    pair.session->abort();
    EXPECT_TRUE(pair.conn.aborted());
    EXPECT_EQ(library_->stats().sessions, 0u);
    EXPECT_EQ(library_->stats().rx_buffers, 0u);
    library_->dispatch(Instant{});
  }
}

TEST_P(SessionTest, CloseAndAbortWorkFromInsideEachEvent) {
  for (const StreamEvents when : {StreamEvents::kConnected, StreamEvents::kReadable, StreamEvents::kWritable,
                                  StreamEvents::kPeerClosed, StreamEvents::kClosed}) {
    for (const bool abort : {false, true}) {
      SCOPED_TRACE(static_cast<int>(when) * 2 + abort);
      Pair& pair = start();
      bool ended = false;
      pair.recorder.act = [&](StreamEvents events) {
        ASSERT_FALSE(ended) << "an event after the end";
        if (!tcp::has(events, when)) return;
        ended = true;
        abort ? pair.session->abort() : pair.session->close();
      };
      ASSERT_TRUE(pair.pump());
      if (!ended) {
        pair.conn.tx_capacity = 3000;
        EXPECT_LT(pair.session->write(bytes_of(pattern(10'000))), 10'000u);
        pair.client.send("request");
        ASSERT_TRUE(pair.pump());
      }
      if (!ended && when == StreamEvents::kPeerClosed) {
        pair.client.close_notify();
        pair.client.step();
        ASSERT_TRUE(pair.pump());
      }
      if (!ended && when == StreamEvents::kClosed) {
        pair.conn.receive_reset();
        pair.run_server();
      }
      EXPECT_TRUE(ended);
      ASSERT_TRUE(pair.pump());
      EXPECT_TRUE(pair.conn.ended());
      EXPECT_EQ(library_->stats().sessions, 0u);
    }
  }
}

// ---- what goes wrong

TEST_P(SessionTest, ATamperedRecordIsAnAlertAndAnError) {
  Pair& pair = connect();
  pair.client.send("good");
  ASSERT_TRUE(pair.pump());
  pair.client.send("evil");
  pair.client.step();
  std::vector<std::uint8_t> record = pair.client.take();
  record.back() ^= 1;
  pair.conn.receive(record);
  pair.run_server();
  EXPECT_TRUE(pair.recorder.saw(StreamEvents::kClosed));
  EXPECT_EQ(pair.session->error(), StreamError::kTls);
  EXPECT_EQ(pair.session->failure(), "decryption failed or bad record mac");
  EXPECT_EQ(pair.read_all(), "good");
  EXPECT_EQ(pair.session->write(bytes_of("x")), 0u);
  EXPECT_EQ(library_->stats().record_errors, 1u);
  pair.session->close();
  EXPECT_TRUE(pair.conn.closed());
  ASSERT_TRUE(pair.pump());
  EXPECT_TRUE(pair.client.error().ends_with("alert bad record mac")) << pair.client.error();
}

struct GarbageCase {
  const char* name;
  std::string_view bytes;
  std::string_view failure;
};
const GarbageCase kGarbage[] = {
    {"plain_http", "GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n", "http request"},
    {"proxy_request", "CONNECT www.example.com:443 HTTP/1.1\r\n\r\n", "https proxy request"},
    {"ssh", "SSH-2.0-OpenSSH_9.2\r\n", "wrong version number"},
    {"sslv2_hello", "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\x01\x00\x80", ""},
    {"record_too_long", "\x16\x03\x01\xff\xff\x01", "packet length too long"},
    {"alert_instead_of_hello", std::string_view("\x15\x03\x01\x00\x02\x02\x28", 7), ""},
    {"empty_hello", std::string_view("\x16\x03\x01\x00\x04\x01\x00\x00\x00", 9), "length too short"},
};

TEST_P(SessionTest, GarbageInsteadOfAHandshakeFailsCleanly) {
  for (const GarbageCase& row : kGarbage) {
    SCOPED_TRACE(row.name);
    Pair& pair = start();
    pair.conn.receive(bytes_of(row.bytes));
    pair.conn.receive(bytes_of(std::string(300, 'x')));
    pair.run_server();
    EXPECT_TRUE(pair.recorder.saw(StreamEvents::kClosed));
    EXPECT_FALSE(pair.recorder.saw(StreamEvents::kConnected));
    EXPECT_EQ(pair.session->error(), StreamError::kTls);
    if (!row.failure.empty()) {
      EXPECT_EQ(pair.session->failure(), row.failure);
    }
    pair.session->close();
    EXPECT_TRUE(pair.conn.closed());
  }
  EXPECT_EQ(library_->stats().handshake_errors, std::size(kGarbage));
}

TEST_P(SessionTest, AClientThatLeavesDuringTheHandshakeIsAnError) {
  Pair& pair = start();
  pair.client.step();
  std::vector<std::uint8_t> hello = pair.client.take();
  pair.conn.receive(std::span(hello).first(100));
  pair.conn.receive_fin();
  pair.run_server();
  EXPECT_TRUE(pair.recorder.saw(StreamEvents::kClosed));
  EXPECT_EQ(pair.session->failure(), "the peer closed during the handshake");
  pair.session->close();
}

TEST_P(SessionTest, AClientsAlertIsItsReason) {
  Pair& pair = connect();
  // A fatal alert in a record that is not encrypted: refused in TLS 1.3, a bad record in TLS 1.2; an error in both.
  pair.conn.receive(bytes_of(std::string_view("\x15\x03\x03\x00\x02\x02\x28", 7)));
  pair.run_server();
  EXPECT_TRUE(pair.recorder.saw(StreamEvents::kClosed));
  EXPECT_EQ(pair.session->error(), StreamError::kTls);
  EXPECT_FALSE(pair.session->failure().empty());
}

TEST_P(SessionTest, KeyUpdatesAreAnsweredAndBounded) {
  if (GetParam().version != TLS1_3_VERSION) return;  // RFC 8446 section 4.6.3: TLS 1.3 only
  Pair& pair = connect();
  pair.collect();
  for (int i = 0; i < 20; ++i) {
    pair.client.update_keys(true);
    pair.client.send("after update;");
    ASSERT_TRUE(pair.pump());
    ASSERT_EQ(pair.session->write(bytes_of("ok")), 2u);
  }
  ASSERT_TRUE(pair.pump());
  EXPECT_EQ(pair.received.size(), 20 * std::string_view("after update;").size());
  EXPECT_EQ(pair.client.received().size(), 40u);
}

// A client that asks for answers and reads none of them does not make us keep them: reading stops.
TEST_P(SessionTest, KeyUpdatesWithoutRoomForAnswersStopTheReading) {
  if (GetParam().version != TLS1_3_VERSION) return;
  Pair& pair = connect();
  pair.conn.tx_capacity = 40;
  for (int i = 0; i < 500; ++i) {
    pair.client.update_keys(true);
    pair.client.send("x");
    pair.client.step();
  }
  const std::vector<std::uint8_t> flood = pair.client.take();
  pair.conn.receive(flood);
  pair.run_server();
  pair.read_all();
  pair.run_server();
  EXPECT_GT(pair.conn.unread(), flood.size() / 2);
  ASSERT_TRUE(pair.pump());
  EXPECT_EQ(pair.client.error(), "");
}

TEST_P(SessionTest, RenegotiationIsRefused) {
  if (GetParam().version != TLS1_2_VERSION) return;  // TLS 1.3 has none
  Pair& pair = connect();
  SSL_renegotiate(pair.client.ssl());
  SSL_do_handshake(pair.client.ssl());
  pair.client.send("x");
  ASSERT_TRUE(pair.pump());
  EXPECT_EQ(library_->stats().handshakes, 1u);
  EXPECT_TRUE(pair.client.error().ends_with("no renegotiation")) << pair.client.error();
}

}  // namespace
}  // namespace sluice::tls::test
