// What the TLS side of one service is: certificates chosen by SNI, versions, ciphers, ALPN, tickets. One per service
// and proxy.
// Threading: created by control in the proxy's Library; then only that proxy's thread uses it.
// Ownership: shared: its Sessions keep it alive, so a reload may drop it while handshakes run.
// Errors:    create() names the file and says what is wrong with it.
// Spec:      RFC 6066 section 3 (SNI), RFC 6125 section 6.4.3 (wildcards), RFC 7301 (ALPN), RFC 5077 and 8446
//            (tickets).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sluice/base/result.h"
#include "sluice/base/time.h"
#include "sluice/tcp/stack.h"
#include "sluice/tls/library.h"
#include "sluice/tls/session.h"
#include "sluice/tls/ticket_keys.h"

namespace sluice::tls {

enum class Version : std::uint8_t { kTls12, kTls13 };

struct CertificatePem {
  std::string certificate;       // PEM: the leaf, then its chain
  std::string key;               // PEM, not encrypted
  std::string certificate_file;  // for error text
  std::string key_file;
};

// Defaults: Mozilla's "intermediate" (guidelines 5.7), AES-GCM first because it is what we compute fastest.
struct ServerSettings {
  std::string name = {};                          // of the service: tickets of one are not taken by another
  std::vector<CertificatePem> certificates = {};  // the first is for clients without SNI or with an unknown name
  Version min_version = Version::kTls12;
  Version max_version = Version::kTls13;
  std::string cipher_suites = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";  // TLS 1.3
  std::string ciphers =                                                                                      // TLS 1.2
      "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
      "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
  std::string groups = "X25519:P-256";
  std::vector<std::string> alpn = {"http/1.1"};  // in our order of preference; empty: no ALPN
  std::shared_ptr<TicketKeys> ticket_keys = {};  // nullptr: no tickets, so no resumption
};

struct CertificateInfo {  // for status and for warnings before the end
  std::string file;
  std::vector<std::string> names;  // DNS names of the certificate, in lower case
  std::string key_type;            // "RSA-2048", "EC-P-256"
  UnixSeconds not_after = 0;
};

class ServerContext {
 public:
  [[nodiscard]] static Result<std::shared_ptr<ServerContext>> create(Library& library, const ServerSettings& settings);
  ~ServerContext();
  ServerContext(const ServerContext&) = delete;
  ServerContext& operator=(const ServerContext&) = delete;

  // Takes the connection over and begins the handshake on it; set the handler of the Session before returning to the
  // loop. How long a handshake may take is the caller's to say: abort() it then. nullptr: no memory, the connection is
  // untouched.
  [[nodiscard]] Session* accept(tcp::Conn& conn) noexcept;

  [[nodiscard]] std::span<const CertificateInfo> certificates() const noexcept;

  struct Impl;  // src/tls/server_context_impl.h

 private:
  explicit ServerContext(std::shared_ptr<Impl> impl) noexcept;
  std::shared_ptr<Impl> impl_;
};

}  // namespace sluice::tls
