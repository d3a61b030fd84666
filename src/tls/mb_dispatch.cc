// The C face of MbGcm: what OpenSSL's dispatch tables point to (provider-cipher(7)).
#include <cstring>
#include <new>

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "mb_gcm.h"

namespace sluice::tls {
namespace {

MbGcm& gcm(void* context) noexcept { return *static_cast<MbGcm*>(context); }

template <std::size_t key_bytes>
void* new_context(void* provider) noexcept {
  return new (std::nothrow) MbGcm(*static_cast<MbProvider*>(provider), key_bytes);
}

void free_context(void* context) noexcept { delete static_cast<MbGcm*>(context); }

void* dup_context(void* context) noexcept {
  try {
    return new MbGcm(gcm(context));
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

template <bool seal>
int start(void* context, const unsigned char* key, std::size_t key_bytes, const unsigned char* iv, std::size_t iv_bytes,
          const OSSL_PARAM params[]) noexcept {
  const std::span<const std::uint8_t> key_span(key, key != nullptr ? key_bytes : 0);
  const std::span<const std::uint8_t> iv_span(iv, iv != nullptr ? iv_bytes : 0);
  return gcm(context).start(seal, key_span, iv_span) && gcm(context).set_params(params) ? 1 : 0;
}

int update(void* context, unsigned char* out, std::size_t* out_bytes, std::size_t out_room, const unsigned char* in,
           std::size_t in_bytes) noexcept {
  *out_bytes = 0;
  if (gcm(context).has_tls_aad()) {
    // provider-cipher(7): TLS hands over a whole record, in place.
    if (out == nullptr || out != in || out_room < in_bytes) return 0;
    const std::optional<std::size_t> done = gcm(context).tls_record(out, in_bytes);
    *out_bytes = done.value_or(0);
    return done ? 1 : 0;
  }
  if (in_bytes == 0) return 1;
  if (out != nullptr && out_room < in_bytes) return 0;
  const bool done = out == nullptr ? gcm(context).add_aad({in, in_bytes}) : gcm(context).update(out, in, in_bytes);
  if (done) *out_bytes = in_bytes;
  return done ? 1 : 0;
}

int finish(void* context, unsigned char* /*out*/, std::size_t* out_bytes, std::size_t /*out_room*/) noexcept {
  *out_bytes = 0;
  return gcm(context).finish() ? 1 : 0;
}

// EVP_Cipher(): an update, or with no input the end.
int cipher(void* context, unsigned char* out, std::size_t* out_bytes, std::size_t out_room, const unsigned char* in,
           std::size_t in_bytes) noexcept {
  return in == nullptr ? finish(context, out, out_bytes, out_room)
                       : update(context, out, out_bytes, out_room, in, in_bytes);
}

template <std::size_t key_bytes>
int get_cipher_params(OSSL_PARAM params[]) noexcept {
  for (OSSL_PARAM* param = params; param != nullptr && param->key != nullptr; ++param) {
    const auto is = [param](const char* name) { return std::strcmp(param->key, name) == 0; };
    int done = 1;
    if (is(OSSL_CIPHER_PARAM_MODE)) done = OSSL_PARAM_set_uint(param, EVP_CIPH_GCM_MODE);
    if (is(OSSL_CIPHER_PARAM_KEYLEN)) done = OSSL_PARAM_set_size_t(param, key_bytes);
    if (is(OSSL_CIPHER_PARAM_IVLEN)) done = OSSL_PARAM_set_size_t(param, MbGcm::kIv);
    if (is(OSSL_CIPHER_PARAM_BLOCK_SIZE)) done = OSSL_PARAM_set_size_t(param, 1);
    if (is(OSSL_CIPHER_PARAM_AEAD)) done = OSSL_PARAM_set_int(param, 1);
    if (is(OSSL_CIPHER_PARAM_CUSTOM_IV)) done = OSSL_PARAM_set_int(param, 1);
    if (done == 0) return 0;
  }
  return 1;
}

int set_context_params(void* context, const OSSL_PARAM params[]) noexcept {
  return gcm(context).set_params(params) ? 1 : 0;
}
int get_context_params(void* context, OSSL_PARAM params[]) noexcept { return gcm(context).get_params(params) ? 1 : 0; }

const OSSL_PARAM kCipherParams[] = {OSSL_PARAM_uint(OSSL_CIPHER_PARAM_MODE, nullptr),
                                    OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_KEYLEN, nullptr),
                                    OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_IVLEN, nullptr),
                                    OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_BLOCK_SIZE, nullptr),
                                    OSSL_PARAM_int(OSSL_CIPHER_PARAM_AEAD, nullptr),
                                    OSSL_PARAM_int(OSSL_CIPHER_PARAM_CUSTOM_IV, nullptr),
                                    OSSL_PARAM_END};
const OSSL_PARAM kGettable[] = {OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_KEYLEN, nullptr),
                                OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_IVLEN, nullptr),
                                OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_AEAD_TAGLEN, nullptr),
                                OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_IV, nullptr, 0),
                                OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_UPDATED_IV, nullptr, 0),
                                OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, nullptr, 0),
                                OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_AEAD_TLS1_AAD_PAD, nullptr),
                                OSSL_PARAM_END};
