#include "sluice/http/conditional.h"

#include "sluice/http/date.h"

namespace sluice::http {
namespace {

std::string_view opaque(std::string_view etag) noexcept {
  if (etag.starts_with("W/")) etag.remove_prefix(2);
  return etag;
}

// Whether one of the listed tags, or "*", matches.
template <typename Equal>
bool any_etag(const HeaderList& request, HeaderId id, std::string_view etag, Equal equal) noexcept {
  for (const Header& header : request) {
    if (header.id != id) continue;
    if (header.value == "*") return true;
    ListCursor list(header.value);
    while (const auto element = list.next()) {
      if (equal(*element, etag)) return true;
    }
  }
  return false;
}

std::optional<UnixSeconds> date_of(const HeaderList& request, HeaderId id) noexcept {
  // RFC 9110 sections 13.1.3 and 13.1.4: more than one, or no valid date, is ignored.
  return request.count(id) == 1 ? parse_date(request.value(id)) : std::nullopt;
}

}  // namespace

bool etag_weak_equal(std::string_view a, std::string_view b) noexcept { return !a.empty() && opaque(a) == opaque(b); }

bool etag_strong_equal(std::string_view a, std::string_view b) noexcept {
  return !a.empty() && !a.starts_with("W/") && !b.starts_with("W/") && a == b;
}

Precondition check_preconditions(Method method, const HeaderList& request, const Validators& of) noexcept {
  if (request.has(HeaderId::kIfMatch)) {
    if (!any_etag(request, HeaderId::kIfMatch, of.etag, etag_strong_equal)) return Precondition::kFailed;
  } else if (request.has(HeaderId::kIfUnmodifiedSince) && of.last_modified) {
    const auto since = date_of(request, HeaderId::kIfUnmodifiedSince);
    if (since && *of.last_modified > *since) return Precondition::kFailed;
  }
  const bool reads = method == Method::kGet || method == Method::kHead;
  if (request.has(HeaderId::kIfNoneMatch)) {
    if (!any_etag(request, HeaderId::kIfNoneMatch, of.etag, etag_weak_equal)) return Precondition::kNone;
    return reads ? Precondition::kNotModified : Precondition::kFailed;
  }
  if (reads && of.last_modified) {
    const auto since = date_of(request, HeaderId::kIfModifiedSince);
    if (since && *of.last_modified <= *since) return Precondition::kNotModified;
  }
  return Precondition::kNone;
}

}  // namespace sluice::http
