// Certificates for tests, made in the process: self-signed, for the names given, valid from an hour ago for a year.
// Threading: any.
// Errors:    std::runtime_error, which fails the test.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "sluice/tls/server_context.h"

namespace sluice::tls::test {

enum class KeyType { kEc, kRsa, kRsa1024 };

struct CertificateOptions {
  KeyType key = KeyType::kEc;
  bool subject_alt_name = true;  // false: the first name is the common name, as old certificates have it
  long days = 365;
};

namespace detail {

template <typename T>
T* check(T* object) {
  if (object == nullptr) throw std::runtime_error("test certificate: OpenSSL gave nothing");
  return object;
}
inline void check(int done) {
  if (done <= 0) throw std::runtime_error("test certificate: OpenSSL refused");
}

template <typename T>
using Owned = std::unique_ptr<T, void (*)(T*)>;

inline std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long bytes = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(bytes)};
}

inline EVP_PKEY* make_key(KeyType type) {
  switch (type) {
    case KeyType::kRsa:
      return check(EVP_RSA_gen(2048));
    case KeyType::kRsa1024:
      return check(EVP_RSA_gen(1024));
    case KeyType::kEc:
      break;
  }
  return check(EVP_EC_gen("P-256"));
}

inline void add_names(X509* certificate, const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "DNS:" : ",DNS:") + name;
  const Owned<X509_EXTENSION> extension(
      check(X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, list.c_str())), X509_EXTENSION_free);
  check(X509_add_ext(certificate, extension.get(), -1));
}

}  // namespace detail

[[nodiscard]] inline CertificatePem make_certificate(const std::vector<std::string>& names,
                                                     CertificateOptions options = {}) {
  using namespace detail;
  const Owned<EVP_PKEY> key(make_key(options.key), EVP_PKEY_free);
  const Owned<X509> certificate(check(X509_new()), X509_free);
  check(X509_set_version(certificate.get(), X509_VERSION_3));
  check(ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1));
  check(X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600));
  check(X509_gmtime_adj(X509_getm_notAfter(certificate.get()), options.days * 86400));
  X509_NAME* subject = X509_get_subject_name(certificate.get());
  const std::string common_name = names.empty() ? "test" : names.front();
  check(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                                   reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1, 0));
  check(X509_set_issuer_name(certificate.get(), subject));
  if (options.subject_alt_name && !names.empty()) add_names(certificate.get(), names);
  check(X509_set_pubkey(certificate.get(), key.get()));
  check(X509_sign(certificate.get(), key.get(), EVP_sha256()));

  const Owned<BIO> text(check(BIO_new(BIO_s_mem())), BIO_free_all);
  check(PEM_write_bio_X509(text.get(), certificate.get()));
  const Owned<BIO> key_text(check(BIO_new(BIO_s_mem())), BIO_free_all);
  check(PEM_write_bio_PrivateKey(key_text.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr));
  return {.certificate = text_of(text.get()),
          .key = text_of(key_text.get()),
          .certificate_file = common_name + ".crt",
          .key_file = common_name + ".key"};
}

}  // namespace sluice::tls::test
