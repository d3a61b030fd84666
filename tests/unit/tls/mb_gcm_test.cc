// The ipsec-mb provider against OpenSSL's own AES-GCM: same key, nonce, AAD and text in, same bytes out, however they are cut.
#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "pair.h"
#include "src/tls/library_impl.h"
#include "src/tls/openssl_ptr.h"

namespace sluice::tls::test {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes from_hex(std::string_view hex) {
  Bytes bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<std::uint8_t>(std::stoul(std::string(hex.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}

class MbGcmTest : public testing::Test {
 protected:
  CipherPtr fetch(const char* name) {
    return CipherPtr(EVP_CIPHER_fetch(library_->impl().context.get(), name, nullptr));
  }
  CipherPtr fetch_default(const char* name) { return CipherPtr(EVP_CIPHER_fetch(nullptr, name, "provider=default")); }

  std::unique_ptr<Library> library_ = make_library(Crypto::kIpsecMb);
};

struct Message {
  Bytes key, iv, aad, text;
};

struct Sealed {
  Bytes text, tag;
  bool operator==(const Sealed&) const = default;
};

// Whole pieces at `cut` bytes; 0 is one piece.
bool feed(EVP_CIPHER_CTX* context, const Bytes& in, std::uint8_t* out, Random& random, std::size_t cut) {
  for (std::size_t at = 0; at < in.size();) {
    const std::size_t most = in.size() - at;
    const std::size_t piece =
        cut == 0 ? most : std::min<std::size_t>(most, 1 + random.below(static_cast<std::uint32_t>(cut)));
    int got = 0;
    if (EVP_CipherUpdate(context, out == nullptr ? nullptr : out + at, &got, in.data() + at, static_cast<int>(piece)) !=
            1 ||
        got != static_cast<int>(piece)) {
      return false;
    }
    at += piece;
  }
  return true;
}

Sealed seal(const EVP_CIPHER* cipher, const Message& message, Random& random, std::size_t cut) {
  const CipherCtxPtr context(EVP_CIPHER_CTX_new());
  Sealed sealed{Bytes(message.text.size()), Bytes(16)};
  int got = 0;
  EXPECT_EQ(EVP_EncryptInit_ex2(context.get(), cipher, message.key.data(), message.iv.data(), nullptr), 1);
  EXPECT_TRUE(feed(context.get(), message.aad, nullptr, random, cut));
  EXPECT_TRUE(feed(context.get(), message.text, sealed.text.data(), random, cut));
  std::uint8_t none[16];
  EXPECT_EQ(EVP_EncryptFinal_ex(context.get(), none, &got), 1);
  EXPECT_EQ(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, 16, sealed.tag.data()), 1);
  return sealed;
}

bool open(const EVP_CIPHER* cipher, const Message& message, Sealed sealed, Bytes& text, Random& random,
          std::size_t cut) {
  const CipherCtxPtr context(EVP_CIPHER_CTX_new());
  text.resize(sealed.text.size());
  EXPECT_EQ(EVP_DecryptInit_ex2(context.get(), cipher, message.key.data(), message.iv.data(), nullptr), 1);
  EXPECT_EQ(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, 16, sealed.tag.data()), 1);
  EXPECT_TRUE(feed(context.get(), message.aad, nullptr, random, cut));
  EXPECT_TRUE(feed(context.get(), sealed.text, text.data(), random, cut));
  std::uint8_t none[16];
  int got = 0;
  return EVP_DecryptFinal_ex(context.get(), none, &got) == 1;
}

// McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B: those with a 12-byte IV.
struct Vector {
  const char* name;
  const char* cipher;
  const char *key, *iv, *aad, *text, *sealed, *tag;
};
const Vector kVectors[] = {
    {"case_1_nothing", "AES-128-GCM", "00000000000000000000000000000000", "000000000000000000000000", "", "", "",
     "58e2fccefa7e3061367f1d57a4e7455a"},
    {"case_2_one_block", "AES-128-GCM", "00000000000000000000000000000000", "000000000000000000000000", "",
     "00000000000000000000000000000000", "0388dace60b6a392f328c2b971b2fe78", "ab6e47d42cec13bdf53a67b21257bddf"},
    {"case_4_with_aad", "AES-128-GCM", "feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
     "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657"
     "ba637b39",
     "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac97"
     "3d58e091",
     "5bc94fbc3221a5db94fae95ae7121a47"},
    {"case_13_nothing_256", "AES-256-GCM", "0000000000000000000000000000000000000000000000000000000000000000",
     "000000000000000000000000", "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
    {"case_16_with_aad_256", "AES-256-GCM", "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
     "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657"
     "ba637b39",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0a"
     "bcc9f662",
     "76fc6ece0f4e1768cddf8853bb2d551b"},
};

TEST_F(MbGcmTest, GivesThePublishedVectors) {
  Random random(1);
  for (const Vector& vector : kVectors) {
    SCOPED_TRACE(vector.name);
    const CipherPtr cipher = fetch(vector.cipher);
    const Message message{from_hex(vector.key), from_hex(vector.iv), from_hex(vector.aad), from_hex(vector.text)};
    EXPECT_EQ(seal(cipher.get(), message, random, 0), (Sealed{from_hex(vector.sealed), from_hex(vector.tag)}));
  }
}

TEST_F(MbGcmTest, AgreesWithTheDefaultProviderForAllLengthsAndCuts) {
  Random random(7);
  for (const char* name : {"AES-128-GCM", "AES-256-GCM"}) {
    const CipherPtr ours = fetch(name);
    const CipherPtr theirs = fetch_default(name);
    ASSERT_STREQ(OSSL_PROVIDER_get0_name(EVP_CIPHER_get0_provider(ours.get())), kMbProviderName);
    for (int round = 0; round < 2000; ++round) {
      const auto fill = [&random](std::size_t bytes) {
        Bytes result(bytes);
        for (std::uint8_t& byte : result) byte = static_cast<std::uint8_t>(random.next());
        return result;
      };
      const std::size_t most = round < 1000 ? 300 : 20000;
      const Message message{fill(static_cast<std::size_t>(EVP_CIPHER_get_key_length(ours.get()))), fill(12),
                            fill(random.below(100)), fill(random.below(static_cast<std::uint32_t>(most)))};
      const std::size_t cut = round % 3 == 0 ? 0 : round % 3 == 1 ? 40 : 3000;
      const Sealed sealed = seal(ours.get(), message, random, cut);
      ASSERT_EQ(sealed, seal(theirs.get(), message, random, 0)) << name << " round " << round;
      Bytes text;
      ASSERT_TRUE(open(ours.get(), message, sealed, text, random, cut)) << name << " round " << round;
      ASSERT_EQ(text, message.text);
      Sealed broken = sealed;
      broken.tag[random.below(16)] ^= 1;
      ASSERT_FALSE(open(ours.get(), message, broken, text, random, cut));
    }
  }
}

TEST_F(MbGcmTest, SaysOfItselfWhatTheDefaultProviderSays) {
  for (const char* name : {"AES-128-GCM", "AES-256-GCM"}) {
    const CipherPtr ours = fetch(name);
    const CipherPtr theirs = fetch_default(name);
    EXPECT_EQ(EVP_CIPHER_get_mode(ours.get()), EVP_CIPHER_get_mode(theirs.get()));
    EXPECT_EQ(EVP_CIPHER_get_key_length(ours.get()), EVP_CIPHER_get_key_length(theirs.get()));
    EXPECT_EQ(EVP_CIPHER_get_iv_length(ours.get()), EVP_CIPHER_get_iv_length(theirs.get()));
    EXPECT_EQ(EVP_CIPHER_get_block_size(ours.get()), EVP_CIPHER_get_block_size(theirs.get()));
    EXPECT_EQ(EVP_CIPHER_get_nid(ours.get()), EVP_CIPHER_get_nid(theirs.get()));
    constexpr unsigned long kFlags = EVP_CIPH_FLAG_AEAD_CIPHER | EVP_CIPH_CUSTOM_IV;
    EXPECT_EQ(EVP_CIPHER_get_flags(ours.get()) & kFlags, EVP_CIPHER_get_flags(theirs.get()) & kFlags);
  }
}

TEST_F(MbGcmTest, ACopyOfAContextGoesItsOwnWay) {
  const CipherPtr cipher = fetch("AES-128-GCM");
  const Bytes key(16, 1), iv(12, 2), half(100, 3);
  const CipherCtxPtr first(EVP_CIPHER_CTX_new());
  const CipherCtxPtr second(EVP_CIPHER_CTX_new());
  Bytes out(200), copy(200);
  int got = 0;
  ASSERT_EQ(EVP_EncryptInit_ex2(first.get(), cipher.get(), key.data(), iv.data(), nullptr), 1);
  ASSERT_EQ(EVP_EncryptUpdate(first.get(), out.data(), &got, half.data(), 100), 1);
  copy = out;
  ASSERT_EQ(EVP_CIPHER_CTX_copy(second.get(), first.get()), 1);
  ASSERT_EQ(EVP_EncryptUpdate(first.get(), out.data() + 100, &got, half.data(), 100), 1);
  ASSERT_EQ(EVP_EncryptUpdate(second.get(), copy.data() + 100, &got, half.data(), 100), 1);
  EXPECT_EQ(out, copy);
  Bytes tag(16), tag_of_copy(16);
  ASSERT_EQ(EVP_EncryptFinal_ex(first.get(), out.data(), &got), 1);
  ASSERT_EQ(EVP_EncryptFinal_ex(second.get(), copy.data(), &got), 1);
  EVP_CIPHER_CTX_ctrl(first.get(), EVP_CTRL_AEAD_GET_TAG, 16, tag.data());
  EVP_CIPHER_CTX_ctrl(second.get(), EVP_CTRL_AEAD_GET_TAG, 16, tag_of_copy.data());
  EXPECT_EQ(tag, tag_of_copy);
}

TEST_F(MbGcmTest, RefusesWhatWouldBreakGcm) {
  const CipherPtr cipher = fetch("AES-128-GCM");
  const Bytes key(16, 1), iv(12, 2), text(16, 3);
  Bytes out(64);
  int got = 0;
  {
    const CipherCtxPtr context(EVP_CIPHER_CTX_new());
    ASSERT_EQ(EVP_EncryptInit_ex2(context.get(), cipher.get(), key.data(), iv.data(), nullptr), 1);
    ASSERT_EQ(EVP_EncryptUpdate(context.get(), out.data(), &got, text.data(), 16), 1);
    EXPECT_EQ(EVP_EncryptUpdate(context.get(), nullptr, &got, text.data(), 16), 0) << "AAD after text";
    ASSERT_EQ(EVP_EncryptFinal_ex(context.get(), out.data(), &got), 1);
    EXPECT_EQ(EVP_EncryptUpdate(context.get(), out.data(), &got, text.data(), 16), 0) << "an IV used twice";
  }
  {
    const CipherCtxPtr context(EVP_CIPHER_CTX_new());
    ASSERT_EQ(EVP_EncryptInit_ex2(context.get(), cipher.get(), key.data(), nullptr, nullptr), 1);
    EXPECT_EQ(EVP_EncryptUpdate(context.get(), out.data(), &got, text.data(), 16), 0) << "no IV";
    EXPECT_LE(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_IVLEN, 16, nullptr), 0) << "16-byte IV";
  }
  {
    const CipherCtxPtr context(EVP_CIPHER_CTX_new());
    ASSERT_EQ(EVP_DecryptInit_ex2(context.get(), cipher.get(), key.data(), iv.data(), nullptr), 1);
    ASSERT_EQ(EVP_DecryptUpdate(context.get(), out.data(), &got, text.data(), 16), 1);
    EXPECT_EQ(EVP_DecryptFinal_ex(context.get(), out.data(), &got), 0) << "no tag to compare with";
  }
}

TEST_F(MbGcmTest, IgnoresParametersThatItDoesNotKnow) {
  const CipherPtr cipher = fetch("AES-128-GCM");
  const Bytes key(16, 1), iv(12, 2);
  unsigned int padding = 0, version = TLS1_2_VERSION;
  const OSSL_PARAM params[] = {OSSL_PARAM_construct_uint(OSSL_CIPHER_PARAM_PADDING, &padding),
                               OSSL_PARAM_construct_uint(OSSL_CIPHER_PARAM_TLS_VERSION, &version),
                               OSSL_PARAM_construct_end()};
  const CipherCtxPtr context(EVP_CIPHER_CTX_new());
  EXPECT_EQ(EVP_EncryptInit_ex2(context.get(), cipher.get(), key.data(), iv.data(), params), 1);
}

// TLS 1.2's way: a fixed IV once, then AAD and one in-place update a record (RFC 5288). Both providers read each other's.
TEST_F(MbGcmTest, ReadsAndIsReadByTheDefaultProviderInTls12Records) {
  Random random(11);
  for (const bool ours_seals : {true, false}) {
    const CipherPtr sealing = ours_seals ? fetch("AES-128-GCM") : fetch_default("AES-128-GCM");
    const CipherPtr opening = ours_seals ? fetch_default("AES-128-GCM") : fetch("AES-128-GCM");
    Bytes key(16, 9), fixed(4, 8);
    const CipherCtxPtr out(EVP_CIPHER_CTX_new()), in(EVP_CIPHER_CTX_new());
    ASSERT_EQ(EVP_EncryptInit_ex2(out.get(), sealing.get(), key.data(), nullptr, nullptr), 1);
    ASSERT_EQ(EVP_DecryptInit_ex2(in.get(), opening.get(), key.data(), nullptr, nullptr), 1);
    ASSERT_EQ(EVP_CIPHER_CTX_ctrl(out.get(), EVP_CTRL_AEAD_SET_IV_FIXED, 4, fixed.data()), 1);
    ASSERT_EQ(EVP_CIPHER_CTX_ctrl(in.get(), EVP_CTRL_AEAD_SET_IV_FIXED, 4, fixed.data()), 1);
    std::set<std::string> nonces;  // the explicit part, 8 bytes
    for (std::uint8_t sequence = 0; sequence < 50; ++sequence) {
      const std::size_t bytes = random.below(2000);
      Bytes text(bytes);
      for (std::uint8_t& byte : text) byte = static_cast<std::uint8_t>(random.next());
      Bytes record(8 + bytes + 16);
      std::ranges::copy(text, record.begin() + 8);
      const auto aad_for = [sequence](std::size_t length) {
        return Bytes{0,
                     0,
                     0,
                     0,
                     0,
                     0,
                     0,
                     sequence,
                     23,
                     3,
                     3,
                     static_cast<std::uint8_t>(length >> 8),
                     static_cast<std::uint8_t>(length)};
      };
      Bytes aad = aad_for(8 + bytes);
      ASSERT_EQ(EVP_CIPHER_CTX_ctrl(out.get(), EVP_CTRL_AEAD_TLS1_AAD, 13, aad.data()), 16);
      int got = 0;
      ASSERT_EQ(EVP_CipherUpdate(out.get(), record.data(), &got, record.data(), static_cast<int>(record.size())), 1);
      ASSERT_EQ(got, static_cast<int>(record.size()));
      EXPECT_TRUE(nonces.emplace(record.begin(), record.begin() + 8).second) << "a nonce was used twice";
      aad = aad_for(record.size());
      ASSERT_EQ(EVP_CIPHER_CTX_ctrl(in.get(), EVP_CTRL_AEAD_TLS1_AAD, 13, aad.data()), 16);
      ASSERT_EQ(EVP_CipherUpdate(in.get(), record.data(), &got, record.data(), static_cast<int>(record.size())), 1);
      ASSERT_EQ(got, static_cast<int>(bytes));
      ASSERT_EQ(Bytes(record.begin() + 8, record.begin() + 8 + static_cast<std::ptrdiff_t>(bytes)), text);
    }
  }
}

TEST_F(MbGcmTest, RefusesATls12RecordWithAWrongTag) {
  const CipherPtr cipher = fetch("AES-256-GCM");
  Bytes key(32, 9), fixed(4, 8), aad{0, 0, 0, 0, 0, 0, 0, 0, 23, 3, 3, 0, 8 + 16};
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{100}}) {
    const CipherCtxPtr in(EVP_CIPHER_CTX_new());
    ASSERT_EQ(EVP_DecryptInit_ex2(in.get(), cipher.get(), key.data(), nullptr, nullptr), 1);
    ASSERT_EQ(EVP_CIPHER_CTX_ctrl(in.get(), EVP_CTRL_AEAD_SET_IV_FIXED, 4, fixed.data()), 1);
    aad[12] = static_cast<std::uint8_t>(8 + bytes + 16);
    ASSERT_EQ(EVP_CIPHER_CTX_ctrl(in.get(), EVP_CTRL_AEAD_TLS1_AAD, 13, aad.data()), 16);
    Bytes record(8 + bytes + 16, 5);
    int got = 0;
    EXPECT_LE(EVP_CipherUpdate(in.get(), record.data(), &got, record.data(), static_cast<int>(record.size())), 0);
  }
}

}  // namespace
}  // namespace sluice::tls::test
