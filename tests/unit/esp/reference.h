// What ESP with AES-GCM should look like, made by OpenSSL alone: none of the code under test.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string_view>
#include <vector>

#include <openssl/evp.h>

namespace sluice::esp::test {

using Bytes = std::vector<std::uint8_t>;

inline Bytes from_hex(std::string_view text) {
  Bytes out;
  unsigned half = 0;
  bool second = false;
  for (const char c : text) {
    if (c == ' ' || c == '\n') continue;
    const unsigned digit = static_cast<unsigned>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    if (second) out.push_back(static_cast<std::uint8_t>(half << 4 | digit));
    half = digit;
    second = !second;
  }
  return out;
}

inline Bytes pattern(std::size_t bytes, std::uint8_t first = 0) {
  Bytes out(bytes);
  for (std::size_t i = 0; i < bytes; ++i) out[i] = static_cast<std::uint8_t>(first + i * 7 + i / 256);
  return out;
}

inline void append(Bytes& to, std::span<const std::uint8_t> from) { to.insert(to.end(), from.begin(), from.end()); }
inline Bytes big_endian(std::uint64_t value, std::size_t bytes) {
  Bytes out;
  for (std::size_t i = bytes; i > 0; --i) out.push_back(static_cast<std::uint8_t>(value >> (8 * (i - 1))));
  return out;
}

// Ciphertext and tag.
inline Bytes gcm_seal(std::span<const std::uint8_t> key, const Bytes& nonce, const Bytes& aad, const Bytes& text) {
  const std::unique_ptr<EVP_CIPHER_CTX, void (*)(EVP_CIPHER_CTX*)> context(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  Bytes out(text.size() + 16);
  int length = 0;
  const bool good =
      EVP_EncryptInit_ex(context.get(), key.size() == 16 ? EVP_aes_128_gcm() : EVP_aes_256_gcm(), nullptr, key.data(),
                         nonce.data()) == 1 &&
      EVP_EncryptUpdate(context.get(), nullptr, &length, aad.data(), static_cast<int>(aad.size())) == 1 &&
      EVP_EncryptUpdate(context.get(), out.data(), &length, text.data(), static_cast<int>(text.size())) == 1 &&
      EVP_EncryptFinal_ex(context.get(), out.data() + length, &length) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, 16, out.data() + text.size()) == 1;
  if (!good) throw std::runtime_error("OpenSSL");
  return out;
}

struct Esp {
  Bytes material;  // key and salt
  std::uint32_t spi;
  std::uint64_t sequence;
  bool extended;
  std::uint64_t iv;
};

// The ESP packet of an inner packet: RFC 4303 section 2 and RFC 4106, written from the RFCs.
inline Bytes esp_packet(const Esp& sa, const Bytes& inner, std::uint8_t next_header) {
  const auto key = std::span(sa.material).first(sa.material.size() - 4);
  Bytes nonce(sa.material.end() - 4, sa.material.end());
  append(nonce, big_endian(sa.iv, 8));
  Bytes aad = big_endian(sa.spi, 4);
  append(aad, sa.extended ? big_endian(sa.sequence, 8) : big_endian(sa.sequence & 0xffffffff, 4));
  Bytes text = inner;
  std::uint8_t padding = 0;
  while ((text.size() + 2) % 4 != 0) text.push_back(++padding);
  text.push_back(padding);
  text.push_back(next_header);
  Bytes out = big_endian(sa.spi, 4);
  append(out, big_endian(sa.sequence & 0xffffffff, 4));
  append(out, big_endian(sa.iv, 8));
  append(out, gcm_seal(key, nonce, aad, text));
  return out;
}

}  // namespace sluice::esp::test
