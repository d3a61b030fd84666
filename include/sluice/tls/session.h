// One TLS connection on our side of it: a Stream of plaintext over a tcp::Conn. Whether libssl carries the records or a
// record layer of ours is hidden here.
// Threading: belongs to the thread of its Library, as its Conn does.
// Ownership: whoever called ServerContext::accept() holds it until close() or abort(); both may be called from inside
//            on_stream(), and the reference is dead after either. The Session owns its Conn and ends it.
// Events:    kConnected when the handshake is complete; then as tcp::Stream says. They come from the connection's
//            events and from Library::dispatch().
// Errors:    kClosed with error() kTls: handshake or record failure, the alert is sent, failure() says what in words.
//            kPeerClosed with error() kTls: the peer ended without close_notify, so what it sent may be cut short; it
//            is for the reader to judge (RFC 8446 section 6.1; RFC 9112 section 9.8). Our direction still works then.
// Limits:    plaintext waits in one buffer of 16 KiB, held only while there is some, out of the Library's bound; a
//            connection that gets none ends with error() kNoMemory, without an alert. What is written goes into the
//            Conn's send space as records, so a Session buffers no application data of its own beyond the tail of one
//            record.
// Spec:      RFC 8446 (TLS 1.3), RFC 5246 (TLS 1.2), RFC 7301 (ALPN), RFC 6066 section 3 (SNI).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "sluice/tcp/stack.h"
#include "sluice/tcp/stream.h"

namespace sluice::tls {

class Session : public tcp::Stream {
 public:
  // Records are about one segment long at first, so that the client can decrypt what it has (slow start), then full.
  static constexpr std::size_t kSmallRecord = 1396;  // with 29 B around it: one segment of 1428 B (IPv6, timestamps)
  static constexpr std::size_t kSmallRecordBytes = 64 << 10;
  static constexpr std::size_t kFullRecord = 16 << 10;
  static constexpr std::size_t kRxBuffer = 16 << 10;

  // Valid once kConnected was delivered, until close() or abort().
  [[nodiscard]] virtual std::string_view alpn() const noexcept = 0;     // "http/1.1"; empty: not negotiated
  [[nodiscard]] virtual std::string_view sni() const noexcept = 0;      // as the client sent it; empty: none
  [[nodiscard]] virtual std::string_view version() const noexcept = 0;  // "TLSv1.3"
  [[nodiscard]] virtual std::string_view cipher() const noexcept = 0;   // "TLS_AES_128_GCM_SHA256"
  [[nodiscard]] virtual bool resumed() const noexcept = 0;
  // Why error() is kTls, for the log: "http request", "no shared cipher"; empty: no failure.
  [[nodiscard]] virtual std::string_view failure() const noexcept = 0;
  // The connection below: addresses. Its stream functions and its handler belong to the session.
  [[nodiscard]] virtual const tcp::Conn& conn() const noexcept = 0;

 protected:
  ~Session() = default;
};

}  // namespace sluice::tls
