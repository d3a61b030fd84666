// AES-GCM for the packets of a burst, by Intel ipsec-mb: keys as RFC 4106 hands them out, and an engine that seals or opens
// many messages in one call.
// Threading: a GcmKey is constant once made and may be used by many engines at once; a GcmEngine belongs to one thread.
// Ownership: a key wipes itself; an engine borrows keys and messages for the length of a call.
// Spec:      NIST SP 800-38D; RFC 4106 section 4 (nonce: salt, then IV) and section 8.1 (key material: key, then salt).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "sluice/base/result.h"

namespace sluice::esp {

inline constexpr std::size_t kSaltBytes = 4;
inline constexpr std::size_t kNonceBytes = 12;
inline constexpr std::size_t kTagBytes = 16;
inline constexpr std::size_t kMaxBurst = 32;  // messages of one call

[[nodiscard]] constexpr bool is_key_material(std::size_t bytes) noexcept {  // of AES-128 or AES-256, with its salt
  return bytes == 16 + kSaltBytes || bytes == 32 + kSaltBytes;
}

class GcmKey {
 public:
  // is_key_material(material.size()) holds. Fails where the CPU has no AES instructions.
  [[nodiscard]] static Result<std::shared_ptr<const GcmKey>> expand(std::span<const std::uint8_t> material);
  ~GcmKey();
  GcmKey(const GcmKey&) = delete;
  GcmKey& operator=(const GcmKey&) = delete;

  [[nodiscard]] const std::array<std::uint8_t, kSaltBytes>& salt() const noexcept { return salt_; }

 private:
  friend class GcmEngine;
  struct Expanded;
  GcmKey();
  std::unique_ptr<Expanded> expanded_;
  std::array<std::uint8_t, kSaltBytes> salt_{};
};

struct GcmMessage {
  const GcmKey* key = nullptr;
  std::uint8_t* text = nullptr;  // ciphered in place
  std::size_t text_bytes = 0;    // 1 or more
  std::size_t aad_bytes = 0;
  std::array<std::uint8_t, kNonceBytes> nonce{};
  std::array<std::uint8_t, kNonceBytes> aad{};
  std::uint8_t* tag = nullptr;  // kTagBytes that are written, by seal() and open() alike: who opens compares them
};

class GcmEngine {
 public:
  [[nodiscard]] static Result<GcmEngine> create();
  ~GcmEngine();
  GcmEngine(GcmEngine&&) noexcept;
  GcmEngine& operator=(GcmEngine&&) noexcept;

  // At most kMaxBurst messages.
  void seal(std::span<GcmMessage> messages) noexcept;
  void open(std::span<GcmMessage> messages) noexcept;

 private:
  struct Impl;
  explicit GcmEngine(std::unique_ptr<Impl> impl) noexcept;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::esp
