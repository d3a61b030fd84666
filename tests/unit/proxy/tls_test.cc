// HTTPS services: a libssl client against the whole proxy over the stacks.
#include <algorithm>
#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test_certificates.h"
#include "tls_client.h"
#include "world.h"

namespace sluice::proxy::test {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

class CertificateFiles {
 public:
  CertificateFiles() {
    std::string name = (fs::temp_directory_path() / "sluice-tls-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = name;
    const tls::CertificatePem pem = tls::test::make_certificate({"www.example.com"});
    std::ofstream(path_ / "site.crt") << pem.certificate;
    std::ofstream(path_ / "site.key") << pem.key;
  }
  ~CertificateFiles() { fs::remove_all(path_); }
  CertificateFiles(const CertificateFiles&) = delete;
  CertificateFiles& operator=(const CertificateFiles&) = delete;

  [[nodiscard]] std::string service(std::string_view routes, std::string_view proxy_keys = {}) const {
    std::string keys = "      tls: { certificates: [ { cert: " + (path_ / "site.crt").string() +
                       ", key: " + (path_ / "site.key").string() + " } ] }\n";
    return one_service(routes, keys.append(proxy_keys));
  }
  [[nodiscard]] fs::path path() const { return path_; }

 private:
  fs::path path_;
};

// A TLS client at the end of a Peer.
class TlsPeer final : public Peer {
 public:
  explicit TlsPeer(World& world, tls::test::ClientOptions options = {}, std::uint16_t port = 30000) : client_(options) {
    attach(
        world.client.stack().connect({world.client.address, port}, endpoint("198.51.100.10:80"), *this, world.now, 5s));
  }
  void on_stream(tcp::StreamEvents events) noexcept override {
    Peer::on_stream(events);
    step();
  }
  void on_data() override {
    client_.give({reinterpret_cast<const std::uint8_t*>(received.data()), received.size()});
    received.clear();
  }
  void step() {
    client_.step();
    const std::vector<std::uint8_t> out = client_.take();
    if (!out.empty()) send({reinterpret_cast<const char*>(out.data()), out.size()});
  }
  void say(std::string_view text) {
    client_.send(text);
    step();
  }
  tls::test::TlsClient client_;
};

TEST(Https, RequestsAreServedOverTls) {
  const CertificateFiles files;
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    World world(files.service("        - { pool: web }\n"));
    Origin& origin = world.origin();
    TlsPeer peer(world, {.version = version, .sni = "www.example.com", .alpn = {"http/1.1"}});
    peer.say("GET /1 HTTP/1.1\r\nHost: www.example.com\r\n\r\nGET /2 HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
    EXPECT_TRUE(world.run([&] { return peer.client_.received().ends_with("GET /2"); }, 10s)) << peer.client_.error();
    EXPECT_EQ(peer.client_.alpn(), "http/1.1");
    EXPECT_EQ(origin.requests.at(0).header("X-Forwarded-Proto"), "https");
    EXPECT_EQ(world.counters().tls_handshakes.read(), 1u);
    EXPECT_EQ(world.counters().tls_buffer_bytes.read(), 0);
    world.run_for(80s);  // idle timeout
    EXPECT_TRUE(peer.client_.got_close_notify());
    EXPECT_EQ(world.counters().connections.read(), 0);
  }
}

TEST(Https, LargeBodiesGoBothWays) {
  const CertificateFiles files;
  World world(files.service("        - { pool: web }\n"));
  Origin& origin = world.origin();
  std::string body(2'000'000, '\0');
  for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>(i * 13 + i / 997);
  origin.on_request = [&](OriginConnection& to, const Message& request) { to.send(response(request.body)); };
  TlsPeer peer(world);
  peer.say("POST /echo HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 2000000\r\nConnection: close\r\n\r\n" +
           body);
  EXPECT_TRUE(world.run([&] { return peer.client_.got_close_notify(); })) << peer.client_.error();
  EXPECT_TRUE(responses_of(peer.client_.received()).at(0).body == body);
}

TEST(Https, AClientThatDoesNotSpeakTlsIsRefusedAndCounted) {
  const CertificateFiles files;
  World world(files.service("        - { respond: { status: 200, body: x } }\n"));
  const std::unique_ptr<Peer> peer = world.connect();
  peer->send("GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
  world.run_for(5s);
  EXPECT_TRUE(peer->closed || peer->peer_closed);
  EXPECT_EQ(world.counters().tls_failed.read(), 1u);
  EXPECT_EQ(world.counters().connections.read(), 0);
}

// What ends a connection after its handshake is counted too.
TEST(Https, TruncatedAndBrokenRecordsAreCounted) {
  const CertificateFiles files;
  for (const bool truncated : {true, false}) {
    World world(files.service("        - { respond: { status: 200, body: x } }\n"));
    TlsPeer peer(world);
    ASSERT_TRUE(world.run([&] { return peer.client_.connected(); }, 5s)) << peer.client_.error();
    if (truncated) {
      peer.shutdown();
    } else {
      peer.send("this is no record");
    }
    world.run_for(5s);
    EXPECT_EQ(world.counters().tls_truncated.read(), truncated ? 1u : 0u);
    EXPECT_EQ(world.counters().tls_record_errors.read(), truncated ? 0u : 1u);
    EXPECT_EQ(world.counters().connections.read(), 0);
  }
}

// Plaintext that nobody reads is bounded, by a share of the connections' memory: who wants more is reset, the others are served.
TEST(Https, UnreadPlaintextIsBounded) {
  const CertificateFiles files;
  std::string yaml = files.service("        - { pool: web }\n");
  yaml.insert(yaml.find("workers:"), "connection_memory: 1MiB, ");
  World world(yaml);
  world.origin();
  world.network.lose = [](std::span<const std::uint8_t> packet) {
    return packet[19] == 11;
  };  // 192.0.2.11 hears nothing
  std::vector<std::unique_ptr<TlsPeer>> peers;
  for (std::uint16_t i = 0; i < 20; ++i) {
    peers.push_back(
        std::make_unique<TlsPeer>(world, tls::test::ClientOptions{}, static_cast<std::uint16_t>(30000 + i)));
    peers.back()->say("POST / HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 50000\r\n\r\n" +
                      std::string(20'000, 'b'));
  }
  world.run_for(1s);
  EXPECT_EQ(world.counters().tls_handshakes.read(), 20u);
  EXPECT_GE(world.counters().tls_no_buffer.read(), 4u);
  EXPECT_EQ(world.counters().tls_buffer_bytes.read(), 256 << 10);
  EXPECT_EQ(world.counters().requests.read(), 16u);
  EXPECT_EQ(world.counters().connections.read(), 20);  // the other four wait for their turn
  world.run_for(60s);
  EXPECT_EQ(world.counters().requests.read(), 20u);
  EXPECT_EQ(world.counters().tls_buffer_bytes.read(), 0);
}

TEST(Https, ASlowHandshakeEnds) {
  const CertificateFiles files;
  World world(
      files.service("        - { respond: { status: 200, body: x } }\n", "      limits: { header_timeout: 7s }\n"));
  const std::unique_ptr<Peer> peer = world.connect();
  world.run_for(6s);
  EXPECT_EQ(world.counters().connections.read(), 1);
  world.run_for(2s);
  EXPECT_EQ(world.counters().connections.read(), 0);
  EXPECT_EQ(world.counters().tls_failed.read(), 1u);
}

TEST(Https, AMissingCertificateIsSaidAtTheStart) {
  const CertificateFiles files;
  fs::remove(files.path() / "site.key");
  try {
    World world(files.service("        - { respond: { status: 200, body: x } }\n"));
    FAIL() << "it started";
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(),
                ::testing::AllOf(::testing::HasSubstr("service site: "), ::testing::HasSubstr("site.key")));
  }
}

}  // namespace
}  // namespace sluice::proxy::test
