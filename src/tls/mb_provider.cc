#include "mb_provider.h"

#include <new>
#include <string_view>

#include <fmt/format.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/params.h>

#include "mb_gcm.h"

namespace sluice::tls {
namespace {

const OSSL_ALGORITHM* query(void* /*provider*/, int operation, int* no_cache) noexcept {
  *no_cache = 0;
  return operation == OSSL_OP_CIPHER ? kMbCiphers : nullptr;
}

void teardown(void* provider) noexcept { delete static_cast<MbProvider*>(provider); }

const OSSL_PARAM kProviderParams[] = {OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_NAME, nullptr, 0),
                                      OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_VERSION, nullptr, 0),
                                      OSSL_PARAM_int(OSSL_PROV_PARAM_STATUS, nullptr), OSSL_PARAM_END};
const OSSL_PARAM* provider_params(void* /*provider*/) noexcept { return kProviderParams; }

int get_provider_params(void* /*provider*/, OSSL_PARAM params[]) noexcept {
  OSSL_PARAM* name = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_NAME);
  if (name != nullptr && OSSL_PARAM_set_utf8_ptr(name, "sluice ipsec-mb provider") == 0) return 0;
  OSSL_PARAM* version = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_VERSION);
  if (version != nullptr && OSSL_PARAM_set_utf8_ptr(version, imb_get_version_str()) == 0) return 0;
  OSSL_PARAM* status = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_STATUS);
  return status == nullptr || OSSL_PARAM_set_int(status, 1) != 0 ? 1 : 0;
}

const OSSL_DISPATCH kProvider[] = {{OSSL_FUNC_PROVIDER_TEARDOWN, reinterpret_cast<void (*)()>(teardown)},
                                   {OSSL_FUNC_PROVIDER_GETTABLE_PARAMS, reinterpret_cast<void (*)()>(provider_params)},
                                   {OSSL_FUNC_PROVIDER_GET_PARAMS, reinterpret_cast<void (*)()>(get_provider_params)},
                                   {OSSL_FUNC_PROVIDER_QUERY_OPERATION, reinterpret_cast<void (*)()>(query)},
                                   {0, nullptr}};

// The library that the provider is loaded into: for a built-in provider the core's context is just that.
OSSL_LIB_CTX* library_of(const OSSL_CORE_HANDLE* core, const OSSL_DISPATCH* from_core) noexcept {
  for (; from_core->function_id != 0; ++from_core) {
    if (from_core->function_id == OSSL_FUNC_CORE_GET_LIBCTX) {
      return reinterpret_cast<OSSL_LIB_CTX*>(OSSL_FUNC_core_get_libctx(from_core)(core));
    }
  }
  return nullptr;
}

std::string_view arch_name(std::uint32_t arch) noexcept {
  switch (arch) {
    case IMB_ARCH_NOAESNI:
      return "no AES-NI";
    case IMB_ARCH_SSE:
      return "SSE";
    case IMB_ARCH_AVX:
      return "AVX";
    case IMB_ARCH_AVX2:
      return "AVX2";
    case IMB_ARCH_AVX512:
      return "AVX512";
    default:
      return "unknown";
  }
}

}  // namespace

int init_mb_provider(const OSSL_CORE_HANDLE* core, const OSSL_DISPATCH* from_core, const OSSL_DISPATCH** to_core,
                     void** provider) noexcept {
  auto made = std::unique_ptr<MbProvider>(new (std::nothrow) MbProvider);
  if (made == nullptr) return 0;
  made->manager.reset(alloc_mb_mgr(0));
  if (made->manager == nullptr) return 0;
  IMB_ARCH arch = IMB_ARCH_NONE;
  init_mb_mgr_auto(made->manager.get(), &arch);
  if (arch == IMB_ARCH_NONE || imb_get_errno(made->manager.get()) != 0) return 0;
  made->library = library_of(core, from_core);
  *to_core = kProvider;
  *provider = made.release();
  return 1;
}

std::string describe(const MbProvider& provider) {
  std::string_view version = imb_get_version_str();  // "v1.3.0", or with a suffix
  if (version.starts_with('v')) version.remove_prefix(1);
  return fmt::format("ipsec-mb {} ({})", version, arch_name(provider.manager->used_arch));
}

}  // namespace sluice::tls
