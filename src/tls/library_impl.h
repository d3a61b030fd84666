// The inside of a Library: what its contexts and sessions share.
// Threading: the owning thread's, but for what is const after create().
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "link_list.h"
#include "mb_provider.h"
#include "openssl_ptr.h"
#include "sluice/tls/library.h"

namespace sluice::tls {

class LibsslSession;

struct Library::Impl {
  using RxBuffer = std::unique_ptr<std::uint8_t[]>;
  // So many free plaintext buffers are kept; more go back to the allocator.
  static constexpr std::size_t kFreeBuffers = 64;

  Impl() { free_buffers.reserve(kFreeBuffers); }

  // nullptr: max_buffers are in use, or no memory; counted.
  [[nodiscard]] RxBuffer take_buffer() noexcept;
  void give_buffer(RxBuffer buffer) noexcept;

  Crypto crypto = Crypto::kOpenssl;
  std::string description;
  LibCtxPtr context;
  ProviderPtr default_provider;  // after `context`, so that they are unloaded before it goes
  ProviderPtr mb_provider;
  MbProvider* mb = nullptr;  // lives in mb_provider
  BioMethodPtr conn_bio;
  CipherPtr ticket_cipher;

  LinkList<LibsslSession> handshakes;  // with something to read or write
  LinkList<LibsslSession> ready;       // with events to deliver, or plaintext to look for
  LinkList<LibsslSession> starved;     // with something to read and no buffer for it
  LinkList<LibsslSession> closed;      // since the last turn, with bytes that found no room
  LinkList<LibsslSession> lingering;   // the same, with a deadline; the earliest first
  std::vector<RxBuffer> free_buffers;
  std::size_t max_buffers = 0;
  LibraryStats stats;
};

}  // namespace sluice::tls