const OSSL_PARAM kSettable[] = {OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_IVLEN, nullptr),
                                OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, nullptr, 0),
                                OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TLS1_AAD, nullptr, 0),
                                OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED, nullptr, 0),
                                OSSL_PARAM_END};

const OSSL_PARAM* cipher_params(void* /*provider*/) noexcept { return kCipherParams; }
const OSSL_PARAM* gettable(void* /*context*/, void* /*provider*/) noexcept { return kGettable; }
const OSSL_PARAM* settable(void* /*context*/, void* /*provider*/) noexcept { return kSettable; }

// A dispatch table holds functions of many types as one; the number says which type it is.
template <typename Function>
OSSL_DISPATCH entry(int id, Function* function) noexcept {
  return {id, reinterpret_cast<void (*)()>(function)};
}

#define SLUICE_MB_GCM(key_bytes)                                                                           \
  {                                                                                                        \
    entry(OSSL_FUNC_CIPHER_NEWCTX, new_context<key_bytes>), entry(OSSL_FUNC_CIPHER_FREECTX, free_context), \
        entry(OSSL_FUNC_CIPHER_DUPCTX, dup_context), entry(OSSL_FUNC_CIPHER_ENCRYPT_INIT, start<true>),    \
        entry(OSSL_FUNC_CIPHER_DECRYPT_INIT, start<false>), entry(OSSL_FUNC_CIPHER_UPDATE, update),        \
        entry(OSSL_FUNC_CIPHER_FINAL, finish), entry(OSSL_FUNC_CIPHER_CIPHER, cipher),                     \
        entry(OSSL_FUNC_CIPHER_GET_PARAMS, get_cipher_params<key_bytes>),                                  \
        entry(OSSL_FUNC_CIPHER_GETTABLE_PARAMS, cipher_params),                                            \
        entry(OSSL_FUNC_CIPHER_GET_CTX_PARAMS, get_context_params),                                        \
        entry(OSSL_FUNC_CIPHER_GETTABLE_CTX_PARAMS, gettable),                                             \
        entry(OSSL_FUNC_CIPHER_SET_CTX_PARAMS, set_context_params),                                        \
        entry(OSSL_FUNC_CIPHER_SETTABLE_CTX_PARAMS, settable), {                                           \
      0, nullptr                                                                                           \
    }                                                                                                      \
  }

const OSSL_DISPATCH kAes128Gcm[] = SLUICE_MB_GCM(16);
const OSSL_DISPATCH kAes256Gcm[] = SLUICE_MB_GCM(32);

#undef SLUICE_MB_GCM

constexpr char kProperties[] = "provider=sluice-mb,sluice.mb=yes";

}  // namespace

// Under the default provider's names, or they would be other algorithms to libssl.
const OSSL_ALGORITHM kMbCiphers[] = {
    {"AES-128-GCM:id-aes128-GCM:2.16.840.1.101.3.4.1.6", kProperties, kAes128Gcm, "AES-128-GCM by ipsec-mb"},
    {"AES-256-GCM:id-aes256-GCM:2.16.840.1.101.3.4.1.46", kProperties, kAes256Gcm, "AES-256-GCM by ipsec-mb"},
    {nullptr, nullptr, nullptr, nullptr}};

}  // namespace sluice::tls
