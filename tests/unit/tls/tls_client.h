// The other side of a test: a libssl client that reads and writes memory.
// Threading: one thread.
// Ownership: it owns its library objects; a saved session may outlive it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <openssl/err.h>
#include <openssl/ssl.h>

namespace sluice::tls::test {

struct SslSessionDelete {
  void operator()(SSL_SESSION* session) const noexcept { SSL_SESSION_free(session); }
};
using SavedSession = std::unique_ptr<SSL_SESSION, SslSessionDelete>;

struct ClientOptions {
  int version = TLS1_3_VERSION;
  std::string sni = {};
  std::vector<std::string> alpn = {};
  std::string ciphers = {};        // TLS 1.2
  std::string cipher_suites = {};  // TLS 1.3
  std::string signatures = {};     // signature algorithms; empty: the library's
  SSL_SESSION* resume = nullptr;
};

class TlsClient {
 public:
  explicit TlsClient(const ClientOptions& options);
  ~TlsClient();
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;

  // Runs the handshake on, sends what waits, reads what came. Call after give().
  void step();
  void give(std::span<const std::uint8_t> bytes);
  [[nodiscard]] std::vector<std::uint8_t> take();  // what it wants to send
  void send(std::string_view text) { outgoing_ += text; }
  void close_notify() { SSL_shutdown(ssl_.get()); }
  void update_keys(bool of_both);  // TLS 1.3 KeyUpdate

  [[nodiscard]] bool connected() const { return connected_; }
  [[nodiscard]] const std::string& received() const { return received_; }
  [[nodiscard]] const std::string& error() const { return error_; }
  [[nodiscard]] bool got_close_notify() const { return (SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) != 0; }
  [[nodiscard]] bool all_sent() const { return outgoing_.empty(); }
  [[nodiscard]] std::string alpn() const;
  [[nodiscard]] std::string server_name() const;  // common name of the server's certificate
  [[nodiscard]] std::string server_key() const;   // "RSA", "EC"
  [[nodiscard]] bool resumed() const { return SSL_session_reused(ssl_.get()) == 1; }
  [[nodiscard]] SavedSession session() const;  // the last ticket
  [[nodiscard]] std::size_t tickets() const { return tickets_; }
  [[nodiscard]] SSL* ssl() { return ssl_.get(); }

 private:
  static int on_session(SSL* ssl, SSL_SESSION* session);
  void fail(int result);

  struct CtxDelete {
    void operator()(SSL_CTX* context) const noexcept { SSL_CTX_free(context); }
  };
  struct SslDelete {
    void operator()(SSL* ssl) const noexcept { SSL_free(ssl); }
  };
  std::unique_ptr<SSL_CTX, CtxDelete> context_;
  std::unique_ptr<SSL, SslDelete> ssl_;
  std::string outgoing_, received_, error_;
  SavedSession last_session_;
  std::size_t tickets_ = 0;
  bool connected_ = false;
};

}  // namespace sluice::tls::test
