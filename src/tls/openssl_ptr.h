// Owners for OpenSSL's objects, and its error queue as text.
// Threading: the error queue is per thread; whoever sees a failure empties it.
#pragma once

#include <memory>
#include <string>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

namespace sluice::tls {

template <auto free_function>
struct OpensslDelete {
  template <typename T>
  void operator()(T* object) const noexcept {
    free_function(object);
  }
};

inline void free_chain(STACK_OF(X509) * chain) noexcept { sk_X509_pop_free(chain, X509_free); }

using BioPtr = std::unique_ptr<BIO, OpensslDelete<BIO_free_all>>;
using BioMethodPtr = std::unique_ptr<BIO_METHOD, OpensslDelete<BIO_meth_free>>;
using CipherPtr = std::unique_ptr<EVP_CIPHER, OpensslDelete<EVP_CIPHER_free>>;
using CipherCtxPtr = std::unique_ptr<EVP_CIPHER_CTX, OpensslDelete<EVP_CIPHER_CTX_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, OpensslDelete<EVP_PKEY_free>>;
using LibCtxPtr = std::unique_ptr<OSSL_LIB_CTX, OpensslDelete<OSSL_LIB_CTX_free>>;
using ProviderPtr = std::unique_ptr<OSSL_PROVIDER, OpensslDelete<OSSL_PROVIDER_unload>>;
using SslPtr = std::unique_ptr<SSL, OpensslDelete<SSL_free>>;
using SslCtxPtr = std::unique_ptr<SSL_CTX, OpensslDelete<SSL_CTX_free>>;
using X509Ptr = std::unique_ptr<X509, OpensslDelete<X509_free>>;
using ChainPtr = std::unique_ptr<STACK_OF(X509), OpensslDelete<free_chain>>;

// The last error's reason ("no start line", "key values mismatch"); a static string. Empties the queue.
inline const char* take_error() noexcept {
  const char* reason = ERR_reason_error_string(ERR_peek_last_error());
  ERR_clear_error();
  return reason != nullptr ? reason : "unknown error";
}

// SSL_get_error() takes an old error of the thread for one of its call, so none may be there before it.
inline void clear_stale_errors() noexcept {
  if (ERR_peek_error() != 0) ERR_clear_error();
}

}  // namespace sluice::tls
