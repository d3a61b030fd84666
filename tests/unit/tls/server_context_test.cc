#include "sluice/tls/server_context.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pair.h"

namespace sluice::tls::test {
namespace {

using tcp::StreamEvents;
using testing::HasSubstr;
using testing::StartsWith;

// ---- certificates by name

struct SniCase {
  const char* name;
  const char* sni;
  const char* want;  // common name of the certificate that is served
};
const SniCase kSniCases[] = {
    {"no_name_gets_the_first", "", "first.example.com"},
    {"unknown_name_gets_the_first", "nowhere.example.org", "first.example.com"},
    {"exact", "www.example.com", "www.example.com"},
    {"exact_second_name", "www2.example.com", "www.example.com"},
    {"case_does_not_matter", "WWW.Example.COM", "www.example.com"},
    {"wildcard", "shop.example.net", "*.example.net"},
    {"wildcard_is_one_label", "a.shop.example.net", "first.example.com"},
    {"wildcard_is_not_the_bare_name", "example.net", "first.example.com"},
    {"exact_before_wildcard", "special.example.net", "special.example.net"},
    {"common_name_where_there_is_no_alternative", "old.example.com", "old.example.com"},
};

TEST(ServerContext, ChoosesTheCertificateBySni) {
  const auto library = make_library(Crypto::kOpenssl);
  const auto context = make_context(
      *library, {.certificates = {make_certificate({"first.example.com"}),
                                  make_certificate({"www.example.com", "www2.example.com"}),
                                  make_certificate({"*.example.net"}), make_certificate({"special.example.net"}),
                                  make_certificate({"old.example.com"}, {.subject_alt_name = false})}});
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    for (const SniCase& row : kSniCases) {
      SCOPED_TRACE(row.name);
      Pair pair(*library, *context, {.version = version, .sni = row.sni});
      ASSERT_TRUE(pair.pump());
      ASSERT_TRUE(pair.client.connected()) << pair.client.error();
      EXPECT_EQ(pair.client.server_name(), row.want);
      EXPECT_EQ(pair.session->sni(), row.sni);
    }
  }
}

struct KeyCase {
  const char* name;
  const char* sni;
  const char* signatures;
  const char* want_key;  // empty: no handshake
};
const KeyCase kKeyCases[] = {
    {"both_by_default_ec_first", "", "ecdsa_secp256r1_sha256:rsa_pss_rsae_sha256", "EC"},
    {"both_rsa_only_client", "", "rsa_pss_rsae_sha256", "RSA"},
    {"named_both_rsa_only_client", "www.example.com", "rsa_pss_rsae_sha256", "RSA"},
    {"named_both_ec_only_client", "www.example.com", "ecdsa_secp256r1_sha256", "EC"},
    {"named_ec", "ec.example.com", "ecdsa_secp256r1_sha256:rsa_pss_rsae_sha256", "EC"},
    {"named_rsa", "rsa.example.com", "ecdsa_secp256r1_sha256:rsa_pss_rsae_sha256", "RSA"},
    {"named_rsa_is_not_served_the_default_ec", "rsa.example.com", "ecdsa_secp256r1_sha256", ""},
};

TEST(ServerContext, ServesRsaAndEcOfOneNameByWhatTheClientTakes) {
  const auto library = make_library(Crypto::kOpenssl);
  const auto context = make_context(
      *library, {.certificates = {rsa_certificate(), ec_certificate(), make_certificate({"ec.example.com"}),
                                  make_certificate({"rsa.example.com"}, {.key = KeyType::kRsa})}});
  for (const KeyCase& row : kKeyCases) {
    SCOPED_TRACE(row.name);
    Pair pair(*library, *context, {.sni = row.sni, .signatures = row.signatures});
    ASSERT_TRUE(pair.pump());
    EXPECT_EQ(pair.client.connected(), row.want_key[0] != '\0');
    EXPECT_EQ(pair.client.server_key(), row.want_key);
  }
}

TEST(ServerContext, TellsAboutItsCertificates) {
  const auto library = make_library(Crypto::kOpenssl);
  const auto context = make_context(
      *library,
      {.certificates = {make_certificate({"A.Example.com", "*.example.com"}, {.days = 30}), rsa_certificate()}});
  ASSERT_EQ(context->certificates().size(), 2u);
  const CertificateInfo& first = context->certificates()[0];
  EXPECT_THAT(first.names, testing::ElementsAre("a.example.com", "*.example.com"));
  EXPECT_EQ(first.key_type, "EC-256");
  EXPECT_EQ(first.file, "A.Example.com.crt");
  EXPECT_NEAR(static_cast<double>(first.not_after), static_cast<double>(::time(nullptr) + 30 * 86400), 60.0);
  EXPECT_EQ(context->certificates()[1].key_type, "RSA-2048");
}

// ---- ALPN

struct AlpnCase {
  const char* name;
  std::vector<std::string> ours, theirs;
  const char* want;
  bool connects;
};
const AlpnCase kAlpnCases[] = {
    {"match", {"http/1.1"}, {"http/1.1"}, "http/1.1", true},
    {"match_among_several", {"http/1.1"}, {"h2", "http/1.1"}, "http/1.1", true},
    {"our_preference_wins", {"h2", "http/1.1"}, {"http/1.1", "h2"}, "h2", true},
    {"client_without_alpn", {"http/1.1"}, {}, "", true},
    {"we_without_alpn", {}, {"h2"}, "", true},
    {"no_overlap", {"http/1.1"}, {"h2", "acme-tls/1"}, "", false},
};

TEST(ServerContext, NegotiatesAlpn) {
  const auto library = make_library(Crypto::kOpenssl);
  for (const AlpnCase& row : kAlpnCases) {
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      SCOPED_TRACE(row.name);
      const auto context = make_context(*library, {.alpn = row.ours});
      Pair pair(*library, *context, {.version = version, .alpn = row.theirs});
      ASSERT_TRUE(pair.pump());
      EXPECT_EQ(pair.client.connected(), row.connects);
      if (row.connects) {
        EXPECT_EQ(pair.session->alpn(), row.want);
        EXPECT_EQ(pair.client.alpn(), row.want);
      } else {
        EXPECT_TRUE(pair.recorder.saw(StreamEvents::kClosed));
        EXPECT_EQ(pair.session->error(), tcp::StreamError::kTls);
        EXPECT_THAT(pair.client.error(), HasSubstr("no application protocol"));
      }
    }
  }
}

