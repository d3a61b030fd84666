#include "vary.h"

#include "sluice/http/forward.h"

namespace sluice::cache {
namespace {

using http::HeaderId;
using http::HeaderList;

// What the origin saw of the request: fields that Connection names were not passed on, so they cannot select a variant.
// Gives `sink` the pieces of the values: each field's value followed by a CR, and a LF after the last of a name. Neither byte can be
// part of a value.
template <typename Sink>
bool for_each_piece(std::string_view names, const HeaderList& request, Sink sink) noexcept {
  const http::HopFilter filter(request);
  for (http::ListCursor list(names); const auto name = list.next();) {
    const HeaderId id = http::header_id(*name);
    const bool known = id != HeaderId::kOther;
    if (!known || request.has(id)) {
      for (const http::Header& header : request) {
        if (known ? header.id != id : !http::equals_ignore_case(header.name, *name)) continue;
        if (!filter.passes(header)) continue;
        if (!sink(header.value) || !sink("\r")) return false;
      }
    }
    if (!sink("\n")) return false;
  }
  return true;
}

}  // namespace

void append_vary_names(std::string& out, const HeaderList& response) {
  if (!response.has(HeaderId::kVary)) return;
  for (const http::Header& header : response) {
    if (header.id != HeaderId::kVary) continue;
    for (http::ListCursor list(header.value); const auto name = list.next();) {
      if (!out.empty()) out.push_back(',');
      out.append(*name);
    }
  }
}

void append_vary_values(std::string& out, std::string_view names, const HeaderList& request) {
  for_each_piece(names, request, [&out](std::string_view piece) {
    out.append(piece);
    return true;
  });
}

bool vary_matches(std::string_view names, std::string_view values, const HeaderList& request) noexcept {
  return for_each_piece(names, request,
                        [&values](std::string_view piece) {
                          if (!values.starts_with(piece)) return false;
                          values.remove_prefix(piece.size());
                          return true;
                        }) &&
         values.empty();
}

}  // namespace sluice::cache
