#include "libssl_session.h"

#include <algorithm>
#include <utility>

namespace sluice::tls {

using tcp::has;
using tcp::StreamError;
using tcp::StreamEvents;

namespace {

StreamEvents without(StreamEvents set, StreamEvents bit) noexcept {
  return static_cast<StreamEvents>(static_cast<std::uint8_t>(set) & ~static_cast<std::uint8_t>(bit));
}

// A write into too little room still makes a record of so much: its rest is spilt, and the connection tells when it has
// room.
constexpr std::size_t kLeastRecord = 64;

// Bytes around a record's text: RFC 8446 section 5.2; RFC 5246 section 6.2.3.3 and RFC 5288 section 3; else a CBC's at
// most.
std::uint8_t overhead_of(const SSL* ssl) noexcept {
  if (SSL_version(ssl) >= TLS1_3_VERSION) return 5 + 1 + 16;
  return SSL_CIPHER_is_aead(SSL_get_current_cipher(ssl)) != 0 ? 5 + 8 + 16 : 5 + 16 + 48 + 16;
}

}  // namespace

LibsslSession::LibsslSession(std::shared_ptr<ServerContext::Impl> context, SslPtr ssl, tcp::Conn& conn) noexcept
    : io_(conn), library_(context->library), ssl_(std::move(ssl)), context_(std::move(context)) {
  ++library_.stats.sessions;
}

LibsslSession::~LibsslSession() {
  --library_.stats.sessions;
  library_.give_buffer(std::move(rx_buffer_));
}

bool LibsslSession::begin() noexcept {
  BioPtr bio = make_conn_bio(library_.context.get(), library_.conn_bio.get(), io_);
  if (bio == nullptr) {
    ERR_clear_error();
    return false;
  }
  BIO* both = bio.release();
  SSL_set_bio(ssl_.get(), both, both);
  SSL_set_accept_state(ssl_.get());
  io_.conn().set_handler(this);
  // The ClientHello may have come with the last segment of the TCP handshake, its event taken by the acceptor.
  if (!io_.conn().rx_peek().empty()) library_.handshakes.push_back(*this);
  return true;
}

// ---- events from below

void LibsslSession::on_stream(StreamEvents events) noexcept {
  if (state_ == State::kLingering) return on_lingering(events);
  if (has(events, StreamEvents::kClosed)) {
    conn_closed_ = true;
    fill();  // what came before the end is still for the reader to see
    if (state_ == State::kHandshake) ++library_.stats.handshake_errors;
    if (state_ != State::kDead) die(io_.conn().error());
    return deliver();
  }
  if (has(events, StreamEvents::kWritable)) flush();
  if (state_ == State::kHandshake) {
    library_.handshakes.push_back(*this);
    return;
  }
  if (state_ == State::kOpen && (has(events, StreamEvents::kReadable) || has(events, StreamEvents::kPeerClosed)))
    fill();
  deliver();
}

void LibsslSession::on_lingering(StreamEvents events) noexcept {
  if (has(events, StreamEvents::kClosed)) return abort();
  io_.discard();
  if (io_.flush()) finish_close();
}

void LibsslSession::flush() noexcept {
  if (!io_.flush()) return;
  if (std::exchange(fin_waits_, false)) io_.conn().shutdown_write();
  if (state_ != State::kOpen) return;
  if (std::exchange(want_write_, false)) pending_ |= StreamEvents::kWritable;
  fill();  // which stood still while bytes waited
}

void LibsslSession::continue_handshake() noexcept {
  if (io_.spilt()) return;  // kWritable brings us back
  const int done = SSL_do_handshake(ssl_.get());
  if (done == 1) {
    opened();
    return deliver();
  }
  if (SSL_get_error(ssl_.get(), done) != SSL_ERROR_WANT_READ) {
    fail(take_error());
  } else if (io_.conn().rx_ended()) {
    fail("the peer closed during the handshake");
  }
  deliver();
}

void LibsslSession::opened() noexcept {
  state_ = State::kOpen;
  overhead_ = overhead_of(ssl_.get());
  ERR_clear_error();  // a handshake may leave some behind and succeed
  ++library_.stats.handshakes;
  if (SSL_session_reused(ssl_.get()) == 1) ++library_.stats.resumed;
  pending_ |= StreamEvents::kConnected;
  if (std::exchange(want_write_, false)) pending_ |= StreamEvents::kWritable;
  if (shutdown_wanted_) end_direction();
  fill();  // the first request often comes with the client's Finished
}

void LibsslSession::continue_ready() noexcept {
  if (state_ == State::kOpen) fill();
  deliver();
}

void LibsslSession::deliver() noexcept {
  if (handler_ == nullptr || pending_ == StreamEvents::kNone) return;
  handler_->on_stream(std::exchange(pending_, StreamEvents::kNone));
}

void LibsslSession::schedule() noexcept {
  if (state_ == State::kOpen || state_ == State::kDead) library_.ready.push_back(*this);
}

void LibsslSession::set_handler(tcp::StreamHandler* handler) noexcept {
  handler_ = handler;
  if (handler_ != nullptr && pending_ != StreamEvents::kNone) schedule();
}

// libssl has written the alert already.
void LibsslSession::fail(std::string_view reason) noexcept {
  ++(state_ == State::kHandshake ? library_.stats.handshake_errors : library_.stats.record_errors);
  failure_ = reason;
  die(StreamError::kTls);
}

void LibsslSession::die(StreamError error) noexcept {
  unlink();
  state_ = State::kDead;
  error_ = error;
  pending_ |= StreamEvents::kClosed;
}

// ---- reading

void LibsslSession::fill() noexcept {
  if (state_ != State::kOpen || peer_ended_ || io_.spilt()) return;
  if (rx_buffer_ == nullptr) {
    if (!more_behind()) return;
    rx_buffer_ = library_.take_buffer();
    if (rx_buffer_ == nullptr) {  // what was received waits, still encrypted, and the peer's window closes meanwhile
      library_.starved.push_back(*this);
      return;
    }
  }
  clear_stale_errors();
  while (rx_end_ < kRxBuffer && !io_.spilt()) {
    std::size_t got = 0;
    if (SSL_read_ex(ssl_.get(), rx_buffer_.get() + rx_end_, kRxBuffer - rx_end_, &got) == 1) {
      rx_end_ += static_cast<std::uint32_t>(got);
      pending_ |= StreamEvents::kReadable;
      continue;
    }
    const int reason = SSL_get_error(ssl_.get(), 0);
    if (reason == SSL_ERROR_WANT_READ) {
      if (io_.conn().rx_ended()) end_of_peer(false);
    } else if (reason == SSL_ERROR_ZERO_RETURN) {
      end_of_peer(true);
    } else {
      fail(take_error());
    }
    break;
  }
  if (buffered() == 0) {
    rx_begin_ = rx_end_ = 0;
    library_.give_buffer(std::move(rx_buffer_));
  }
}

void LibsslSession::end_of_peer(bool clean) noexcept {
  peer_ended_ = true;
  pending_ |= StreamEvents::kPeerClosed;
  if (clean) return;
  // RFC 8446 section 6.1: without close_notify what was received may be cut short.
  ++library_.stats.truncated;
  error_ = StreamError::kTls;
  failure_ = "the peer closed without close_notify";
}

bool LibsslSession::more_behind() noexcept {
  return SSL_has_pending(ssl_.get()) == 1 || !io_.conn().rx_peek().empty() || io_.conn().rx_ended();
}

std::span<const std::uint8_t> LibsslSession::rx_peek() noexcept {
  if (buffered() == 0) {
    fill();
    pending_ = without(pending_, StreamEvents::kReadable);  // the caller sees it here
    if (pending_ != StreamEvents::kNone) schedule();        // an end or an error that was met on the way
  }
  return {rx_buffer_.get() + rx_begin_, buffered()};
}

void LibsslSession::rx_consume(std::size_t bytes) noexcept {
  rx_begin_ += static_cast<std::uint32_t>(bytes);
  if (buffered() != 0) return;
  rx_begin_ = rx_end_ = 0;
  library_.give_buffer(std::move(rx_buffer_));
  if (state_ == State::kOpen && !peer_ended_ && more_behind()) schedule();
}

bool LibsslSession::rx_ended() const noexcept { return peer_ended_ && buffered() == 0; }

// ---- writing

std::size_t LibsslSession::record_limit() const noexcept {
  return sent_ < kSmallRecordBytes ? kSmallRecord : kFullRecord;
}

std::size_t LibsslSession::write(std::span<const std::uint8_t> bytes) noexcept {
  if (state_ == State::kDead || shutdown_wanted_) return 0;
  clear_stale_errors();
  std::size_t taken = 0;
  while (state_ == State::kOpen && taken < bytes.size() && !io_.spilt()) {
    // A record may overlap the connection's room by what is around its text: then its tail waits here, and the short
    // write below makes the connection tell when it has room.
    const std::size_t room = std::max(io_.conn().tx_space(), kLeastRecord);
    const std::size_t text = std::min({bytes.size() - taken, record_limit(), room});
    std::size_t written = 0;
    if (SSL_write_ex(ssl_.get(), bytes.data() + taken, text, &written) != 1) {
      fail(take_error());
      schedule();
      break;
    }
    taken += written;
    sent_ = static_cast<std::uint32_t>(std::min<std::size_t>(sent_ + written, kSmallRecordBytes));
  }
  if (taken < bytes.size()) want_write_ = true;
  return taken;
}

std::size_t LibsslSession::tx_space() const noexcept {
  if (state_ != State::kOpen || shutdown_wanted_ || io_.spilt()) return 0;
  const std::size_t room = io_.conn().tx_space();
  const std::size_t record = record_limit() + overhead_;
  const std::size_t rest = room % record;
  return room / record * record_limit() + (rest > overhead_ ? rest - overhead_ : 0);
}

bool LibsslSession::tx_drained() const noexcept { return !io_.spilt() && io_.conn().tx_drained(); }

// ---- ending

void LibsslSession::send_close_notify() noexcept {
  if (std::exchange(close_notify_sent_, true)) return;
  if (SSL_shutdown(ssl_.get()) < 0) ERR_clear_error();  // then the FIN comes without it
}

void LibsslSession::shutdown_write() noexcept {
  if (std::exchange(shutdown_wanted_, true)) return;
  if (state_ == State::kOpen) end_direction();  // else after the handshake, or never
}

void LibsslSession::end_direction() noexcept {
  send_close_notify();
  if (io_.spilt()) {
    fin_waits_ = true;
  } else {
    io_.conn().shutdown_write();
  }
}

void LibsslSession::close() noexcept {
  unlink();
  handler_ = nullptr;
  if (state_ == State::kOpen) send_close_notify();
  io_.discard();  // unread bytes would make the stack answer our last ones with a reset
  if (!io_.spilt() || conn_closed_) return finish_close();
  state_ = State::kLingering;
  library_.give_buffer(std::move(rx_buffer_));
  ssl_.reset();
  library_.closed.push_back(*this);
}

void LibsslSession::finish_close() noexcept {
  io_.conn().close();
  delete this;
}

void LibsslSession::abort() noexcept {
  io_.conn().abort();
  delete this;
}

// ---- what was negotiated

std::string_view LibsslSession::alpn() const noexcept {
  const unsigned char* name = nullptr;
  unsigned int bytes = 0;
  SSL_get0_alpn_selected(ssl_.get(), &name, &bytes);
  return {reinterpret_cast<const char*>(name), bytes};
}

std::string_view LibsslSession::sni() const noexcept {
  const char* name = SSL_get_servername(ssl_.get(), TLSEXT_NAMETYPE_host_name);
  return name != nullptr ? name : std::string_view{};
}

std::string_view LibsslSession::version() const noexcept { return SSL_get_version(ssl_.get()); }

std::string_view LibsslSession::cipher() const noexcept {
  const SSL_CIPHER* cipher = SSL_get_current_cipher(ssl_.get());
  return cipher != nullptr ? SSL_CIPHER_get_name(cipher) : std::string_view{};
}

bool LibsslSession::resumed() const noexcept { return SSL_session_reused(ssl_.get()) == 1; }

}  // namespace sluice::tls
