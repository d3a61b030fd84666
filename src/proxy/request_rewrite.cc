#include "request_rewrite.h"

#include <algorithm>

#include "sluice/cache/policy.h"
#include "sluice/http/forward.h"
#include "sluice/http/serialize.h"

namespace sluice::proxy {

namespace {

using http::HeaderId;

bool carries_framing(HeaderId id) noexcept {
  return id == HeaderId::kContentLength || id == HeaderId::kTransferEncoding || id == HeaderId::kConnection;
}

// Fields that are written anew below, or that end here.
bool is_replaced(HeaderId id) noexcept {
  switch (id) {
    case HeaderId::kHost:
    case HeaderId::kContentLength:
    case HeaderId::kExpect:  // we answer 100 ourselves when the backend takes the body
    case HeaderId::kVia:
    case HeaderId::kXForwardedFor:
    case HeaderId::kXForwardedProto:
    case HeaderId::kXRealIp:
      return true;
    default:
      return false;
  }
}

// Backends that hand fields on as environment variables take X_Real_IP for X-Real-IP: a client must not write those either.
bool imitates_replaced(std::string_view name) {
  if (name.find('_') == std::string_view::npos) return false;
  std::string dashes(name);
  std::replace(dashes.begin(), dashes.end(), '_', '-');
  const HeaderId id = http::header_id(dashes);
  return is_replaced(id) || http::is_hop_by_hop(id);
}

// What is stored is found by the host in lower case, without a final dot and without the scheme's own port: the backend
// is asked for exactly that, or one spelling of the name could bring in an answer for all.
void append_key_host(std::string& out, const RequestContext& context) {
  const http::RequestHead& head = context.head;
  const bool v6 = head.host.find(':') != std::string_view::npos;
  out.append("Host: ").append(v6 ? "[" : "").append(head.host).append(v6 ? "]" : "");
  if (head.port != 0 && head.port != (context.https ? 443 : 80)) {
    out.push_back(':');
    http::append_decimal(out, head.port);
  }
  out.append("\r\n");
}

std::string_view name_of(HeaderId id) noexcept { return http::header_name(id); }

void append_framing(std::string& out, const UpstreamRequest& request) {
  switch (request.body) {
    case RequestBody::kNone:
      break;
    case RequestBody::kSized:
      http::append_header(out, name_of(HeaderId::kContentLength), request.body_bytes);
      break;
    case RequestBody::kChunked:
      http::append_header(out, name_of(HeaderId::kTransferEncoding), "chunked");
      break;
  }
  if (request.close) http::append_header(out, name_of(HeaderId::kConnection), "close");
}

}  // namespace

void append_rendered(std::string& out, const config::Template& text, const RequestContext& context) {
  using config::Variable;
  for (const config::Template::Part& part : text.parts) {
    out.append(part.literal);
    switch (part.variable) {
      case Variable::kNone:
        break;
      case Variable::kClientAddress:
        out.append(context.client_address);
        break;
      case Variable::kClientPort:
        http::append_decimal(out, context.client.port);
        break;
      case Variable::kLocalAddress:
        out.append(context.local.address.text());
        break;
      case Variable::kLocalPort:
        http::append_decimal(out, context.local.port);
        break;
      case Variable::kRequestScheme:
        out.append(context.https ? "https" : "http");
        break;
      case Variable::kRequestMethod:
        out.append(http::method_name(context.head.method));
        break;
      case Variable::kRequestHost:
        out.append(context.head.authority);
        break;
      case Variable::kRequestTarget:
        out.append(context.head.forward_target);
        break;
    }
  }
}

bool rule_covers(const config::HeaderRules& rules, std::string_view name) noexcept {
  for (const std::string& removed : rules.remove) {
    if (http::equals_ignore_case(removed, name)) return true;
  }
  for (const config::Header& set : rules.set) {
    if (http::equals_ignore_case(set.name, name)) return true;
  }
  return false;
}

void append_rule_fields(std::string& out, const config::HeaderRules& rules, const RequestContext& context) {
  for (const config::Header& set : rules.set) {
    if (carries_framing(http::header_id(set.name))) continue;
    const std::size_t before = out.size();
    out.append(set.name).append(": ");
    const std::size_t value = out.size();
    append_rendered(out, set.value, context);
    if (out.size() == value) {
      out.resize(before);
    } else {
      out.append("\r\n");
    }
  }
}

void append_upstream_request(std::string& out, const RequestContext& context, const UpstreamRequest& request) {
  const http::RequestHead& head = context.head;
  const config::HeaderRules& rules = *request.rules;
  const bool ruled = !rules.empty();
  const auto ours = [&](HeaderId id) { return !ruled || !rule_covers(rules, name_of(id)); };

  http::append_request_line(out, head.method, head.forward_target);
  if (ours(HeaderId::kHost)) {
    // HTTP/1.0 may come without a Host; what we send is HTTP/1.1, which may not.
    if (head.authority.empty()) {
      http::append_header(out, name_of(HeaderId::kHost), context.local.text());
    } else if (request.for_cache) {
      append_key_host(out, context);
    } else {
      http::append_header(out, name_of(HeaderId::kHost), head.authority);
    }
  }
  const http::HopFilter filter(head.headers);
  for (const http::Header& header : head.headers) {
    if (is_replaced(header.id) || imitates_replaced(header.name) || !filter.passes(header)) continue;
    if (request.for_cache && !cache::may_forward_to_fill(header.id)) continue;
    if (ruled && rule_covers(rules, header.name)) continue;
    http::append_header(out, header.name, header.value);
  }
  if (ours(HeaderId::kXForwardedFor)) http::append_forwarded_for(out, head.headers, context.client_address);
  if (ours(HeaderId::kXForwardedProto)) http::append_forwarded_proto(out, context.https);
  if (ours(HeaderId::kXRealIp)) http::append_real_ip(out, context.client_address);
  if (ours(HeaderId::kVia)) http::append_via(out, head.headers, head.minor_version);
  if (!request.if_none_match.empty()) {
    http::append_header(out, name_of(HeaderId::kIfNoneMatch), request.if_none_match);
  }
  if (!request.if_modified_since.empty()) {
    http::append_header(out, name_of(HeaderId::kIfModifiedSince), request.if_modified_since);
  }
  if (ruled) append_rule_fields(out, rules, context);
  append_framing(out, request);
  http::append_head_end(out);
}

}  // namespace sluice::proxy
