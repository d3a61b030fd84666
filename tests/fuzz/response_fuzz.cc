// Any bytes as a backend's response: however they are cut, the same comes out, and a body has no more bytes than its head promised.
#include <cstdlib>

#include "parse_driver.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice::http;
  using namespace sluice::http::test;
  if (size < 4) return 0;
  const Method method = (data[0] & 1) == 0 ? Method::kGet : Method::kHead;
  const std::string_view input(reinterpret_cast<const char*>(data) + 2, size - 2);
  const Limits limits{.target_bytes = 256, .head_bytes = 1024, .headers = 12};

  ResponseParser parser(limits), cut_parser(limits);
  parser.start(method);
  cut_parser.start(method);
  const Transcript got = drive(parser, input, whole(input.size()), 1);
  const Transcript cut = drive(cut_parser, input, at_random(input.size(), data[1] + 1u), 1);
  if (got.text != cut.text) std::abort();
  if (parser.finish().step != cut_parser.finish().step) std::abort();

  ResponseParser again(limits);
  again.start(method);
  std::uint64_t body = 0;
  for (std::size_t at = 0;;) {
    const ParseStep step = again.feed({data + 2 + at, size - 2 - at});
    at += step.consumed;
    body += step.body.size();
    if (step.step == Step::kEnd || step.step == Step::kError || step.step == Step::kNeedMore) break;
  }
  if (body != 0 && again.head().no_body) std::abort();
  if (body != 0 && again.head().content_length && body > *again.head().content_length) std::abort();
  return 0;
}
