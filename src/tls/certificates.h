// Certificates with their keys, and which of them a client gets for the name that it asks for.
// Threading: built by control, then read only.
// Spec:      RFC 6066 section 3 (names in ASCII, no trailing dot), RFC 6125 section 6.4.3 (a wildcard is the whole
//            first label).
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "openssl_ptr.h"
#include "sluice/base/result.h"
#include "sluice/tls/server_context.h"

namespace sluice::tls {

struct Certificate {
  X509Ptr leaf;
  KeyPtr key;
  ChainPtr chain;  // without the leaf
  CertificateInfo info;
};

// Parses and checks one: the PEM text, that the key fits, that it has names.
[[nodiscard]] Result<Certificate> load_certificate(OSSL_LIB_CTX* context, const CertificatePem& pem);

class CertificateStore {
 public:
  // What one name is served with: libssl chooses between kinds of key by what the client can verify.
  static constexpr std::size_t kKeyKinds = 3;  // RSA, EC, other (Ed25519)
  using Choice = std::array<const Certificate*, kKeyKinds>;

  explicit CertificateStore(std::vector<Certificate> certificates);  // at least one

  [[nodiscard]] const Choice& by_default() const noexcept { return default_; }
  // nullptr: no certificate has the name; serve the default.
  [[nodiscard]] const Choice* find(std::string_view name) const noexcept;
  [[nodiscard]] const std::vector<Certificate>& certificates() const noexcept { return certificates_; }

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view name) const noexcept { return std::hash<std::string_view>{}(name); }
  };
  [[nodiscard]] const Choice* find_exact(std::string_view name) const noexcept;

  std::vector<Certificate> certificates_;
  std::unordered_map<std::string, Choice, Hash, std::equal_to<>> by_name_;  // "*.example.com" as it stands
  Choice default_{};
};

}  // namespace sluice::tls
