#include "tickets.h"

#include <cstring>

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include "server_context_impl.h"

namespace sluice::tls {
namespace {

constexpr int kIvBytes = 16;

// What the callback may answer (SSL_CTX_set_tlsext_ticket_key_evp_cb(3)).
enum Answer : int { kError = -1, kUnknownKey = 0, kUse = 1, kUseAndRenew = 2 };

bool set_mac_key(EVP_MAC_CTX* mac, const TicketKey& key) noexcept {
  char digest[] = "SHA256";
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, const_cast<std::uint8_t*>(key.mac_key.data()),
                                        key.mac_key.size()),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, sizeof digest - 1), OSSL_PARAM_construct_end()};
  return EVP_MAC_CTX_set_params(mac, params) == 1;
}

const TicketKey* find_key(const TicketKeySet& keys, const unsigned char* name) noexcept {
  for (const TicketKey* key : {&keys.current, &keys.previous, &keys.next}) {
    if (std::memcmp(key->name.data(), name, key->name.size()) == 0) return key;
  }
  return nullptr;
}

}  // namespace

int ticket_key_callback(SSL* ssl, unsigned char* key_name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac,
                        int seal) noexcept {
  const auto& context = *static_cast<ServerContext::Impl*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  const std::shared_ptr<const TicketKeySet> keys = context.ticket_keys->keys();
  const EVP_CIPHER* algorithm = context.library.ticket_cipher.get();
  if (seal != 0) {
    const TicketKey& key = keys->current;
    if (RAND_bytes_ex(context.library.context.get(), iv, kIvBytes, 0) <= 0) return kError;
    std::memcpy(key_name, key.name.data(), key.name.size());
    const bool ready =
        EVP_EncryptInit_ex2(cipher, algorithm, key.cipher_key.data(), iv, nullptr) == 1 && set_mac_key(mac, key);
    return ready ? kUse : kError;
  }
  const TicketKey* key = find_key(*keys, key_name);
  if (key == nullptr) return kUnknownKey;
  const bool ready =
      EVP_DecryptInit_ex2(cipher, algorithm, key->cipher_key.data(), iv, nullptr) == 1 && set_mac_key(mac, *key);
  if (!ready) return kError;
  // RFC 8446 appendix C.4: a client should use a ticket once, so each resumption gives it a new one.
  return SSL_version(ssl) >= TLS1_3_VERSION || key != &keys->current ? kUseAndRenew : kUse;
}

}  // namespace sluice::tls
