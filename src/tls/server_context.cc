#include "sluice/tls/server_context.h"

#include <new>
#include <utility>

#include <fmt/format.h>

#include "libssl_session.h"
#include "server_context_impl.h"
#include "tickets.h"

namespace sluice::tls {
namespace {

// RFC 7301 section 3.1.
constexpr std::size_t kMaxAlpnName = 255;

int wire_version(Version version) noexcept { return version == Version::kTls12 ? TLS1_2_VERSION : TLS1_3_VERSION; }

// SSL_TLSEXT_ERR_OK makes libssl remember the name in the session, whichever certificate serves it.
int servername_callback(SSL* ssl, int* /*alert*/, void* /*argument*/) noexcept {
  return SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) != nullptr ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

bool use_certificates(SSL* ssl, const CertificateStore::Choice& choice) noexcept {
  SSL_certs_clear(ssl);  // or a kind of key that this name has no certificate of would be served from the default
  for (const Certificate* certificate : choice) {
    if (certificate == nullptr) continue;
    if (SSL_use_cert_and_key(ssl, certificate->leaf.get(), certificate->key.get(), certificate->chain.get(), 1) != 1) {
      return false;
    }
  }
  return true;
}

// After the ClientHello was read and before a certificate is chosen. The default is set in the SSL_CTX already.
int certificate_callback(SSL* ssl, void* argument) noexcept {
  const auto& context = *static_cast<ServerContext::Impl*>(argument);
  const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (name == nullptr) return 1;
  const CertificateStore::Choice* choice = context.certificates.find(name);
  if (choice == nullptr || *choice == context.certificates.by_default()) return 1;
  return use_certificates(ssl, *choice) ? 1 : 0;
}

// RFC 7301 section 3.2: the server chooses; no protocol in common is fatal.
int alpn_callback(SSL* /*ssl*/, const unsigned char** out, unsigned char* out_bytes, const unsigned char* offered,
                  unsigned int offered_bytes, void* argument) noexcept {
  const std::string& ours = static_cast<ServerContext::Impl*>(argument)->alpn;
  unsigned char* chosen = nullptr;
  const int found = SSL_select_next_proto(&chosen, out_bytes, reinterpret_cast<const unsigned char*>(ours.data()),
                                          static_cast<unsigned int>(ours.size()), offered, offered_bytes);
  *out = chosen;
  return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

Result<std::string> wire_alpn(const std::vector<std::string>& names) {
  std::string wire;
  for (const std::string& name : names) {
    if (name.empty() || name.size() > kMaxAlpnName) {
      return fail(fmt::format("tls: \"{}\" is no ALPN name: its length is not in 1..{}", name, kMaxAlpnName));
    }
    wire += static_cast<char>(name.size());
    wire += name;
  }
  return wire;
}

Result<void> set_algorithms(SSL_CTX* context, const ServerSettings& settings) {
  if (settings.min_version > settings.max_version) return fail("tls: the lowest version is above the highest");
  if (SSL_CTX_set_min_proto_version(context, wire_version(settings.min_version)) != 1 ||
      SSL_CTX_set_max_proto_version(context, wire_version(settings.max_version)) != 1) {
    return fail(fmt::format("tls: versions: {}", take_error()));
  }
  if (SSL_CTX_set_ciphersuites(context, settings.cipher_suites.c_str()) != 1) {
    return fail(fmt::format("tls: cipher suites \"{}\": {}", settings.cipher_suites, take_error()));
  }
  if (SSL_CTX_set_cipher_list(context, settings.ciphers.c_str()) != 1) {
    return fail(fmt::format("tls: ciphers \"{}\": {}", settings.ciphers, take_error()));
  }
  if (SSL_CTX_set1_groups_list(context, settings.groups.c_str()) != 1) {
    return fail(fmt::format("tls: groups \"{}\": {}", settings.groups, take_error()));
  }
  return {};
}

Result<void> set_default_certificates(SSL_CTX* context, const CertificateStore::Choice& choice) {
  for (const Certificate* certificate : choice) {
    if (certificate == nullptr) continue;
    if (SSL_CTX_use_cert_and_key(context, certificate->leaf.get(), certificate->key.get(), certificate->chain.get(),
                                 1) != 1) {
      return fail(fmt::format("{}: {}", certificate->info.file, take_error()));
    }
  }
  return {};
}

// Certificates that only SNI chooses are tried once here, so that a key too weak for libssl is refused now and not in a
// handshake.
Result<void> try_certificates(SSL_CTX* context, const CertificateStore& store) {
  for (const Certificate& certificate : store.certificates()) {
    const SslPtr ssl(SSL_new(context));
    if (ssl == nullptr) return fail(fmt::format("tls: {}", take_error()));
    SSL_certs_clear(ssl.get());
    if (SSL_use_cert_and_key(ssl.get(), certificate.leaf.get(), certificate.key.get(), certificate.chain.get(), 1) !=
        1) {
      return fail(fmt::format("{}: {}", certificate.info.file, take_error()));
    }
  }
  return {};
}

void set_behaviour(SSL_CTX* context) noexcept {
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                   SSL_OP_PRIORITIZE_CHACHA);
  // PARTIAL_WRITE: a record at a time, so that the session decides on sizes. NO_AUTO_CHAIN: the chain is what the file
  // says.
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);  // no session ids: tickets work on every thread
  SSL_CTX_set_read_ahead(context, 0);
}

bool set_tickets(SSL_CTX* context, const ServerContext::Impl& impl, const std::string& service) noexcept {
  // A ticket is good only for the service that gave it, on any thread: the id is made from its name.
  unsigned char id[SSL_MAX_SID_CTX_LENGTH];
  std::size_t id_bytes = 0;
  if (EVP_Q_digest(impl.library.context.get(), "SHA256", nullptr, service.data(), service.size(), id, &id_bytes) != 1 ||
      SSL_CTX_set_session_id_context(context, id, static_cast<unsigned int>(id_bytes)) != 1) {
    return false;
  }
  if (impl.ticket_keys == nullptr) {
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    return SSL_CTX_set_num_tickets(context, 0) == 1;
  }
  SSL_CTX_set_timeout(context, static_cast<long>(impl.ticket_keys->ticket_lifetime().count()));
  return SSL_CTX_set_tlsext_ticket_key_evp_cb(context, ticket_key_callback) == 1 &&
         SSL_CTX_set_num_tickets(context, 1) == 1;
}

Result<CertificateStore> load_certificates(OSSL_LIB_CTX* context, const ServerSettings& settings) {
  if (settings.certificates.empty()) return fail(fmt::format("tls: service {} has no certificate", settings.name));
  std::vector<Certificate> certificates;
  for (const CertificatePem& pem : settings.certificates) {
    Result<Certificate> loaded = load_certificate(context, pem);
    if (!loaded) return std::unexpected(loaded.error());
    certificates.push_back(std::move(*loaded));
  }
  return CertificateStore(std::move(certificates));
}

}  // namespace

