#include "sluice/tls/library.h"

#include <gtest/gtest.h>

#include "pair.h"
#include "src/tls/library_impl.h"
#include "src/tls/mb_provider.h"

namespace sluice::tls::test {
namespace {

struct ProviderCase {
  const char* name;
  Crypto crypto;
  const char* cipher;
  const char* want;
};
const ProviderCase kProviderCases[] = {
    {"mb_does_aes_128_gcm", Crypto::kIpsecMb, "AES-128-GCM", "sluice-mb"},
    {"mb_does_aes_256_gcm", Crypto::kIpsecMb, "AES-256-GCM", "sluice-mb"},
    {"default_does_chacha", Crypto::kIpsecMb, "ChaCha20-Poly1305", "default"},
    {"default_does_cbc", Crypto::kIpsecMb, "AES-256-CBC", "default"},
    {"openssl_does_aes_128_gcm", Crypto::kOpenssl, "AES-128-GCM", "default"},
    {"nobody_does_rot13", Crypto::kIpsecMb, "ROT13", ""},
};

TEST(Library, SaysWhoseImplementationAFetchGives) {
  for (const ProviderCase& row : kProviderCases) {
    SCOPED_TRACE(row.name);
    EXPECT_EQ(make_library(row.crypto)->provider_of(row.cipher), row.want);
  }
}

TEST(Library, DescribesWhatItComputesWith) {
  EXPECT_TRUE(make_library(Crypto::kIpsecMb)->description().starts_with("ipsec-mb 1."));
  EXPECT_TRUE(make_library(Crypto::kOpenssl)->description().starts_with("OpenSSL 3."));
}

struct ConnectionCase {
  const char* name;
  int version;
  const char* cipher;
  bool by_mb;
};
const ConnectionCase kConnectionCases[] = {
    {"tls13_aes128", TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", true},
    {"tls13_aes256", TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384", true},
    {"tls13_chacha", TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256", false},
    {"tls12_aes128", TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", true},
    {"tls12_aes256", TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384", true},
    {"tls12_chacha", TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305", false},
};

// Not what a fetch would give but what a live connection's records went through.
TEST(Library, IpsecMbSealsAndOpensTheRecordsOfRealConnections) {
  for (const ConnectionCase& row : kConnectionCases) {
    SCOPED_TRACE(row.name);
    const auto library = make_library(Crypto::kIpsecMb);
    const auto context = make_context(*library);
    Pair pair(*library, *context,
              {.version = row.version,
               .ciphers = row.version == TLS1_2_VERSION ? row.cipher : "",
               .cipher_suites = row.version == TLS1_3_VERSION ? row.cipher : ""});
    ASSERT_TRUE(pair.pump());
    ASSERT_TRUE(pair.client.connected()) << pair.client.error();
    EXPECT_EQ(pair.session->cipher(), row.cipher);
    const std::uint64_t before = library->impl().mb->operations;
    pair.client.send("ping");
    ASSERT_TRUE(pair.pump());
    EXPECT_EQ(library->impl().mb->operations - before, row.by_mb ? 1u : 0u) << "one record opened";
    ASSERT_EQ(pair.session->write(bytes_of("pong")), 4u);
    EXPECT_EQ(library->impl().mb->operations - before, row.by_mb ? 2u : 0u) << "one record sealed";
    ASSERT_TRUE(pair.pump());
    EXPECT_EQ(pair.read_all(), "ping");
    EXPECT_EQ(pair.client.received(), "pong");
  }
}

TEST(Library, DoesAFewHandshakesATurn) {
  const auto library = make_library(Crypto::kIpsecMb);
  const auto context = make_context(*library);
  constexpr std::size_t kClients = 3 * Library::kHandshakesPerTurn;
  std::vector<std::unique_ptr<Pair>> pairs;
  for (std::size_t i = 0; i < kClients; ++i) {
    Pair& pair = *pairs.emplace_back(std::make_unique<Pair>(*library, *context));
    pair.client.step();
    pair.conn.receive(pair.client.take());
    pair.conn.dispatch();
  }
  EXPECT_EQ(library->next_deadline(), Instant{}) << "there is work now";
  for (std::size_t turn = 1; turn <= 3; ++turn) {
    EXPECT_EQ(library->run_handshakes(), Library::kHandshakesPerTurn);
    const auto answered = std::ranges::count_if(pairs, [](const auto& pair) { return pair->conn.unsent() != 0; });
    EXPECT_EQ(static_cast<std::size_t>(answered), turn * Library::kHandshakesPerTurn);
  }
  EXPECT_EQ(library->run_handshakes(), 0u);
  EXPECT_EQ(library->next_deadline(), std::nullopt);
}

}  // namespace
}  // namespace sluice::tls::test