// ---- versions and ciphers

struct VersionCase {
  const char* name;
  Version min, max;
  int client;
  bool connects;
};
const VersionCase kVersionCases[] = {
    {"both_12", Version::kTls12, Version::kTls13, TLS1_2_VERSION, true},
    {"both_13", Version::kTls12, Version::kTls13, TLS1_3_VERSION, true},
    {"old_client", Version::kTls12, Version::kTls13, TLS1_1_VERSION, false},
    {"only_13_refuses_12", Version::kTls13, Version::kTls13, TLS1_2_VERSION, false},
    {"only_12_refuses_13", Version::kTls12, Version::kTls12, TLS1_3_VERSION, false},
};

TEST(ServerContext, TakesTheVersionsThatItIsToldTo) {
  const auto library = make_library(Crypto::kOpenssl);
  for (const VersionCase& row : kVersionCases) {
    SCOPED_TRACE(row.name);
    const auto context = make_context(*library, {.min_version = row.min, .max_version = row.max});
    Pair pair(*library, *context, {.version = row.client, .ciphers = "ALL:@SECLEVEL=0"});
    ASSERT_TRUE(pair.pump());
    EXPECT_EQ(pair.client.connected(), row.connects) << pair.client.error();
  }
}

struct CipherCase {
  const char* name;
  const char* client;
  const char* want;  // empty: none in common
};
const CipherCase kCipherCases[] = {
    {"ours_first", "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"},
    {"chacha_where_the_client_puts_it_first", "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256",
     "ECDHE-ECDSA-CHACHA20-POLY1305"},
    {"no_cbc", "ECDHE-ECDSA-AES128-SHA", ""},
    {"no_static_rsa", "AES128-GCM-SHA256", ""},
};

TEST(ServerContext, ChoosesTheCipherByItsOwnOrder) {
  const auto library = make_library(Crypto::kOpenssl);
  const auto context = make_context(*library, {.certificates = {ec_certificate(), rsa_certificate()}});
  for (const CipherCase& row : kCipherCases) {
    SCOPED_TRACE(row.name);
    Pair pair(*library, *context, {.version = TLS1_2_VERSION, .ciphers = row.client});
    ASSERT_TRUE(pair.pump());
    EXPECT_EQ(pair.client.connected(), row.want[0] != '\0');
    if (pair.client.connected()) {
      EXPECT_EQ(pair.session->cipher(), row.want);
    } else {
      EXPECT_EQ(pair.session->failure(), "no shared cipher");
    }
  }
}

