#include "exchange.h"

#include <utility>

#include "sluice/http/chunked.h"
#include "sluice/http/forward.h"
#include "sluice/http/serialize.h"

namespace sluice::proxy {

namespace {

using http::HeaderId;
using http::Method;

// Bodies that nobody wants are read up to this, so that the connection can be used again; beyond it the connection is closed.
constexpr std::uint64_t kSkipBody = 64 << 10;
constexpr std::string_view kServerName = "sluice";

// What is wrong with a request as such, before it has a route; 0: nothing.
std::uint16_t admit(Exchange& x, const config::HttpLimits& limits) noexcept {
  const http::RequestHead& head = x.head();
  if (head.method == Method::kTrace) return 405;
  // RFC 9110 section 7.4: https:// is not answered on a connection that is not secured. What a backend says to the one would otherwise
  // be found in the cache by the other.
  if (head.https && !x.session().https()) return 421;
  if (head.content_length.value_or(0) > limits.body_bytes) return 413;
  return 0;
}

// RFC 9110 section 15.5.6: what the target takes. Elsewhere than in a folder that is every method but what is refused
// here; the field names those of HTTP itself.
std::string allow_line(Exchange& x) {
  const Route* route = x.service().router.find(x.head().host, x.head().path);
  const bool files = route != nullptr && std::holds_alternative<config::StaticFiles>(route->config->action);
  return files ? "Allow: GET, HEAD\r\n" : "Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH\r\n";
}

}  // namespace

Task<ExchangeEnd> run_exchange(Session& session) {
  Exchange x(session);
  if (const std::uint16_t refused = admit(x, *x.service().limits); refused != 0) {
    x.respond_error(refused, refused == 405 ? allow_line(x) : std::string());
  } else if (const Route* route = x.service().router.find(x.head().host, x.head().path); route == nullptr) {
    x.respond_error(404);
  } else {
    x.set_route(*route);
    const auto& action = route->config->action;
    if (std::holds_alternative<config::ToPool>(action)) {
      Task<> served = route->config->cache ? serve_cached(x) : serve_from_pool(x);
      co_await served;
    } else if (const auto* files = std::get_if<config::StaticFiles>(&action)) {
      Task<> served = serve_static(x, *files);
      co_await served;
    } else if (const auto* respond = std::get_if<config::Respond>(&action)) {
      respond_fixed(x, *respond);
    } else {
      respond_redirect(x, std::get<config::Redirect>(action));
    }
  }
  if (!x.broken() && x.out().waiting()) {
    Task<> flushed = flush(x);
    co_await flushed;
  }
  co_return x.conclude();
}

Task<> flush(Exchange& x) {
  while (!x.broken() && !x.out().flush()) {
    x.wait_for(ClientWait::kSpace, true);
    const EventPort::Bits bits = co_await x.port().next_event();
    x.note(bits);
  }
}

Exchange::Exchange(Session& session)
    : session_(session),
      core_(session.core()),
      head_(session.parser().head()),
      out_(session.stream(), session.service().counters->out.bytes),
      keep_alive_(session.parser().head().keep_alive && session.may_keep_alive()) {
  core_.counters.requests.add();
  core_.counters.exchanges.add(1);
  if (!head_.has_body()) skip_body();
}

Exchange::~Exchange() {
  core_.counters.exchanges.add(-1);
  core_.counters.responses[head_sent_ ? status_ / 100 : 0].add();
  session_.cancel_timer();
}

RequestContext Exchange::context() {
  return {.head = head_,
          .client = session_.client(),
          .local = session_.local(),
          .client_address = session_.client_address(),
          .https = session_.https()};
}

void Exchange::note(EventPort::Bits bits) noexcept {
  if ((bits & events::kClientTimeout) == 0) return;
  if (waiting_for_ == ClientWait::kBody) body_timed_out_ = true;
  if (waiting_for_ == ClientWait::kSpace) broken_ = true;
  waiting_for_ = ClientWait::kNothing;
}

void Exchange::wait_for(ClientWait what, bool progress) noexcept {
  // A client that sends us something while it reads nothing makes no progress.
  if (what == ClientWait::kSpace) {
    const std::uint64_t taken = out_.taken();
    progress = std::exchange(taken_, taken) != taken;
  }
  if (what == waiting_for_ && !progress) return;
  waiting_for_ = what;
  const config::HttpLimits& limits = *service().limits;
  switch (what) {
    case ClientWait::kNothing:
      return session_.cancel_timer();
    case ClientWait::kBody:
      return session_.arm_timer(limits.body_timeout);
    case ClientWait::kSpace:
      return session_.arm_timer(limits.send_timeout);
  }
}

void Exchange::skip_body() noexcept {
  std::uint64_t skipped = 0;
  while (!request_done_ && skipped <= kSkipBody) {
    const auto input = session_.stream().rx_peek();
    const http::ParseStep step = parser().feed(input);
    session_.consume(step.consumed);
    skipped += step.consumed;
    if (step.step == http::Step::kEnd) request_done_ = true;
    if (step.step == http::Step::kError || (step.step == http::Step::kNeedMore && input.empty())) return;
  }
}

void Exchange::send_continue() {
  if (!head_.expect_continue || continue_sent_ || head_sent_) return;
  continue_sent_ = true;
  out_.write("HTTP/1.1 100 Continue\r\n\r\n");
}

void Exchange::begin_head(std::uint16_t status, std::string_view reason) {
  status_ = status;
  has_date_ = false;
  core_.scratch.clear();
  out_.cork(core_.scratch);
  http::append_status_line(core_.scratch, status, reason);
}

void Exchange::add(HeaderId id, std::string_view value) { add(http::header_name(id), value); }

void Exchange::add(std::string_view name, std::string_view value) {
  if (route_ != nullptr && !route().response_headers.empty() && rule_covers(route().response_headers, name)) return;
  http::append_header(core_.scratch, name, value);
}

void Exchange::add_line(std::string_view line) { core_.scratch.append(line); }

void Exchange::add_all(const http::HeaderList& headers) {
  const http::HopFilter filter(headers);
  for (const http::Header& header : headers) {
    if (header.id == HeaderId::kContentLength || !filter.passes(header)) continue;
    if (header.id == HeaderId::kDate) has_date_ = true;
    add(header.name, header.value);
  }
}

void Exchange::end_head(Framing framing, std::uint64_t length) {
  std::string& out = core_.scratch;
  if (!has_date_) add(HeaderId::kDate, core_.dates.at(core_.wall));
  if (route_ != nullptr && !route().response_headers.empty()) {
    append_rule_fields(out, route().response_headers, context());
  }
  if (!body_taken_) skip_body();
  if (!request_done_) keep_alive_ = false;  // we answer early: what else the client sends is not read
  if (framing == Framing::kChunked && head_.minor_version == 0) framing = Framing::kUntilClose;
  framing_ = framing;
  switch (framing) {
    case Framing::kNone:
      break;
    case Framing::kSized:
      http::append_header(out, http::header_name(HeaderId::kContentLength), length);
      break;
    case Framing::kChunked:
      http::append_header(out, http::header_name(HeaderId::kTransferEncoding), "chunked");
      break;
    case Framing::kUntilClose:
      keep_alive_ = false;
      break;
  }
  if (!keep_alive_ || !session_.may_keep_alive()) {
    keep_alive_ = false;
    http::append_header(out, http::header_name(HeaderId::kConnection), "close");
  } else if (head_.minor_version == 0) {
    http::append_header(out, http::header_name(HeaderId::kConnection), "keep-alive");
  }
  http::append_head_end(out);
  head_sent_ = true;
}

void Exchange::write_body(std::span<const std::uint8_t> bytes) {
  core_.counters.bytes_sent.add(bytes.size());
  if (framing_ != Framing::kChunked) return out_.write(bytes);
  chunk_start_.clear();
  http::append_chunk_start(chunk_start_, bytes.size());
  out_.write(chunk_start_);
  out_.write(bytes);
  out_.write(http::kChunkEnd);
}

void Exchange::end_body() {
  if (framing_ == Framing::kChunked) out_.write(http::kLastChunk);
}

void Exchange::respond(std::uint16_t status, std::string_view body, std::string_view content_type,
                       std::string_view extra_lines) {
  begin_head(status);
  add(HeaderId::kServer, kServerName);
  if (!body.empty()) add(HeaderId::kContentType, content_type);
  add_line(extra_lines);
  const bool bodiless = status == 204 || status == 304;
  end_head(bodiless ? Framing::kNone : Framing::kSized, body.size());
  if (!bodiless && !head_only()) write_body(bytes_of(body));
  out_.uncork();
}

void Exchange::respond_error(std::uint16_t status, std::string_view extra_lines) {
  std::string page = "<html><head><title>";
  const std::size_t from = page.size();
  http::append_decimal(page, status);
  page.append(" ").append(http::reason_phrase(status));
  const std::string title = page.substr(from);
  page.append("</title></head><body><h1>").append(title).append("</h1></body></html>\n");
  respond(status, page, "text/html", extra_lines);
}

ExchangeEnd Exchange::conclude() noexcept {
  if (broken()) return ExchangeEnd::kAbort;
  skip_body();
  if (!request_done_) return ExchangeEnd::kLinger;
  return keep_alive_ ? ExchangeEnd::kKeepAlive : ExchangeEnd::kClose;
}

void respond_fixed(Exchange& x, const config::Respond& respond) {
  x.respond(respond.status, respond.body, respond.content_type);
}

void respond_redirect(Exchange& x, const config::Redirect& redirect) {
  std::string line = "Location: ";
  append_rendered(line, redirect.location, x.context());
  line.append("\r\n");
  x.respond_error(redirect.status, line);
}

}  // namespace sluice::proxy
