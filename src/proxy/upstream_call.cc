#include "upstream_call.h"

#include <algorithm>
#include <utility>

#include "sluice/http/chunked.h"
#include "sluice/http/forward.h"
#include "sluice/http/serialize.h"
#include "sluice/lb/maglev.h"

namespace sluice::proxy {

namespace {

constexpr std::size_t kMaxBackends = 3;  // tried for one request

}  // namespace

UpstreamCall::UpstreamCall(Exchange& x, Pool& pool)
    : x_(x),
      core_(x.core()),
      pool_(pool),
      hash_(lb::flow_hash(pool.config->hash, x.session().client(), x.session().local(), net::IpProto::kTcp)),
      timer_([](void* raw) noexcept { static_cast<UpstreamCall*>(raw)->x_.port().post(events::kUpstreamTimeout); },
             this) {
  const http::RequestHead& head = x.head();
  request_.rules = &x.route().request_headers;
  request_.close = pool.idle_limit == 0;
  if (head.chunked) {
    request_.body = RequestBody::kChunked;
  } else if (head.content_length) {
    request_.body = RequestBody::kSized;
    request_.body_bytes = *head.content_length;
  }
  x.take_body();
}

Task<> UpstreamCall::open() {
  while (choose()) {
    if (!lease_) {
      Task<> connected = connect();
      co_await connected;
      if (x_.broken()) co_return;
      if (!lease_) continue;
    }
    Task<Outcome> heads = exchange_heads();
    const Outcome outcome = co_await heads;
    timer_.cancel();
    if (outcome != Outcome::kAgain) co_return;
  }
}

bool UpstreamCall::choose() {
  if (std::exchange(same_again_, false)) return true;
  if (tried_.size() >= kMaxBackends) return false;
  const lb::BackendIndex index = core_.upstreams.choose(pool_, hash_, tried_);
  if (index == lb::kNoBackend) {
    if (failure_ == 0) failure_ = 503;
    return false;
  }
  if (!tried_.empty()) core_.counters.upstream_retries.add();
  tried_.push_back(index);
  backend_ = core_.snapshot->id_of(index);
  lease_ = core_.upstreams.take_idle(pool_, backend_, x_.port());
  return true;
}

Task<> UpstreamCall::connect() {
  ConnectOutcome outcome = ConnectOutcome::kStarted;
  lease_ = core_.upstreams.connect(pool_, backend_, x_.port(), outcome);
  if (!lease_) {
    fail(outcome == ConnectOutcome::kNoRoute ? 502 : 503);
    co_return;
  }
  while (!lease_->connected() && !lease_->closed()) {
    const EventPort::Bits bits = co_await x_.port().next_event();
    take(bits);
    if (x_.broken()) co_return;
  }
  if (!lease_->closed()) co_return;
  fail(lease_->error() == tcp::StreamError::kTimedOut ? 504 : 502);
}

void UpstreamCall::send_head() {
  std::string& head = core_.scratch;
  head.clear();
  append_upstream_request(head, x_.context(), request_);
  out_.set_stream(lease_->stream(), lease_->counters().out.bytes);
  out_.write(head);
  lease_->parser().start(x_.head().method);
  core_.counters.upstream_requests.add();
}

Task<UpstreamCall::Outcome> UpstreamCall::exchange_heads() {
  send_head();
  std::uint64_t seen = ~std::uint64_t{0};
  for (;;) {
    if (lease_->closed()) {
      // A backend that refuses a body answers, closes and resets in one breath: what it said before counts.
      const Outcome last = read_head();
      co_return last == Outcome::kWait ? on_broken() : last;
    }
    if (!pump_request()) co_return fail(failure_);
    const Outcome outcome = read_head();
    if (outcome != Outcome::kWait) co_return outcome;
    const std::uint64_t moved = body_taken_ + out_.taken();
    const bool progress = std::exchange(seen, moved) != moved;
    x_.wait_for(wants_body() ? ClientWait::kBody : ClientWait::kNothing, progress);
    wait_for_upstream(!wants_body(), progress);
    const EventPort::Bits bits = co_await x_.port().next_event();
    take(bits);
    if (x_.broken()) co_return Outcome::kFailed;
    if (x_.body_timed_out()) co_return fail(408);
    if (timed_out_) {
      core_.counters.upstream_timeouts.add();
      co_return fail(504);
    }
  }
}

void UpstreamCall::take(EventPort::Bits bits) noexcept {
  x_.note(bits);
  if ((bits & events::kUpstreamTimeout) != 0) timed_out_ = true;
}

void UpstreamCall::wait_for_upstream(bool waits, bool progress) noexcept {
  if (!waits) return timer_.cancel();
  if (progress || !timer_.armed()) core_.timers.arm(timer_, core_.now + pool_.config->timeouts.response);
}

UpstreamCall::Outcome UpstreamCall::read_head() {
  for (;;) {
    tcp::Stream& stream = lease_->stream();
    const std::span<const std::uint8_t> input = stream.rx_peek();
    if (input.empty()) return stream.rx_ended() ? on_broken() : Outcome::kWait;
    const http::ParseStep step = lease_->parser().feed(input);
    lease_->consume(step.consumed);
    switch (step.step) {
      case http::Step::kHead:
        failure_ = 0;
        return Outcome::kResponse;
      case http::Step::kInterim:
        forward_interim();
        break;
      case http::Step::kError:
        return fail(502);
      default:
        break;
    }
  }
}

// RFC 9110 section 15.2: passed on, but for the 100 that answers our own Expect, and never to HTTP/1.0.
void UpstreamCall::forward_interim() {
  const http::ResponseHead& head = lease_->parser().head();
  if (head.status == 100 || x_.head().minor_version == 0) return;
  std::string& out = core_.scratch;
  out.clear();
  http::append_status_line(out, head.status, head.reason);
  const http::HopFilter filter(head.headers);
  for (const http::Header& header : head.headers) {
    if (filter.passes(header)) http::append_header(out, header.name, header.value);
  }
  http::append_head_end(out);
  x_.out().write(out);
}

UpstreamCall::Outcome UpstreamCall::fail(std::uint16_t status) noexcept {
  failure_ = status;
  if (status >= 500) {
    core_.counters.upstream_failed.add();
    core_.counters.backends[backend_.index].failed.add();
  }
  lease_.reset();
  return Outcome::kFailed;
}

UpstreamCall::Outcome UpstreamCall::on_broken() noexcept {
  const bool silent = lease_->parser().idle();
  const bool reused = lease_->reused();
  const bool replayable = http::is_idempotent(x_.head().method) && body_taken_ == 0;
  if (silent && replayable) body_sent_ = false;
  if (silent && replayable && reused) {
    lease_.reset();
    failure_ = 502;
    same_again_ = true;
    core_.counters.upstream_retries.add();
    return Outcome::kAgain;
  }
  fail(502);
  return silent && replayable ? Outcome::kAgain : Outcome::kFailed;
}

bool UpstreamCall::pump_request() {
  if (!out_.flush() || body_sent_) return true;
  if (request_.body == RequestBody::kNone || x_.request_done()) {
    body_sent_ = true;
    return true;
  }
  x_.send_continue();
  tcp::Stream& client = x_.session().stream();
  while (const std::size_t room = out_.room()) {
    const auto available = client.rx_peek();
    const auto input = available.first(std::min(available.size(), room));
    const http::ParseStep step = x_.parser().feed(input);
    if (step.step == http::Step::kBody) {
      body_bytes_ += step.body.size();
      core_.counters.bytes_received.add(step.body.size());
      if (request_.body == RequestBody::kChunked) {
        chunk_start_.clear();
        http::append_chunk_start(chunk_start_, step.body.size());
        out_.write(chunk_start_);
        out_.write(step.body);
        out_.write(http::kChunkEnd);
      } else {
        out_.write(step.body);
      }
    }
    x_.session().consume(step.consumed);
    body_taken_ += step.consumed;
    if (step.step == http::Step::kEnd) {
      x_.set_request_done();
      body_sent_ = true;
      if (request_.body == RequestBody::kChunked) out_.write(http::kLastChunk);
      return true;
    }
    if (step.step == http::Step::kError || (step.step == http::Step::kNeedMore && input.empty() && client.rx_ended())) {
      failure_ = step.step == http::Step::kError ? step.status : 400;
      return false;
    }
    if (body_bytes_ > x_.service().limits->body_bytes) {
      failure_ = 413;
      return false;
    }
    if (step.step == http::Step::kNeedMore && input.empty()) return true;
  }
  return true;
}

UpstreamCall::Relay UpstreamCall::pump_response() {
  if (!x_.out().flush()) return Relay::kNoRoom;
  while (const std::size_t room = x_.out().room()) {
    tcp::Stream& stream = lease_->stream();
    const auto available = stream.rx_peek();
    const auto input = available.first(std::min(available.size(), room));
    const http::ParseStep step = lease_->parser().feed(input);
    if (step.step == http::Step::kBody) x_.write_body(step.body);
    lease_->consume(step.consumed);
    response_bytes_ += step.consumed;
    if (step.step == http::Step::kEnd) return Relay::kEnd;
    if (step.step == http::Step::kError) return Relay::kBroken;
    if (step.step == http::Step::kNeedMore && input.empty()) {
      if (!stream.rx_ended()) return lease_->closed() ? Relay::kBroken : Relay::kWait;
      return lease_->parser().finish().step == http::Step::kEnd ? Relay::kEnd : Relay::kBroken;
    }
  }
  return Relay::kNoRoom;
}

Task<> UpstreamCall::relay() {
  Relay state = pump_response();  // corked: joins the head
  if (state == Relay::kEnd) x_.end_body();
  x_.out().uncork();
  std::uint64_t to_client = 0;
  std::uint64_t from_upstream = 0;
  while (state != Relay::kEnd) {
    if (!lease_->closed() && !pump_request()) state = Relay::kBroken;
    if (state == Relay::kBroken) {
      core_.counters.upstream_failed.add();
      x_.break_off();
      co_return;
    }
    const bool client_moved = std::exchange(to_client, x_.out().taken()) != x_.out().taken();
    const std::uint64_t moved = response_bytes_ + out_.taken();
    const bool upstream_moved = std::exchange(from_upstream, moved) != moved;
    x_.wait_for(state == Relay::kNoRoom ? ClientWait::kSpace : ClientWait::kNothing, client_moved);
    wait_for_upstream(state == Relay::kWait, upstream_moved);
    const EventPort::Bits bits = co_await x_.port().next_event();
    take(bits);
    if (x_.broken()) co_return;
    if (timed_out_) core_.counters.upstream_timeouts.add();
    state = timed_out_ ? Relay::kBroken : pump_response();
    if (state == Relay::kEnd) x_.end_body();
  }
  finish();
}

UpstreamLease UpstreamCall::take_connection() noexcept {
  if (!body_sent_ || out_.waiting()) lease_->set_spent();  // the backend answered before it had the whole request
  return std::move(lease_);
}

void UpstreamCall::finish() noexcept {
  timer_.cancel();
  const bool keep = lease_->parser().head().keep_alive && body_sent_ && !out_.waiting() && !request_.close;
  core_.upstreams.give_back(std::move(lease_), keep);
}

}  // namespace sluice::proxy
