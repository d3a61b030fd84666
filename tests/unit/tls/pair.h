// A TLS connection in memory: client, fake connection, Session and a handler that records; pump() carries the bytes.
// Threading: one thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "fake_conn.h"
#include "sluice/base/random.h"
#include "sluice/tls/library.h"
#include "sluice/tls/server_context.h"
#include "sluice/tls/session.h"
#include "test_certificates.h"
#include "tls_client.h"

namespace sluice::tls::test {

// How bytes are cut on their way: whole, one by one, or at random.
class Cut {
 public:
  static Cut whole() { return Cut(0, 0); }
  static Cut at_most(std::size_t bytes) { return Cut(bytes, 0); }
  static Cut random(std::uint64_t seed, std::size_t most) { return Cut(most, seed); }
  std::size_t next(std::size_t left) {
    if (most_ == 0) return left;
    const std::size_t piece = seeded_ ? 1 + random_.below(static_cast<std::uint32_t>(most_)) : most_;
    return std::min(left, piece);
  }

 private:
  Cut(std::size_t most, std::uint64_t seed) : most_(most), seeded_(seed != 0), random_(seed) {}
  std::size_t most_;
  bool seeded_;
  Random random_;
};

class Recorder final : public tcp::StreamHandler {
 public:
  void on_stream(tcp::StreamEvents what) noexcept override {
    events |= what;
    ++calls;
    if (act) act(what);
  }
  [[nodiscard]] bool saw(tcp::StreamEvents what) const { return tcp::has(events, what); }

  tcp::StreamEvents events = tcp::StreamEvents::kNone;
  int calls = 0;
  std::function<void(tcp::StreamEvents)> act;
};

inline std::span<const std::uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

inline std::unique_ptr<Library> make_library(Crypto crypto) {
  Result<std::unique_ptr<Library>> library = Library::create(crypto);
  if (!library) throw std::runtime_error(library.error().message);
  return std::move(*library);
}

// One RSA and one EC key for all tests: making them takes longer than most tests.
inline const CertificatePem& ec_certificate() {
  static const CertificatePem pem = make_certificate({"www.example.com"});
  return pem;
}
inline const CertificatePem& rsa_certificate() {
  static const CertificatePem pem = make_certificate({"www.example.com"}, {.key = KeyType::kRsa});
  return pem;
}

inline std::shared_ptr<ServerContext> make_context(Library& library, ServerSettings settings = {}) {
  if (settings.certificates.empty()) settings.certificates = {ec_certificate()};
  Result<std::shared_ptr<ServerContext>> context = ServerContext::create(library, settings);
  if (!context) throw std::runtime_error(context.error().message);
  return *context;
}

class Pair {
 public:
  Pair(Library& lib, ServerContext& context, const ClientOptions& options = {})
      : library(lib), client(options), session(context.accept(conn)) {
    session->set_handler(&recorder);
  }
  ~Pair() {
    if (session != nullptr && !conn.ended()) session->abort();
  }

  // Carries bytes both ways until nothing moves. False: it went on for too long.
  bool pump(Cut cut = Cut::whole()) {
    for (int turn = 0; turn < 1'000'000; ++turn) {
      bool moved = false;
      client.step();
      const std::vector<std::uint8_t> out = client.take();
      for (std::size_t at = 0; at < out.size();) {
        const std::size_t piece = cut.next(out.size() - at);
        if (!conn.ended()) conn.receive(std::span(out).subspan(at, piece));
        at += piece;
        run_server();
        moved = true;
      }
      moved |= run_server();
      while (conn.unsent() != 0) {
        client.give(conn.take_sent(cut.next(conn.unsent())));
        client.step();
        moved = true;
        if (!conn.ended()) run_server();
      }
      if (!moved) return true;
    }
    return false;
  }

  // One turn of the loop, and as many more as there is work for.
  bool run_server() {
    bool worked = false;
    for (bool more = true; more;) {
      more = conn.dispatch();
      more |= library.run_handshakes() != 0;
      more |= library.dispatch(now) != 0;
      worked |= more;
    }
    return worked;
  }

  // What the session has, taken.
  std::string read_all() {
    std::string text;
    for (auto piece = session->rx_peek(); !piece.empty(); piece = session->rx_peek()) {
      text.append(reinterpret_cast<const char*>(piece.data()), piece.size());
      session->rx_consume(piece.size());
    }
    return text;
  }

  // Reads all that comes, from inside the events, as a server does.
  void collect() {
    recorder.act = [this](tcp::StreamEvents) { received += read_all(); };
  }
  // Sends it all, as room comes.
  void send_all(std::string text) {
    outgoing = std::move(text);
    outgoing_at = 0;
    recorder.act = [this](tcp::StreamEvents) {
      received += read_all();
      outgoing_at += session->write(bytes_of(std::string_view(outgoing).substr(outgoing_at)));
    };
    outgoing_at += session->write(bytes_of(outgoing));
  }
  [[nodiscard]] bool all_sent() const { return outgoing_at == outgoing.size(); }

  Library& library;
  FakeConn conn;
  TlsClient client;
  Recorder recorder;
  Session* session;  // set to nullptr by a test that closed it itself
  Instant now{};
  std::string received, outgoing;
  std::size_t outgoing_at = 0;
};

inline std::string pattern(std::size_t bytes, std::uint64_t seed = 1) {
  Random random(seed);
  std::string text(bytes, '\0');
  for (char& c : text) c = static_cast<char>(random.next() >> 32);
  return text;
}

}  // namespace sluice::tls::test
