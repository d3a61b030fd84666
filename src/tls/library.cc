#include "sluice/tls/library.h"

#include <algorithm>
#include <new>
#include <utility>

#include <fmt/format.h>
#include <openssl/crypto.h>

#include "conn_bio.h"
#include "library_impl.h"
#include "libssl_session.h"
#include "sluice/tls/session.h"

namespace sluice::tls {
namespace {

Result<void> load_mb_provider(Library::Impl& impl) {
  OSSL_LIB_CTX* context = impl.context.get();
  if (OSSL_PROVIDER_add_builtin(context, kMbProviderName, init_mb_provider) != 1) {
    return fail(fmt::format("tls: the ipsec-mb provider cannot be added: {}", take_error()));
  }
  impl.mb_provider.reset(OSSL_PROVIDER_load(context, kMbProviderName));
  if (impl.mb_provider == nullptr) {
    return fail(fmt::format("tls: the ipsec-mb provider cannot be loaded: {}", take_error()));
  }
  impl.mb = static_cast<MbProvider*>(OSSL_PROVIDER_get0_provider_ctx(impl.mb_provider.get()));
  // Without it a fetch gives the provider that was loaded first, and ours would silently stay unused.
  if (EVP_set_default_properties(context, kMbPropertyQuery) != 1) {
    return fail(fmt::format("tls: the ipsec-mb provider cannot be preferred: {}", take_error()));
  }
  impl.description = describe(*impl.mb);
  return {};
}

}  // namespace

Library::Impl::RxBuffer Library::Impl::take_buffer() noexcept {
  RxBuffer buffer;
  if (stats.rx_buffers >= max_buffers) {
    ++stats.no_buffer;
    return buffer;
  }
  if (free_buffers.empty()) {
    buffer.reset(new (std::nothrow) std::uint8_t[Session::kRxBuffer]);
  } else {
    buffer = std::move(free_buffers.back());
    free_buffers.pop_back();
  }
  if (buffer != nullptr) {
    ++stats.rx_buffers;
  } else {
    ++stats.no_buffer;
  }
  return buffer;
}

void Library::Impl::give_buffer(RxBuffer buffer) noexcept {
  if (buffer == nullptr) return;
  --stats.rx_buffers;
  if (free_buffers.size() < kFreeBuffers) free_buffers.push_back(std::move(buffer));
}

Library::Library(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}

// Sessions that their owners closed are ours to end; their connections are still there.
Library::~Library() {
  impl_->lingering.take(impl_->closed);
  while (LibsslSession* session = impl_->lingering.front()) session->abort();
}

Result<std::unique_ptr<Library>> Library::create(Crypto crypto, std::size_t plaintext_memory) {
  auto impl = std::make_unique<Impl>();
  impl->max_buffers = std::max(plaintext_memory / Session::kRxBuffer, std::size_t{1});
  impl->crypto = crypto;
  impl->context.reset(OSSL_LIB_CTX_new());
  if (impl->context == nullptr) return fail("tls: no memory for a library context");
  // Loading any provider stops the automatic loading of the default one, so it is loaded by name.
  impl->default_provider.reset(OSSL_PROVIDER_load(impl->context.get(), "default"));
  if (impl->default_provider == nullptr) {
    return fail(fmt::format("tls: OpenSSL's default provider cannot be loaded: {}", take_error()));
  }
  impl->description = fmt::format("OpenSSL {}", OpenSSL_version(OPENSSL_VERSION_STRING));
  if (crypto == Crypto::kIpsecMb) {
    if (Result<void> loaded = load_mb_provider(*impl); !loaded) return std::unexpected(loaded.error());
  }
  impl->conn_bio = make_conn_bio_method();
  impl->ticket_cipher.reset(EVP_CIPHER_fetch(impl->context.get(), "AES-256-CBC", nullptr));
  if (impl->conn_bio == nullptr || impl->ticket_cipher == nullptr) {
    return fail(fmt::format("tls: the library context cannot be prepared: {}", take_error()));
  }
  return std::unique_ptr<Library>(new Library(std::move(impl)));
}

std::size_t Library::run_handshakes() noexcept {
  std::size_t done = 0;
  while (done < kHandshakesPerTurn) {
    LibsslSession* session = impl_->handshakes.pop_front();
    if (session == nullptr) break;
    session->continue_handshake();
    ++done;
  }
  return done;
}

std::size_t Library::dispatch(Instant now) noexcept {
  std::size_t done = 0;
  while (LibsslSession* session = impl_->closed.pop_front()) {
    session->linger_until(now + kLinger);
    impl_->lingering.push_back(*session);
  }
  while (LibsslSession* session = impl_->lingering.front()) {
    if (now < session->linger_deadline()) break;
    session->abort();
    ++done;
  }
  // As many as there are buffers, whoever gave them back: one that was woken may have ended without taking its own.
  for (std::size_t free = impl_->max_buffers - impl_->stats.rx_buffers; free > 0; --free) {
    LibsslSession* session = impl_->starved.pop_front();
    if (session == nullptr) break;
    impl_->ready.push_back(*session);
  }
  // What handlers make ready from here on is for the next turn, or two sessions could keep the loop for themselves.
  LinkList<LibsslSession> now_ready;
  now_ready.take(impl_->ready);
  while (LibsslSession* session = now_ready.pop_front()) {
    session->continue_ready();
    ++done;
  }
  return done;
}

std::optional<Instant> Library::next_deadline() const noexcept {
  if (!impl_->handshakes.empty() || !impl_->ready.empty() || !impl_->closed.empty()) return Instant{};
  if (!impl_->starved.empty() && impl_->stats.rx_buffers < impl_->max_buffers) return Instant{};
  const LibsslSession* oldest = impl_->lingering.front();
  return oldest != nullptr ? std::optional(oldest->linger_deadline()) : std::nullopt;
}

Crypto Library::crypto() const noexcept { return impl_->crypto; }

std::string_view Library::provider_of(const char* cipher) const noexcept {
  const CipherPtr fetched(EVP_CIPHER_fetch(impl_->context.get(), cipher, nullptr));
  ERR_clear_error();
  if (fetched == nullptr) return {};
  return OSSL_PROVIDER_get0_name(EVP_CIPHER_get0_provider(fetched.get()));
}

std::string_view Library::description() const noexcept { return impl_->description; }

const LibraryStats& Library::stats() const noexcept { return impl_->stats; }

}  // namespace sluice::tls
