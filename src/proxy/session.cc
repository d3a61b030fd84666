#include "session.h"

#include <algorithm>
#include <utility>

#include "core.h"
#include "events.h"
#include "exchange.h"
#include "sluice/http/serialize.h"
#include "sluice/tls/session.h"

namespace sluice::proxy {

namespace {

// After an early end the client may still be sending. Its bytes are discarded, or our reset would take the answer from it: until it
// has sent nothing for kLingerIdle, but no longer than kLingerTime (nginx's lingering_timeout and lingering_time).
constexpr Duration kLingerIdle = std::chrono::seconds(5);
constexpr Duration kLingerTime = std::chrono::seconds(30);
// Of requests that wait in the receive buffer, so many are served before other connections have their turn.
constexpr unsigned kRequestsInARow = 256;
// An idle connection keeps its buffers for so long, since the next request of a busy client comes soon.
constexpr Duration kKeepBuffers = std::chrono::seconds(2);

}  // namespace

Session::Session(Core& core, Sessions& owner, Service& service, tcp::Conn& conn, tls::Session* tls)
    : core_(core),
      owner_(owner),
      service_(service),
      stream_(tls != nullptr ? static_cast<tcp::Stream*>(tls) : &conn),
      tls_(tls),
      state_(tls != nullptr ? State::kHandshake : State::kIdle),
      client_(conn.remote()),
      local_(conn.local()),
      parser_(service.head_limits),
      port_(core.ready),
      timer_([](void* self) noexcept { static_cast<Session*>(self)->on_timer(); }, this) {
  port_.set_after_resume(
      [](void* raw) noexcept {
        auto& self = *static_cast<Session*>(raw);
        if (self.exchange_.done() && self.after_exchange()) self.read_requests();
      },
      this);
  core_.counters.connections_accepted.add();
  core_.counters.connections.add(1);
  service_.counters->flows.add();
  service_.counters->active.add(1);
  stream_->set_handler(this);
  core_.timers.arm(timer_, core_.now + service_.limits->header_timeout);  // of the handshake, or of the first request
}

Session::~Session() {
  core_.counters.connections.add(-1);
  service_.counters->active.add(-1);
}

std::string_view Session::client_address() {
  if (client_address_.empty()) client_address_ = client_.address.text();
  return client_address_;
}

bool Session::may_keep_alive() const noexcept { return !core_.draining && requests_ < service_.limits->requests; }

void Session::on_stream(tcp::StreamEvents events) noexcept {
  using tcp::StreamEvents;
  if (has(events, StreamEvents::kClosed)) {
    gone_ = true;
    if (state_ == State::kHandshake) core_.counters.tls_failed.add();
    if (state_ != State::kExchange) return finish(stream_->error() != tcp::StreamError::kNoMemory);
  }
  switch (state_) {
    case State::kHandshake:
      if (!has(events, StreamEvents::kConnected)) return;
      core_.counters.tls_handshakes.add();
      if (tls_->resumed()) core_.counters.tls_resumed.add();
      state_ = State::kIdle;
      core_.timers.arm(timer_, core_.now + service_.limits->header_timeout);
      [[fallthrough]];
    case State::kIdle:
    case State::kHead:
      return read_requests();
    case State::kExchange:
      return port_.post(events::client(events));
    case State::kLinger:
      return linger();
  }
}

void Session::read_requests() noexcept {
  using http::Step;
  for (unsigned served = 0;;) {
    const std::span<const std::uint8_t> input = stream_->rx_peek();
    if (input.empty()) {
      // Nobody asks any more. What a client leaves unfinished gets no answer: it has stopped talking to us.
      if (stream_->rx_ended()) return finish(true);
      if (state_ == State::kIdle && core_.draining) return finish(true);
      return;
    }
    const http::ParseStep step = parser_.feed(input);
    consume(step.consumed);
    if (state_ == State::kIdle && !parser_.idle()) {
      state_ = State::kHead;
      core_.timers.arm(timer_, core_.now + service_.limits->header_timeout);
    }
    if (step.step == Step::kHead) {
      if (!start_exchange()) return;
      if (++served == kRequestsInARow) return core_.timers.arm(timer_, core_.now);
    } else if (step.step == Step::kError) {
      return refuse(step.status);
    }
  }
}

bool Session::start_exchange() noexcept {
  state_ = State::kExchange;
  timer_.cancel();
  ++requests_;
  exchange_ = run_exchange(*this);
  exchange_.start();
  return exchange_.done() && after_exchange();
}

bool Session::after_exchange() noexcept {
  const ExchangeEnd end = exchange_.take();
  exchange_.reset();
  port_.forget();
  if (gone_ || end == ExchangeEnd::kAbort) {
    finish(false);
    return false;
  }
  if (end == ExchangeEnd::kLinger) {
    begin_linger();
    return false;
  }
  if (end == ExchangeEnd::kClose || core_.draining) {
    finish(true);
    return false;
  }
  parser_.next();
  go_idle();
  return true;
}

void Session::go_idle() noexcept {
  state_ = State::kIdle;
  idle_until_ = core_.now + service_.limits->idle_timeout;
  core_.timers.arm(timer_, std::min(idle_until_, core_.now + kKeepBuffers));
}

void Session::refuse(std::uint16_t status) noexcept {
  core_.counters.requests.add();
  core_.counters.responses[status / 100].add();
  std::string& out = core_.scratch;
  out.clear();
  http::ErrorPage page;
  page.status = status;
  http::append_error_page(out, page, core_.wall);
  // Room for it: nothing is waiting to be sent but earlier answers, and one that does not fit the client did not read anyway.
  static_cast<void>(stream_->write(bytes_of(out)));
  begin_linger();
}

void Session::begin_linger() noexcept {
  state_ = State::kLinger;
  stream_->shutdown_write();
  linger_until_ = core_.now + kLingerTime;
  core_.timers.arm(timer_, core_.now + kLingerIdle);
  linger();
}

void Session::linger() noexcept {
  bool more = false;
  for (auto input = stream_->rx_peek(); !input.empty(); input = stream_->rx_peek()) {
    consume(input.size());
    more = true;
  }
  if (stream_->rx_ended()) return finish(true);
  if (more) core_.timers.arm(timer_, std::min(core_.now + kLingerIdle, linger_until_));
}

void Session::arm_timer(Duration after) noexcept { core_.timers.arm(timer_, core_.now + after); }

void Session::on_timer() noexcept {
  switch (state_) {
    case State::kHandshake:
      core_.counters.tls_failed.add();
      return finish(false);
    case State::kIdle:
      if (!stream_->rx_peek().empty()) return read_requests();
      if (core_.now < idle_until_) {
        parser_.release();
        core_.timers.arm(timer_, idle_until_);
        return;
      }
      return finish(true);
    case State::kHead:
      return refuse(408);
    case State::kExchange:
      return port_.post(events::kClientTimeout);
    case State::kLinger:
      return finish(true);
  }
}

void Session::begin_drain() noexcept {
  if (state_ == State::kHandshake) return finish(false);
  if (state_ == State::kIdle) return finish(true);
}

void Session::kill() noexcept {
  if (!ended_) stream_->abort();
  ended_ = true;
  gone_ = true;
  if (state_ == State::kExchange) return port_.post(events::client(tcp::StreamEvents::kClosed));
  finish(false);
}

void Session::finish(bool graceful) noexcept {
  if (!ended_) {
    ended_ = true;
    if (graceful) {
      stream_->close();
    } else {
      stream_->abort();
    }
  }
  owner_.remove(*this);
}

void Sessions::accept(Service& service, tcp::Conn& conn) noexcept {
  tls::Session* tls = nullptr;
  if (service.tls) {
    tls = service.tls->accept(conn);
    if (tls == nullptr) {
      ++refused_;
      conn.abort();
      return;
    }
  }
  list_.push_front(std::make_unique<Session>(core_, *this, service, conn, tls));
  list_.front()->position_ = list_.begin();
}

void Sessions::begin_drain() noexcept {
  for (auto at = list_.begin(); at != list_.end();) (*at++)->begin_drain();
}

void Sessions::kill_all() noexcept {
  for (auto at = list_.begin(); at != list_.end();) (*at++)->kill();
}

void Sessions::remove(Session& session) noexcept { list_.erase(session.position_); }

}  // namespace sluice::proxy
