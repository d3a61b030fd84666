// AES-GCM of the ipsec-mb provider: the functions that OpenSSL calls for one cipher context.
// Threading: a context belongs to one thread.
// Layout:    the expanded key wants 16-byte alignment for its vector loads, which its type asks for only with -DLINUX.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <intel-ipsec-mb.h>
#include <openssl/core.h>

#include "mb_provider.h"

namespace sluice::tls {

// The entry points for one key length.
struct GcmFunctions {
  aes_gcm_pre_t expand_key;
  aes_gcm_init_t init;
  aes_gcm_enc_dec_t seal, open;
  aes_gcm_enc_dec_update_t seal_update, open_update;
  aes_gcm_enc_dec_finalize_t seal_final, open_final;
};

class alignas(64) MbGcm {
 public:
  static constexpr std::size_t kIv = 12;
  static constexpr std::size_t kTag = 16;
  static constexpr std::size_t kExplicitNonce = 8;  // RFC 5288 section 3
  static constexpr std::size_t kTlsAad = 13;        // RFC 5246 section 6.2.3.3

  MbGcm(MbProvider& provider, std::size_t key_bytes) noexcept;
  MbGcm(const MbGcm&) = default;
  MbGcm& operator=(const MbGcm&) = delete;
  ~MbGcm();

  // Any of key and iv may be empty: what was set before stays (TLS 1.3 sets a key once and an IV for each record).
  [[nodiscard]] bool start(bool seal, std::span<const std::uint8_t> key, std::span<const std::uint8_t> iv) noexcept;
  [[nodiscard]] bool add_aad(std::span<const std::uint8_t> aad) noexcept;
  [[nodiscard]] bool update(std::uint8_t* out, const std::uint8_t* in, std::size_t bytes) noexcept;
  // Sealing: the tag is ready. Opening: false if it is not the one that was set.
  [[nodiscard]] bool finish() noexcept;

  // TLS 1.2: one record in place, explicit nonce in front and tag behind. How many bytes came out; nothing: refused.
  [[nodiscard]] std::optional<std::size_t> tls_record(std::uint8_t* data, std::size_t bytes) noexcept;
  [[nodiscard]] bool has_tls_aad() const noexcept { return tls_aad_set_; }

  [[nodiscard]] bool set_params(const OSSL_PARAM params[]) noexcept;
  [[nodiscard]] bool get_params(OSSL_PARAM params[]) noexcept;

 private:
  enum class Stage : std::uint8_t { kNoIv, kAad, kData, kDone };  // kDone: an IV is never used twice

  [[nodiscard]] bool set_param(const OSSL_PARAM& param) noexcept;
  [[nodiscard]] bool get_param(OSSL_PARAM& param) noexcept;
  [[nodiscard]] bool set_tls_aad(const void* aad, std::size_t bytes) noexcept;
  [[nodiscard]] bool set_tls_fixed_iv(const void* iv, std::size_t bytes) noexcept;
  void begin_data() noexcept;

  alignas(64) gcm_key_data key_;
  alignas(64) gcm_context_data state_;
  GcmFunctions functions_;
  MbProvider* provider_;
  std::vector<std::uint8_t> aad_;  // gathered until the data begins: ipsec-mb takes it whole
  std::size_t key_bytes_;
  std::size_t tag_bytes_ = 0;
  std::uint8_t iv_[kIv] = {};
  std::uint8_t tag_[kTag] = {};
  std::uint8_t tls_aad_[kTlsAad] = {};
  Stage stage_ = Stage::kNoIv;
  bool seal_ = true;
  bool key_set_ = false;
  bool tls_aad_set_ = false;
};

// What the provider offers (mb_dispatch.cc).
extern const OSSL_ALGORITHM kMbCiphers[];

}  // namespace sluice::tls
