// The TLS library of one proxy thread: an OpenSSL library context of its own (libssl 3.0 takes locks that threads would
// share otherwise), the providers loaded in it, the algorithms fetched once, and what the thread's sessions share.
// Threading: create() and ServerContext::create() by control, before the thread serves with them; all else by the
//            owning thread.
// Ownership: outlives its ServerContexts and Sessions.
// Use:       each turn of the loop, after TcpStack::dispatch(): dispatch(). Sessions deliver their events there and in
//            the connection's own events, never from inside a call on the session.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "sluice/base/result.h"
#include "sluice/base/time.h"

namespace sluice::tls {

// Who does AES-GCM: OpenSSL itself, or Intel's ipsec-mb behind a provider of ours (faster; all else stays with
// OpenSSL).
enum class Crypto : std::uint8_t { kOpenssl, kIpsecMb };

struct LibraryStats {                  // counters since start, and gauges; written and read by the owning thread
  std::uint64_t handshakes = 0;        // completed
  std::uint64_t resumed = 0;           // of which by a ticket
  std::uint64_t handshake_errors = 0;  // refused or broken by us or by the peer's alert
  std::uint64_t record_errors = 0;     // after the handshake: bad MAC, bad record, alert
  std::uint64_t truncated = 0;         // the peer closed without close_notify
  std::uint64_t no_buffer = 0;         // times that a connection had to wait for a plaintext buffer
  std::uint32_t sessions = 0;          // gauge: alive, the lingering ones included
  std::uint32_t rx_buffers = 0;        // gauge: plaintext buffers in use, 16 KiB each
};

class Library {
 public:
  // At most so many handshake steps a turn of the loop, because a signature takes up to a quarter of a millisecond.
  static constexpr std::size_t kHandshakesPerTurn = 4;
  // A session that was closed waits so long for room to send its last bytes.
  static constexpr Duration kLinger = std::chrono::seconds(30);

  static constexpr std::size_t kPlaintextMemory = std::size_t{64} << 20;

  // `plaintext_memory`: bytes of all plaintext buffers in use together. A connection that wants one beyond that, or that
  // the allocator has none for, ends with StreamError::kNoMemory; the others go on.
  [[nodiscard]] static Result<std::unique_ptr<Library>> create(Crypto crypto,
                                                               std::size_t plaintext_memory = kPlaintextMemory);
  ~Library();
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  // Takes pending handshakes a step further, kHandshakesPerTurn of them. Returns how many.
  std::size_t run_handshakes() noexcept;
  // Delivers the events that calls on sessions left behind. Returns how much it did.
  std::size_t dispatch(Instant now) noexcept;
  // When the two must run next at the latest: Instant{} is "at once", nothing is "when a connection has an event".
  [[nodiscard]] std::optional<Instant> next_deadline() const noexcept;

  [[nodiscard]] Crypto crypto() const noexcept;
  // The name of the provider that a fetch of this cipher ("AES-128-GCM") gives in this library: "sluice-mb" or
  // "default"; empty: there is no such cipher.
  [[nodiscard]] std::string_view provider_of(const char* cipher) const noexcept;
  // What the provider computes with, for people: "ipsec-mb 1.3.0 (AVX2)", "OpenSSL 3.0.15".
  [[nodiscard]] std::string_view description() const noexcept;
  [[nodiscard]] const LibraryStats& stats() const noexcept;

  struct Impl;  // src/tls/library_impl.h
  [[nodiscard]] Impl& impl() noexcept { return *impl_; }

 private:
  explicit Library(std::unique_ptr<Impl> impl) noexcept;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::tls
