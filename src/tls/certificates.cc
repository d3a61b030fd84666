#include "certificates.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <utility>

#include <fmt/format.h>
#include <openssl/asn1.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

namespace sluice::tls {
namespace {

// RFC 1035 section 2.3.4.
constexpr std::size_t kMaxName = 255;

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string lower(std::string_view name) {
  std::string result(name);
  std::ranges::transform(result, result.begin(), [](char c) { return lower(c); });
  return result;
}

BioPtr reader(std::string_view text) { return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

// A key that is encrypted would make OpenSSL ask on the terminal.
int no_password(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*user*/) noexcept { return -1; }

X509Ptr read_certificate(OSSL_LIB_CTX* context, BIO* from) {
  X509* empty = X509_new_ex(context, nullptr);
  X509* read = empty != nullptr ? PEM_read_bio_X509(from, &empty, nullptr, nullptr) : nullptr;
  if (read == nullptr) X509_free(empty);
  return X509Ptr(read);
}

std::string_view text_of(const ASN1_STRING* string) noexcept {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(string)),
          static_cast<std::size_t>(ASN1_STRING_length(string))};
}

void free_names(GENERAL_NAMES* names) noexcept { GENERAL_NAMES_free(names); }

std::vector<std::string> names_of(X509* leaf) {
  std::vector<std::string> result;
  using NamesPtr = std::unique_ptr<GENERAL_NAMES, OpensslDelete<free_names>>;
  const NamesPtr names(static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(leaf, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_DNS) result.push_back(lower(text_of(name->d.dNSName)));
  }
  if (!result.empty()) return result;
  // RFC 6125 section 6.4.4: the common name counts only where there is no DNS name.
  const X509_NAME* subject = X509_get_subject_name(leaf);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at >= 0) result.push_back(lower(text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)))));
  return result;
}

std::string key_type_of(EVP_PKEY* key) {
  if (EVP_PKEY_is_a(key, "RSA") == 1) return fmt::format("RSA-{}", EVP_PKEY_get_bits(key));
  if (EVP_PKEY_is_a(key, "EC") == 1) return fmt::format("EC-{}", EVP_PKEY_get_bits(key));
  const char* name = EVP_PKEY_get0_type_name(key);
  return name != nullptr ? name : "unknown";
}

std::size_t kind_of(const Certificate& certificate) noexcept {
  if (EVP_PKEY_is_a(certificate.key.get(), "RSA") == 1) return 0;
  return EVP_PKEY_is_a(certificate.key.get(), "EC") == 1 ? 1 : 2;
}

UnixSeconds end_of(const X509* leaf) noexcept {
  std::tm at{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(leaf), &at) != 1) return 0;
  return ::timegm(&at);
}

// The certificates behind the leaf; the end of the text reads as an error of its own.
Result<ChainPtr> read_chain(OSSL_LIB_CTX* context, BIO* from, const std::string& file) {
  ChainPtr chain(sk_X509_new_null());
  while (X509Ptr next = read_certificate(context, from)) {
    if (chain == nullptr || sk_X509_push(chain.get(), next.get()) == 0) return fail("tls: no memory for certificates");
    X509_up_ref(next.get());  // the chain's
  }
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  const char* reason = take_error();
  if (!at_end) return fail(fmt::format("{}: not a certificate in PEM: {}", file, reason));
  return chain;
}

}  // namespace

Result<Certificate> load_certificate(OSSL_LIB_CTX* context, const CertificatePem& pem) {
  Certificate result;
  const BioPtr certificates = reader(pem.certificate);
  result.leaf = read_certificate(context, certificates.get());
  if (result.leaf == nullptr) {
    return fail(fmt::format("{}: not a certificate in PEM: {}", pem.certificate_file, take_error()));
  }
  Result<ChainPtr> chain = read_chain(context, certificates.get(), pem.certificate_file);
  if (!chain) return std::unexpected(chain.error());
  result.chain = std::move(*chain);

  const BioPtr key = reader(pem.key);
  result.key.reset(PEM_read_bio_PrivateKey_ex(key.get(), nullptr, no_password, nullptr, context, nullptr));
  if (result.key == nullptr) {
    return fail(fmt::format("{}: not a private key in PEM without a password: {}", pem.key_file, take_error()));
  }
  if (X509_check_private_key(result.leaf.get(), result.key.get()) != 1) {
    return fail(fmt::format("{}: this key is not the one of {}: {}", pem.key_file, pem.certificate_file, take_error()));
  }
  result.info = {.file = pem.certificate_file,
                 .names = names_of(result.leaf.get()),
                 .key_type = key_type_of(result.key.get()),
                 .not_after = end_of(result.leaf.get())};
  return result;
}

CertificateStore::CertificateStore(std::vector<Certificate> certificates) : certificates_(std::move(certificates)) {
  for (const Certificate& certificate : certificates_) {
    const std::size_t kind = kind_of(certificate);
    for (const std::string& name : certificate.info.names) {
      const Certificate*& slot = by_name_[name][kind];
      if (slot == nullptr) slot = &certificate;  // the first in the configuration wins
    }
  }
  // The default is the first certificate, with the others of its own first name: RSA beside EC.
  const Certificate& first = certificates_.front();
  if (!first.info.names.empty()) default_ = by_name_.at(first.info.names.front());
  default_[kind_of(first)] = &first;
}

const CertificateStore::Choice* CertificateStore::find_exact(std::string_view name) const noexcept {
  const auto found = by_name_.find(name);
  return found != by_name_.end() ? &found->second : nullptr;
}

const CertificateStore::Choice* CertificateStore::find(std::string_view name) const noexcept {
  if (name.ends_with('.')) name.remove_suffix(1);
  if (name.empty() || name.size() > kMaxName) return nullptr;
  std::array<char, kMaxName + 1> lowered;  // in front there is room for the '*' of a name that begins with a dot
  std::ranges::transform(name, lowered.begin(), [](char c) { return lower(c); });
  if (const Choice* exact = find_exact({lowered.data(), name.size()})) return exact;
  const std::size_t dot = name.find('.');
  if (dot == std::string_view::npos || dot == 0) return nullptr;
  lowered[dot - 1] = '*';  // www.example.com -> *.example.com
  return find_exact({lowered.data() + dot - 1, name.size() - dot + 1});
}

}  // namespace sluice::tls