ServerContext::ServerContext(std::shared_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
ServerContext::~ServerContext() = default;

Result<std::shared_ptr<ServerContext>> ServerContext::create(Library& library, const ServerSettings& settings) {
  OSSL_LIB_CTX* library_context = library.impl().context.get();
  Result<CertificateStore> store = load_certificates(library_context, settings);
  if (!store) return std::unexpected(store.error());
  auto impl = std::make_shared<Impl>(library.impl(), std::move(*store));
  for (const Certificate& certificate : impl->certificates.certificates()) impl->info.push_back(certificate.info);
  impl->ticket_keys = settings.ticket_keys;
  Result<std::string> alpn = wire_alpn(settings.alpn);
  if (!alpn) return std::unexpected(alpn.error());
  impl->alpn = std::move(*alpn);

  impl->context.reset(SSL_CTX_new_ex(library_context, nullptr, TLS_server_method()));
  SSL_CTX* context = impl->context.get();
  if (context == nullptr) return fail(fmt::format("tls: {}", take_error()));
  SSL_CTX_set_app_data(context, impl.get());
  set_behaviour(context);
  if (Result<void> set = set_algorithms(context, settings); !set) return std::unexpected(set.error());
  if (Result<void> set = set_default_certificates(context, impl->certificates.by_default()); !set) {
    return std::unexpected(set.error());
  }
  if (Result<void> tried = try_certificates(context, impl->certificates); !tried) return std::unexpected(tried.error());
  if (!set_tickets(context, *impl, settings.name)) return fail(fmt::format("tls: tickets: {}", take_error()));
  SSL_CTX_set_tlsext_servername_callback(context, servername_callback);
  SSL_CTX_set_cert_cb(context, certificate_callback, impl.get());
  if (!impl->alpn.empty()) SSL_CTX_set_alpn_select_cb(context, alpn_callback, impl.get());
  return std::shared_ptr<ServerContext>(new ServerContext(std::move(impl)));
}

Session* ServerContext::accept(tcp::Conn& conn) noexcept {
  SslPtr ssl(SSL_new(impl_->context.get()));
  if (ssl == nullptr) {
    ERR_clear_error();
    return nullptr;
  }
  std::unique_ptr<LibsslSession> session(new (std::nothrow) LibsslSession(impl_, std::move(ssl), conn));
  if (session == nullptr || !session->begin()) return nullptr;
  return session.release();  // it deletes itself in close() or abort()
}

std::span<const CertificateInfo> ServerContext::certificates() const noexcept { return impl_->info; }

}  // namespace sluice::tls
