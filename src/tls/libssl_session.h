// A Session whose handshake and records are libssl's.
// Threading: the Library's thread.
// Ownership: deletes itself at the end of close() (or when its last bytes have found room) and of abort(). Whoever
//            makes an up-call to the handler touches nothing of the session afterwards.
// States:    kHandshake -> kOpen -> kDead (error() says why); close() from any of them, through kLingering if bytes
//            wait.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "conn_bio.h"
#include "library_impl.h"
#include "link_list.h"
#include "openssl_ptr.h"
#include "server_context_impl.h"
#include "sluice/tls/session.h"

namespace sluice::tls {

class LibsslSession final : public Session, public Link, private tcp::StreamHandler {
 public:
  LibsslSession(std::shared_ptr<ServerContext::Impl> context, SslPtr ssl, tcp::Conn& conn) noexcept;
  LibsslSession(const LibsslSession&) = delete;
  LibsslSession& operator=(const LibsslSession&) = delete;
  virtual ~LibsslSession();

  // Takes the connection over. False: no memory, and it is as it was.
  [[nodiscard]] bool begin() noexcept;

  // For the Library. These two may delete the session.
  void continue_handshake() noexcept;
  void continue_ready() noexcept;
  void linger_until(Instant deadline) noexcept { linger_deadline_ = deadline; }
  [[nodiscard]] Instant linger_deadline() const noexcept { return linger_deadline_; }

  [[nodiscard]] std::span<const std::uint8_t> rx_peek() noexcept override;
  void rx_consume(std::size_t bytes) noexcept override;
  [[nodiscard]] bool rx_ended() const noexcept override;
  [[nodiscard]] std::size_t write(std::span<const std::uint8_t> bytes) noexcept override;
  [[nodiscard]] std::size_t tx_space() const noexcept override;
  [[nodiscard]] bool tx_drained() const noexcept override;
  void shutdown_write() noexcept override;
  void close() noexcept override;
  void abort() noexcept override;
  [[nodiscard]] tcp::StreamError error() const noexcept override { return error_; }
  void set_handler(tcp::StreamHandler* handler) noexcept override;

  [[nodiscard]] std::string_view alpn() const noexcept override;
  [[nodiscard]] std::string_view sni() const noexcept override;
  [[nodiscard]] std::string_view version() const noexcept override;
  [[nodiscard]] std::string_view cipher() const noexcept override;
  [[nodiscard]] bool resumed() const noexcept override;
  [[nodiscard]] std::string_view failure() const noexcept override { return failure_; }
  [[nodiscard]] const tcp::Conn& conn() const noexcept override { return io_.conn(); }

 private:
  enum class State : std::uint8_t { kHandshake, kOpen, kDead, kLingering };

  void on_stream(tcp::StreamEvents events) noexcept override;
  void on_lingering(tcp::StreamEvents events) noexcept;
  void flush() noexcept;    // spilt bytes, then what waited for them
  void fill() noexcept;     // decrypts into the buffer, as far as there is room
  void deliver() noexcept;  // the last act of its caller: the handler may close the session
  void schedule() noexcept;
  void opened() noexcept;
  void fail(std::string_view reason) noexcept;
  void die(tcp::StreamError error) noexcept;
  void end_of_peer(bool clean) noexcept;
  void send_close_notify() noexcept;
  void end_direction() noexcept;
  void finish_close() noexcept;
  [[nodiscard]] bool more_behind() noexcept;  // bytes or an end that fill() has not seen
  [[nodiscard]] std::size_t record_limit() const noexcept;
  [[nodiscard]] std::size_t buffered() const noexcept { return rx_end_ - rx_begin_; }

  // Hot: what an event on an open connection touches.
  ConnIo io_;
  Library::Impl& library_;
  SslPtr ssl_;
  tcp::StreamHandler* handler_ = nullptr;
  Library::Impl::RxBuffer rx_buffer_;  // only while it holds something
  std::uint32_t rx_begin_ = 0;
  std::uint32_t rx_end_ = 0;
  std::uint32_t sent_ = 0;  // application bytes, up to kSmallRecordBytes
  State state_ = State::kHandshake;
  tcp::StreamEvents pending_ = tcp::StreamEvents::kNone;  // not delivered yet
  tcp::StreamError error_ = tcp::StreamError::kNone;
  std::uint8_t overhead_ = 0;     // bytes around a record's text
  bool peer_ended_ = false;       // close_notify or FIN was seen
  bool want_write_ = false;       // a write fell short
  bool shutdown_wanted_ = false;  // shutdown_write() was called
  bool close_notify_sent_ = false;
  bool fin_waits_ = false;    // for spilt bytes
  bool conn_closed_ = false;  // the connection is dead: nothing more can be sent

  std::shared_ptr<ServerContext::Impl> context_;
  std::string_view failure_;  // static text
  Instant linger_deadline_{};
};

}  // namespace sluice::tls
