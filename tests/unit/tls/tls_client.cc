#include "tls_client.h"

#include <array>
#include <stdexcept>

#include <openssl/x509.h>

namespace sluice::tls::test {
namespace {

void check(bool done, const char* what) {
  if (!done) throw std::runtime_error(what);
}

}  // namespace

TlsClient::TlsClient(const ClientOptions& options) : context_(SSL_CTX_new(TLS_client_method())) {
  SSL_CTX* context = context_.get();
  SSL_CTX_set_min_proto_version(context, options.version);
  SSL_CTX_set_max_proto_version(context, options.version);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
  SSL_CTX_sess_set_new_cb(context, on_session);
  SSL_CTX_set_app_data(context, this);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  if (!options.ciphers.empty()) check(SSL_CTX_set_cipher_list(context, options.ciphers.c_str()) == 1, "ciphers");
  if (!options.cipher_suites.empty()) {
    check(SSL_CTX_set_ciphersuites(context, options.cipher_suites.c_str()) == 1, "cipher suites");
  }
  if (!options.signatures.empty()) {
    check(SSL_CTX_set1_sigalgs_list(context, options.signatures.c_str()) == 1, "signatures");
  }
  ssl_.reset(SSL_new(context));
  SSL* ssl = ssl_.get();
  if (!options.sni.empty()) check(SSL_set_tlsext_host_name(ssl, options.sni.c_str()) == 1, "sni");
  std::string alpn;
  for (const std::string& name : options.alpn) alpn += static_cast<char>(name.size()) + name;
  if (!alpn.empty()) {
    check(SSL_set_alpn_protos(ssl, reinterpret_cast<const unsigned char*>(alpn.data()),
                              static_cast<unsigned int>(alpn.size())) == 0,
          "alpn");
  }
  if (options.resume != nullptr) check(SSL_set_session(ssl, options.resume) == 1, "session");
  SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  SSL_set_connect_state(ssl);
}

TlsClient::~TlsClient() = default;

int TlsClient::on_session(SSL* ssl, SSL_SESSION* session) {
  auto* client = static_cast<TlsClient*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  client->last_session_.reset(session);
  ++client->tickets_;
  return 1;  // it is ours now
}

void TlsClient::fail(int result) {
  const int reason = SSL_get_error(ssl_.get(), result);
  if (reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE || reason == SSL_ERROR_ZERO_RETURN) return;
  if (error_.empty()) {
    const char* text = ERR_reason_error_string(ERR_peek_last_error());
    error_ = text != nullptr ? text : "unknown";
  }
  ERR_clear_error();
}

void TlsClient::step() {
  if (!error_.empty()) return;
  ERR_clear_error();
  if (!connected_) {
    const int done = SSL_do_handshake(ssl_.get());
    if (done != 1) return fail(done);
    connected_ = true;
  }
  while (!outgoing_.empty()) {
    std::size_t written = 0;
    if (SSL_write_ex(ssl_.get(), outgoing_.data(), outgoing_.size(), &written) != 1) {
      fail(0);
      break;
    }
    outgoing_.erase(0, written);
  }
  std::array<char, 20000> buffer;
  std::size_t got = 0;
  while (SSL_read_ex(ssl_.get(), buffer.data(), buffer.size(), &got) == 1) received_.append(buffer.data(), got);
  fail(0);
}

void TlsClient::give(std::span<const std::uint8_t> bytes) {
  if (!bytes.empty()) BIO_write(SSL_get_rbio(ssl_.get()), bytes.data(), static_cast<int>(bytes.size()));
}

std::vector<std::uint8_t> TlsClient::take() {
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(BIO_pending(SSL_get_wbio(ssl_.get()))));
  if (!bytes.empty()) BIO_read(SSL_get_wbio(ssl_.get()), bytes.data(), static_cast<int>(bytes.size()));
  return bytes;
}

void TlsClient::update_keys(bool of_both) {
  SSL_key_update(ssl_.get(), of_both ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED);
  SSL_do_handshake(ssl_.get());
}

std::string TlsClient::alpn() const {
  const unsigned char* name = nullptr;
  unsigned int bytes = 0;
  SSL_get0_alpn_selected(ssl_.get(), &name, &bytes);
  return {reinterpret_cast<const char*>(name), bytes};
}

std::string TlsClient::server_name() const {
  X509* certificate = SSL_get0_peer_certificate(ssl_.get());
  std::array<char, 256> name{};
  if (certificate != nullptr) {
    X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name.data(), name.size());
  }
  return name.data();
}

std::string TlsClient::server_key() const {
  X509* certificate = SSL_get0_peer_certificate(ssl_.get());
  return certificate != nullptr ? EVP_PKEY_get0_type_name(X509_get0_pubkey(certificate)) : "";
}

SavedSession TlsClient::session() const {
  // A TLS 1.2 ticket that came with a resumption is in the connection's session only.
  SSL_SESSION* session = SSL_version(ssl_.get()) < TLS1_3_VERSION ? SSL_get_session(ssl_.get()) : last_session_.get();
  // A copy: libssl spoils the session of a connection that ends without close_notify.
  return session != nullptr ? SavedSession(SSL_SESSION_dup(session)) : nullptr;
}

}  // namespace sluice::tls::test
