// The request as a backend gets it: hop-by-hop fields out, X-Forwarded-*, X-Real-IP and Via in, then the route's own rules.
// Threading: pure functions over the caller's string.
// Spec:      RFC 9110 sections 7.6.1, 7.6.3, 10.1.1; RFC 9112 section 6.
#pragma once

#include <string>
#include <string_view>

#include "sluice/config/config.h"
#include "sluice/http/message.h"
#include "sluice/net/address.h"

namespace sluice::proxy {

// Whose request it is: what the variables of a template and the forwarding headers say.
struct RequestContext {
  const http::RequestHead& head;
  net::Endpoint client;
  net::Endpoint local;
  std::string_view client_address;  // client.address as text
  bool https = false;               // the client's connection is TLS
};

void append_rendered(std::string& out, const config::Template& text, const RequestContext& context);

// Whether a rule removes or replaces the field; never for fields that carry framing (they are not a rule's to change).
[[nodiscard]] bool rule_covers(const config::HeaderRules& rules, std::string_view name) noexcept;
// The `set` fields; one that renders to nothing is left out.
void append_rule_fields(std::string& out, const config::HeaderRules& rules, const RequestContext& context);

enum class RequestBody : std::uint8_t { kNone, kSized, kChunked };

struct UpstreamRequest {
  const config::HeaderRules* rules = nullptr;
  RequestBody body = RequestBody::kNone;
  std::uint64_t body_bytes = 0;        // kSized
  bool close = false;                  // the connection is not kept
  bool for_cache = false;              // the client's conditions and Range are left out, so that the whole answer comes
  std::string_view if_none_match;      // of the stored response that is to be revalidated
  std::string_view if_modified_since;  //
};
void append_upstream_request(std::string& out, const RequestContext& context, const UpstreamRequest& request);

}  // namespace sluice::proxy
