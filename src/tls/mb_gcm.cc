#include "mb_gcm.h"

#include <cstring>
#include <new>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <openssl/rand.h>

namespace sluice::tls {
namespace {

GcmFunctions functions_of(const IMB_MGR& mgr, std::size_t key_bytes) noexcept {
  if (key_bytes == 16) {
    return {mgr.gcm128_pre,        mgr.gcm128_init,       mgr.gcm128_enc,          mgr.gcm128_dec,
            mgr.gcm128_enc_update, mgr.gcm128_dec_update, mgr.gcm128_enc_finalize, mgr.gcm128_dec_finalize};
  }
  return {mgr.gcm256_pre,        mgr.gcm256_init,       mgr.gcm256_enc,          mgr.gcm256_dec,
          mgr.gcm256_enc_update, mgr.gcm256_dec_update, mgr.gcm256_enc_finalize, mgr.gcm256_dec_finalize};
}

// RFC 5288 section 3: the explicit part may be a counter; unique for each record of a key.
void increment(std::uint8_t counter[MbGcm::kExplicitNonce]) noexcept {
  for (std::size_t i = MbGcm::kExplicitNonce; i > 0; --i) {
    if (++counter[i - 1] != 0) return;
  }
}

bool is(const OSSL_PARAM& param, const char* name) noexcept { return std::strcmp(param.key, name) == 0; }

}  // namespace

MbGcm::MbGcm(MbProvider& provider, std::size_t key_bytes) noexcept
    : functions_(functions_of(*provider.manager, key_bytes)), provider_(&provider), key_bytes_(key_bytes) {}

MbGcm::~MbGcm() {
  OPENSSL_cleanse(&key_, sizeof key_);
  OPENSSL_cleanse(&state_, sizeof state_);
}

bool MbGcm::start(bool seal, std::span<const std::uint8_t> key, std::span<const std::uint8_t> iv) noexcept {
  seal_ = seal;
  if (!iv.empty()) {
    if (iv.size() != kIv) return false;
    std::memcpy(iv_, iv.data(), kIv);
    aad_.clear();
    stage_ = Stage::kAad;
  }
  if (!key.empty()) {
    if (key.size() != key_bytes_) return false;
    functions_.expand_key(key.data(), &key_);
    key_set_ = true;
  }
  return true;
}

bool MbGcm::add_aad(std::span<const std::uint8_t> aad) noexcept {
  if (stage_ != Stage::kAad) return false;
  try {
    aad_.insert(aad_.end(), aad.begin(), aad.end());
  } catch (const std::bad_alloc&) {
    return false;
  }
  return true;
}

void MbGcm::begin_data() noexcept {
  if (stage_ != Stage::kAad) return;
  functions_.init(&key_, &state_, iv_, aad_.data(), aad_.size());
  stage_ = Stage::kData;
}

bool MbGcm::update(std::uint8_t* out, const std::uint8_t* in, std::size_t bytes) noexcept {
  if (!key_set_ || stage_ == Stage::kNoIv || stage_ == Stage::kDone) return false;
  begin_data();
  if (bytes != 0) (seal_ ? functions_.seal_update : functions_.open_update)(&key_, &state_, out, in, bytes);
  return true;
}

bool MbGcm::finish() noexcept {
  if (!key_set_ || stage_ == Stage::kNoIv || stage_ == Stage::kDone) return false;
  begin_data();
  stage_ = Stage::kDone;
  provider_->count();
  if (seal_) {
    functions_.seal_final(&key_, &state_, tag_, kTag);
    tag_bytes_ = kTag;
    return true;
  }
  std::uint8_t tag[kTag];
  functions_.open_final(&key_, &state_, tag, kTag);
  const bool same = tag_bytes_ != 0 && CRYPTO_memcmp(tag, tag_, tag_bytes_) == 0;
  OPENSSL_cleanse(tag, sizeof tag);
  return same;
}

std::optional<std::size_t> MbGcm::tls_record(std::uint8_t* data, std::size_t bytes) noexcept {
  tls_aad_set_ = false;  // good for one record, whatever comes of it
  if (!key_set_ || stage_ == Stage::kNoIv || bytes < kExplicitNonce + kTag) return std::nullopt;
  std::uint8_t* nonce = iv_ + kIv - kExplicitNonce;
  std::uint8_t* text = data + kExplicitNonce;
  const std::size_t text_bytes = bytes - kExplicitNonce - kTag;
  stage_ = Stage::kDone;
  provider_->count();
  if (seal_) {
    std::memcpy(data, nonce, kExplicitNonce);
    functions_.seal(&key_, &state_, text, text, text_bytes, iv_, tls_aad_, kTlsAad, text + text_bytes, kTag);
    increment(nonce);
    return bytes;
  }
  std::memcpy(nonce, data, kExplicitNonce);
  std::uint8_t tag[kTag];
  functions_.open(&key_, &state_, text, text, text_bytes, iv_, tls_aad_, kTlsAad, tag, kTag);
  if (CRYPTO_memcmp(tag, text + text_bytes, kTag) != 0) {
    OPENSSL_cleanse(text, text_bytes);
    return std::nullopt;
  }
  return text_bytes;
}

bool MbGcm::set_tls_aad(const void* aad, std::size_t bytes) noexcept {
  if (bytes != kTlsAad) return false;
  std::memcpy(tls_aad_, aad, kTlsAad);
  // libssl gives the length of what it hands over; RFC 5246 section 6.2.3.3 wants that of the plaintext.
  std::size_t length = static_cast<std::size_t>(tls_aad_[kTlsAad - 2] << 8 | tls_aad_[kTlsAad - 1]);
  const std::size_t around = kExplicitNonce + (seal_ ? 0 : kTag);
  if (length < around) return false;
  length -= around;
  tls_aad_[kTlsAad - 2] = static_cast<std::uint8_t>(length >> 8);
  tls_aad_[kTlsAad - 1] = static_cast<std::uint8_t>(length);
  tls_aad_set_ = true;
  return true;
}

bool MbGcm::set_tls_fixed_iv(const void* iv, std::size_t bytes) noexcept {
  if (bytes != kIv - kExplicitNonce) return false;
  std::memcpy(iv_, iv, bytes);
  if (seal_ && RAND_bytes_ex(provider_->library, iv_ + bytes, kExplicitNonce, 0) <= 0) return false;
  stage_ = Stage::kAad;
  return true;
}

bool MbGcm::set_param(const OSSL_PARAM& param) noexcept {
  if (is(param, OSSL_CIPHER_PARAM_AEAD_TAG)) {
    if (param.data_type != OSSL_PARAM_OCTET_STRING || param.data_size == 0 || param.data_size > kTag) return false;
    if (param.data == nullptr) return true;  // only the length of a tag that we make: get_param() looks at its caller's
    if (seal_) return false;
    std::memcpy(tag_, param.data, param.data_size);
    tag_bytes_ = param.data_size;
    return true;
  }
  if (is(param, OSSL_CIPHER_PARAM_AEAD_TLS1_AAD)) {
    return param.data_type == OSSL_PARAM_OCTET_STRING && set_tls_aad(param.data, param.data_size);
  }
  if (is(param, OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED)) {
    return param.data_type == OSSL_PARAM_OCTET_STRING && set_tls_fixed_iv(param.data, param.data_size);
  }
  std::size_t value = 0;
  if (is(param, OSSL_CIPHER_PARAM_IVLEN)) return OSSL_PARAM_get_size_t(&param, &value) != 0 && value == kIv;
  if (is(param, OSSL_CIPHER_PARAM_KEYLEN)) return OSSL_PARAM_get_size_t(&param, &value) != 0 && value == key_bytes_;
  return true;  // unknown ones are for others (provider-cipher(7)): libssl offers the same to every cipher
}

bool MbGcm::set_params(const OSSL_PARAM params[]) noexcept {
  for (; params != nullptr && params->key != nullptr; ++params) {
    if (!set_param(*params)) return false;
  }
  return true;
}

bool MbGcm::get_param(OSSL_PARAM& param) noexcept {
  // The first two are asked for with each record.
  if (is(param, OSSL_CIPHER_PARAM_IVLEN)) return OSSL_PARAM_set_size_t(&param, kIv) != 0;
  if (is(param, OSSL_CIPHER_PARAM_AEAD_TAG)) {
    if (!seal_ || tag_bytes_ == 0 || param.data_size == 0 || param.data_size > kTag) return false;
    return OSSL_PARAM_set_octet_string(&param, tag_, param.data_size) != 0;
  }
  if (is(param, OSSL_CIPHER_PARAM_KEYLEN)) return OSSL_PARAM_set_size_t(&param, key_bytes_) != 0;
  if (is(param, OSSL_CIPHER_PARAM_AEAD_TAGLEN)) return OSSL_PARAM_set_size_t(&param, kTag) != 0;
  if (is(param, OSSL_CIPHER_PARAM_AEAD_TLS1_AAD_PAD)) return OSSL_PARAM_set_size_t(&param, kTag) != 0;
  if (is(param, OSSL_CIPHER_PARAM_IV) || is(param, OSSL_CIPHER_PARAM_UPDATED_IV)) {
    if (stage_ == Stage::kNoIv) return false;
    return OSSL_PARAM_set_octet_string(&param, iv_, kIv) != 0 || OSSL_PARAM_set_octet_ptr(&param, iv_, kIv) != 0;
  }
  return true;
}

bool MbGcm::get_params(OSSL_PARAM params[]) noexcept {
  for (; params != nullptr && params->key != nullptr; ++params) {
    if (!get_param(*params)) return false;
  }
  return true;
}

}  // namespace sluice::tls
