// Feeds bytes to a parser in every way a stream can deliver them, and writes down what came out as text, so that two ways can be compared.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/http/request_parser.h"
#include "sluice/http/response_parser.h"

namespace sluice::http::test {

// The positions at which the input is cut: how many bytes have arrived at each call.
using Cuts = std::vector<std::size_t>;

inline Cuts whole(std::size_t size) { return {size}; }
inline Cuts byte_by_byte(std::size_t size) {
  Cuts cuts;
  for (std::size_t i = 0; i <= size; ++i) cuts.push_back(i);
  return cuts;
}
inline Cuts at_random(std::size_t size, std::uint32_t seed) {
  std::minstd_rand random(seed);
  Cuts cuts;
  for (std::size_t at = 0; at < size;) {
    at = std::min<std::size_t>(size, at + 1 + random() % 23);
    cuts.push_back(at);
  }
  return cuts;
}

inline std::string describe(const HeaderList& headers) {
  std::string out;
  for (const Header& header : headers) {
    out.append(" ").append(header.name).append("=[").append(header.value).append("]");
  }
  return out;
}

inline std::string describe(const RequestHead& h) {
  std::string out(method_name(h.method));
  out.append(" 1.").append(std::to_string(h.minor_version));
  out.append(" host=")
      .append(h.host)
      .append(" port=")
      .append(std::to_string(h.port))
      .append(" authority=")
      .append(h.authority);
  out.append(" path=").append(h.path);
  if (h.has_query) out.append(" query=").append(h.query);
  out.append(" forward=").append(h.forward_target);
  if (h.content_length) out.append(" length=").append(std::to_string(*h.content_length));
  if (h.chunked) out.append(" chunked");
  if (h.keep_alive) out.append(" keep");
  if (h.expect_continue) out.append(" expect");
  if (h.upgrade) out.append(" upgrade");
  if (h.https) out.append(" https");
  return out;
}

inline std::string describe(const ResponseHead& h) {
  std::string out = std::to_string(h.status);
  out.append(" 1.").append(std::to_string(h.minor_version)).append(" reason=").append(h.reason);
  if (h.content_length) out.append(" length=").append(std::to_string(*h.content_length));
  if (h.chunked) out.append(" chunked");
  if (h.until_close) out.append(" until-close");
  if (h.no_body) out.append(" no-body");
  if (h.keep_alive) out.append(" keep");
  return out;
}

struct Transcript {
  std::string text;      // "head ... | body ... | end | ..." or "error 400"
  std::string reason;    // of the error, for messages
  std::string headers;   // of the last head
  std::size_t left = 0;  // bytes that no message took
};

inline void start_next(RequestParser& parser) { parser.next(); }
inline void start_next(ResponseParser&) {}

// Delivers `input` up to each cut, calling feed() on a fresh copy of the bytes that are not consumed yet (so that a view of an earlier
// call's bytes is a use after free), until `messages` are complete, one failed, or nothing more comes.
template <typename Parser>
Transcript drive(Parser& parser, std::string_view input, const Cuts& cuts, std::size_t messages = 100) {
  Transcript out;
  std::string body;
  std::size_t done = 0;
  std::size_t ended = 0;
  for (const std::size_t cut : cuts) {
    for (;;) {
      const std::vector<std::uint8_t> bytes(input.begin() + static_cast<std::ptrdiff_t>(done),
                                            input.begin() + static_cast<std::ptrdiff_t>(cut));
      const ParseStep step = parser.feed(bytes);
      done += step.consumed;
      if (step.step == Step::kNeedMore) break;
      switch (step.step) {
        case Step::kInterim:
          out.text.append("interim ").append(describe(parser.head())).append(" | ");
          break;
        case Step::kHead:
          out.text.append("head ").append(describe(parser.head())).append(" | ");
          out.headers = describe(parser.head().headers);
          break;
        case Step::kBody:
          body.append(step.body.begin(), step.body.end());
          break;
        case Step::kEnd:
          out.text.append("body [").append(body).append("] end | ");
          body.clear();
          ++ended;
          start_next(parser);
          break;
        default:
          out.text.append("error ").append(std::to_string(step.status));
          out.reason = step.reason;
          return out;
      }
      if (ended == messages || (step.step == Step::kEnd && done == cut)) break;
    }
    if (ended == messages) break;
  }
  out.left = input.size() - done;
  if (!body.empty()) out.text.append("body [").append(body).append("] ...");
  return out;
}

}  // namespace sluice::http::test