// ---- what create() refuses

struct RefusedCase {
  const char* name;
  void (*spoil)(ServerSettings&);
  const char* want;
};
const RefusedCase kRefused[] = {
    {"no_certificate", [](ServerSettings& s) { s.certificates.clear(); }, "tls: service site has no certificate"},
    {"empty_certificate", [](ServerSettings& s) { s.certificates[0].certificate.clear(); },
     "www.example.com.crt: not a certificate in PEM: no start line"},
    {"key_as_certificate", [](ServerSettings& s) { s.certificates[0].certificate = s.certificates[0].key; },
     "www.example.com.crt: not a certificate in PEM"},
    {"broken_base64", [](ServerSettings& s) { s.certificates[0].certificate.replace(100, 4, "????"); },
     "www.example.com.crt: not a certificate in PEM"},
    {"broken_chain", [](ServerSettings& s) { s.certificates[0].certificate += "-----BEGIN CERTIFICATE-----\n????\n"; },
     "www.example.com.crt: not a certificate in PEM"},
    {"no_key", [](ServerSettings& s) { s.certificates[0].key.clear(); },
     "www.example.com.key: not a private key in PEM without a password"},
    {"key_of_another", [](ServerSettings& s) { s.certificates[0].key = make_certificate({"other.example.com"}).key; },
     "www.example.com.key: this key is not the one of www.example.com.crt: key values mismatch"},
    {"key_of_another_type", [](ServerSettings& s) { s.certificates[0].key = rsa_certificate().key; },
     "www.example.com.key: this key is not the one of www.example.com.crt: key type mismatch"},
    {"weak_key",
     [](ServerSettings& s) {
       s.certificates.push_back(make_certificate({"weak.example.com"}, {.key = KeyType::kRsa1024}));
     },
     "weak.example.com.crt: ee key too small"},
    {"bad_ciphers", [](ServerSettings& s) { s.ciphers = "NOT-A-CIPHER"; },
     "tls: ciphers \"NOT-A-CIPHER\": no cipher match"},
    {"bad_cipher_suites", [](ServerSettings& s) { s.cipher_suites = "TLS_NULL"; }, "tls: cipher suites \"TLS_NULL\""},
    {"bad_groups", [](ServerSettings& s) { s.groups = "X25519:nothing"; }, "tls: groups \"X25519:nothing\""},
    {"versions_upside_down",
     [](ServerSettings& s) {
       s.min_version = Version::kTls13;
       s.max_version = Version::kTls12;
     },
     "tls: the lowest version is above the highest"},
    {"empty_alpn_name", [](ServerSettings& s) { s.alpn = {""}; }, "tls: \"\" is no ALPN name"},
};

TEST(ServerContext, RefusesWithTheFileAndTheReason) {
  const auto library = make_library(Crypto::kOpenssl);
  for (const RefusedCase& row : kRefused) {
    SCOPED_TRACE(row.name);
    ServerSettings settings{.name = "site", .certificates = {ec_certificate()}};
    row.spoil(settings);
    const auto context = ServerContext::create(*library, settings);
    ASSERT_FALSE(context.has_value());
    EXPECT_THAT(context.error().message, StartsWith(row.want));
    EXPECT_EQ(ERR_peek_error(), 0u) << "errors are left behind";
  }
}

TEST(ServerContext, SendsTheChainOfTheFile) {
  const auto library = make_library(Crypto::kOpenssl);
  CertificatePem pem = ec_certificate();
  pem.certificate += make_certificate({"intermediate.example.com"}).certificate;
  pem.certificate += make_certificate({"root.example.com"}).certificate;
  const auto context = make_context(*library, {.certificates = {make_certificate({"first.example.com"}), pem}});
  Pair pair(*library, *context, {.sni = "www.example.com"});
  ASSERT_TRUE(pair.pump());
  ASSERT_TRUE(pair.client.connected());
  EXPECT_EQ(sk_X509_num(SSL_get_peer_cert_chain(pair.client.ssl())), 3);
}

TEST(ServerContext, MayGoWhileItsSessionsLive) {
  const auto library = make_library(Crypto::kIpsecMb);
  auto context = make_context(*library, {.certificates = {make_certificate({"first.example.com"}), ec_certificate()}});
  Pair pair(*library, *context, {.sni = "www.example.com"});
  context.reset();
  ASSERT_TRUE(pair.pump());
  EXPECT_EQ(pair.client.server_name(), "www.example.com");
}

}  // namespace
}  // namespace sluice::tls::test
