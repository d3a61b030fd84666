// A two-way byte stream with back-pressure: what HTTP sees of a connection, whether plain TCP (tcp::Conn), TLS over it
// (tls::Session) or a test's double.
// Threading: a stream belongs to one proxy thread; every call comes from it, and so does every event.
// Ownership: who opened or accepted a stream holds it until close() or abort(); after either the reference is dead and
//            no event arrives any more.
// Events:    delivered only from the loop's dispatch (TcpStack::dispatch()), never from inside a call on the stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace sluice::tcp {

// What happened since the last delivery; a set of bits.
enum class StreamEvents : std::uint8_t {
  kNone = 0,
  kConnected = 1,   // the connection (and for TLS the handshake) is complete
  kReadable = 2,    // rx_peek() has more than it had
  kWritable = 4,    // a write() that fell short can go on
  kPeerClosed = 8,  // the peer ended its direction: after what rx_peek() still holds comes nothing
  kClosed = 16,     // the stream is dead: error() says why. Only close() or abort() is allowed now.
};
[[nodiscard]] constexpr StreamEvents operator|(StreamEvents a, StreamEvents b) noexcept {
  return static_cast<StreamEvents>(static_cast<std::uint8_t>(a) | static_cast<std::uint8_t>(b));
}
constexpr StreamEvents& operator|=(StreamEvents& a, StreamEvents b) noexcept { return a = a | b; }
[[nodiscard]] constexpr bool has(StreamEvents set, StreamEvents bit) noexcept {
  return (static_cast<std::uint8_t>(set) & static_cast<std::uint8_t>(bit)) != 0;
}

enum class StreamError : std::uint8_t {
  kNone,
  kRefused,      // RST in answer to our SYN
  kReset,        // RST from the peer
  kTimedOut,     // no answer: connect, user timeout, keepalive
  kUnreachable,  // ICMP or no route
  kNoMemory,     // no connection block, no buffer
  kTls,          // handshake or record failure
  kAborted,      // the stack is shutting down
};

class StreamHandler {
 public:
  virtual void on_stream(StreamEvents events) noexcept = 0;

 protected:
  ~StreamHandler() = default;
};

class Stream {
 public:
  // Received bytes, in order, as one contiguous piece (there may be more behind it); empty: nothing yet, or the end.
  [[nodiscard]] virtual std::span<const std::uint8_t> rx_peek() noexcept = 0;
  virtual void rx_consume(std::size_t bytes) noexcept = 0;
  // The peer ended its direction and everything it sent was consumed.
  [[nodiscard]] virtual bool rx_ended() const noexcept = 0;

  // Takes as many of the bytes as there is room for and says how many; fewer than given: kWritable follows.
  [[nodiscard]] virtual std::size_t write(std::span<const std::uint8_t> bytes) noexcept = 0;
  [[nodiscard]] virtual std::size_t tx_space() const noexcept = 0;  // a write of so much is taken whole
  [[nodiscard]] virtual bool tx_drained() const noexcept = 0;       // all that was written is acknowledged by the peer
  virtual void shutdown_write() noexcept = 0;                       // ends our direction after what was written

  virtual void close() noexcept = 0;  // what was written is still delivered, within the stack's linger bound
  virtual void abort() noexcept = 0;  // RST, at once

  [[nodiscard]] virtual StreamError error() const noexcept = 0;
  virtual void set_handler(StreamHandler* handler) noexcept = 0;  // nullptr: events are kept until there is one

 protected:
  ~Stream() = default;
};

}  // namespace sluice::tcp
