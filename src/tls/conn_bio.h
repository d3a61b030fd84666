// The BIO through which libssl reads and writes a connection: straight from and to its buffers, no memory BIO between.
// Threading: the Library's thread.
// Ownership: the BIO borrows its ConnIo, which outlives it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "openssl_ptr.h"
#include "sluice/tcp/stack.h"

namespace sluice::tls {

// A connection, and the bytes for it that found no room. Towards libssl a write always succeeds whole, so that libssl
// never holds half a record back and any call may follow any other. LibsslSession sees to it that little is spilt:
// application data are cut to the room there is (at most the tail of one record stays here), and nothing is read, so
// nothing answered, while bytes wait. What is left is a handshake flight, a ticket, a KeyUpdate, an alert.
class ConnIo {
 public:
  // The longest flight is the certificate chain; more than this is refused.
  static constexpr std::size_t kMaxSpill = 256 << 10;

  explicit ConnIo(tcp::Conn& conn) noexcept : conn_(conn) {}
  ConnIo(const ConnIo&) = delete;
  ConnIo& operator=(const ConnIo&) = delete;

  [[nodiscard]] tcp::Conn& conn() noexcept { return conn_; }
  [[nodiscard]] const tcp::Conn& conn() const noexcept { return conn_; }

  [[nodiscard]] bool write(std::span<const std::uint8_t> bytes) noexcept;  // false: no memory
  [[nodiscard]] std::size_t read(std::span<std::uint8_t> into) noexcept;   // 0: nothing there now
  void discard() noexcept;                                                 // what was received and not read
  [[nodiscard]] bool spilt() const noexcept { return spill_bytes_ != 0; }
  // Sends what waits; true: nothing waits any more. Otherwise the connection's kWritable follows.
  bool flush() noexcept;

 private:
  tcp::Conn& conn_;
  std::unique_ptr<std::uint8_t[]> spill_;  // only while bytes wait
  std::size_t spill_at_ = 0;
  std::size_t spill_bytes_ = 0;
};

[[nodiscard]] BioMethodPtr make_conn_bio_method() noexcept;
// nullptr: no memory.
[[nodiscard]] BioPtr make_conn_bio(OSSL_LIB_CTX* context, const BIO_METHOD* method, ConnIo& io) noexcept;

}  // namespace sluice::tls
