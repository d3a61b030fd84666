// Any fields of a response, and what the caching rules make of them. What must hold:
// - a directive in front of the rest counts whatever the rest is;
// - no number leaves its range; what is stored has a reason to be.
#include <cstdlib>
#include <string>

#include "sluice/cache/policy.h"
#include "sluice/http/conditional.h"
#include "sluice/http/date.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

// The input is fields, one a line: the first byte chooses the name.
sluice::http::HeaderList read_fields(std::string_view input) {
  using sluice::http::HeaderId;
  static constexpr HeaderId kNames[] = {HeaderId::kCacheControl, HeaderId::kExpires,     HeaderId::kDate,
                                        HeaderId::kAge,          HeaderId::kVary,        HeaderId::kEtag,
                                        HeaderId::kLastModified, HeaderId::kSetCookie,   HeaderId::kRange,
                                        HeaderId::kIfRange,      HeaderId::kIfNoneMatch, HeaderId::kIfModifiedSince};
  sluice::http::HeaderList headers;
  while (!input.empty()) {
    const std::size_t end = std::min(input.find('\n'), input.size());
    const std::string_view line = input.substr(0, end);
    input.remove_prefix(std::min(end + 1, input.size()));
    if (!line.empty()) headers.add(kNames[static_cast<unsigned char>(line[0]) % std::size(kNames)], line.substr(1));
  }
  return headers;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice;
  using namespace sluice::cache;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const UnixSeconds now = 1700000000;
  http::ResponseHead response;
  response.status = 200;
  response.headers = read_fields(input);
  const http::HeaderList no_fields;

  const CacheControl control = parse_cache_control(response.headers);
  for (const auto& delta : {control.max_age, control.s_maxage, control.min_fresh, control.max_stale,
                            control.stale_while_revalidate, control.stale_if_error}) {
    require(delta.value_or(0) <= kMaxDelta);
  }
  const ResponsePolicy policy = judge_response(http::Method::kGet, no_fields, response, {now, now});
  require(policy.lifetime <= kMaxDelta && policy.initial_age <= kMaxDelta);
  if (policy.store()) {
    require(!control.no_store && !control.is_private && !response.headers.has(http::HeaderId::kSetCookie));
    require(policy.initial_age < policy.lifetime || response.headers.has(http::HeaderId::kEtag) ||
            response.headers.has(http::HeaderId::kLastModified));
  }
  require(!may_serve(control, policy.lifetime, policy) || (control.max_stale && !policy.must_revalidate));

  const std::string first = "no-store, max-age=7, " + std::string(input);
  http::HeaderList with_first;
  with_first.add(http::HeaderId::kCacheControl, first);
  const CacheControl strict = parse_cache_control(with_first);
  require(strict.no_store && strict.max_age && *strict.max_age <= 7);

  const http::Validators validators{.etag = "\"a\"", .last_modified = now};
  const auto range = http::select_range(http::Method::kGet, response.headers, 1000, validators);
  if (range.outcome == http::RangeOutcome::kPartial)
    require(range.range.first <= range.range.last && range.range.last < 1000);
  static_cast<void>(http::check_preconditions(http::Method::kGet, response.headers, validators));
  const auto date = http::parse_date(input.substr(0, 64), now);
  if (date && *date >= 0) require(http::parse_date(http::view(http::format_date(*date))) == date);
  return 0;
}
