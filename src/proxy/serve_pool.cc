// A route to a pool, without the cache: the response goes from the backend to the client as it comes.
#include "serve_pool.h"

#include "upstream_call.h"

namespace sluice::proxy {

Framing framing_of(const http::ResponseHead& response) noexcept {
  if (response.no_body) return response.content_length && response.status != 204 ? Framing::kSized : Framing::kNone;
  return response.content_length ? Framing::kSized : Framing::kChunked;
}

Task<> serve_from_pool(Exchange& x) {
  UpstreamCall call(x, x.pool());
  Task<> opened = call.open();
  co_await opened;
  if (x.broken()) co_return;
  if (call.failure() != 0) {
    x.respond_error(call.failure());
    co_return;
  }
  const http::ResponseHead& response = call.response();
  x.begin_head(response.status, response.reason);
  x.add_all(response.headers);
  x.end_head(framing_of(response), response.content_length.value_or(0));
  Task<> relayed = call.relay();
  co_await relayed;
}

}  // namespace sluice::proxy
