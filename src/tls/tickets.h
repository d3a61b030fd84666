// Session tickets: the callback by which libssl seals and opens them with the keys that all threads share.
// Threading: the thread of the handshake.
// Spec:      RFC 5077 section 4.
#pragma once

#include <openssl/ssl.h>

namespace sluice::tls {

// For SSL_CTX_set_tlsext_ticket_key_evp_cb(); finds the ServerContext::Impl as application data of the SSL_CTX.
int ticket_key_callback(SSL* ssl, unsigned char* key_name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac,
                        int seal) noexcept;

}  // namespace sluice::tls
