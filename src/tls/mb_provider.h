// Intel's ipsec-mb as an OpenSSL provider built into the program: AES-128-GCM and AES-256-GCM, all else is the
// default's.
// Threading: one instance per Library, used by its thread. The counter has one writer; anyone may read it.
// Ownership: OpenSSL makes and frees the instance with OSSL_PROVIDER_load and _unload.
// Spec:      OpenSSL provider(7), provider-cipher(7); NIST SP 800-38D; RFC 5288 (nonce of TLS 1.2).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include <intel-ipsec-mb.h>
#include <openssl/core.h>
#include <openssl/types.h>

namespace sluice::tls {

inline constexpr char kMbProviderName[] = "sluice-mb";
// What the default property query of a library asks for; optional ("?"), because only two algorithms have it.
inline constexpr char kMbPropertyQuery[] = "?sluice.mb=yes";

struct MbManagerDelete {
  void operator()(IMB_MGR* manager) const noexcept { free_mb_mgr(manager); }
};

// What OpenSSL calls the provider's context.
struct MbProvider {
  std::unique_ptr<IMB_MGR, MbManagerDelete> manager;  // chosen for this CPU at run time
  OSSL_LIB_CTX* library = nullptr;                    // whose random generator starts the nonces of TLS 1.2
  std::atomic<std::uint64_t> operations = 0;          // messages sealed or opened

  void count() noexcept { operations.store(operations.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed); }
};

// For OSSL_PROVIDER_add_builtin().
int init_mb_provider(const OSSL_CORE_HANDLE* core, const OSSL_DISPATCH* from_core, const OSSL_DISPATCH** to_core,
                     void** provider) noexcept;

// "ipsec-mb 1.3.0 (AVX2)".
[[nodiscard]] std::string describe(const MbProvider& provider);

}  // namespace sluice::tls
