// Any bytes as a stream of requests. What must hold:
// - however the stream is cut, the same comes out;
// - a path never has a dot segment, and a host never an upper-case letter;
// - what we accept, llhttp reads as the same body with the same end: no second parser behind us reads another message (it may
//   refuse chunk extensions: after one with a value it takes no further one, and no quoted pair);
// - a head that we write from what we read is read as the same again.
#include <cstdlib>

#include <llhttp/llhttp.h>

#include "parse_driver.h"
#include "sluice/http/forward.h"
#include "sluice/http/serialize.h"

namespace sluice::http::test {
namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

struct FirstMessage {
  bool complete = false;
  RequestHead head;
  std::string body;
  std::size_t consumed = 0;
};

void read_first(RequestParser& parser, std::span<const std::uint8_t> input, FirstMessage& out) {
  for (;;) {
    const ParseStep step = parser.feed(input.subspan(out.consumed));
    out.consumed += step.consumed;
    if (step.step == Step::kBody) out.body.append(step.body.begin(), step.body.end());
    out.complete = step.step == Step::kEnd;
    if (step.step == Step::kNeedMore || step.step == Step::kError || step.step == Step::kEnd) break;
  }
}

struct SecondOpinion {
  std::string body;
  bool complete = false;
  bool refused_extension = false;
};

void ask_llhttp(std::string_view message, SecondOpinion& out) {
  llhttp_settings_t settings;
  llhttp_settings_init(&settings);
  settings.on_body = [](llhttp_t* parser, const char* at, std::size_t length) {
    static_cast<SecondOpinion*>(parser->data)->body.append(at, length);
    return 0;
  };
  settings.on_message_complete = [](llhttp_t* parser) {
    static_cast<SecondOpinion*>(parser->data)->complete = true;
    return 0;
  };
  llhttp_t parser;
  llhttp_init(&parser, HTTP_REQUEST, &settings);
  parser.data = &out;
  const llhttp_errno_t result = llhttp_execute(&parser, message.data(), message.size());
  out.refused_extension = result == HPE_INVALID_CHUNK_SIZE || result == HPE_STRICT;
  require(result == HPE_OK || result == HPE_PAUSED_UPGRADE || out.refused_extension);
}

void check_head(const RequestHead& head) {
  const std::string closed = std::string(head.path) + "/";
  require(closed.find("/../") == std::string::npos && closed.find("/./") == std::string::npos);
  require(head.path.find('\0') == std::string_view::npos);
  require(head.path.starts_with('/') || head.path == "*");
  for (const char c : head.host) require(c < 'A' || c > 'Z');
  require(!head.chunked || !head.content_length);
}

void check_rewritten(const RequestHead& head) {
  std::string again;
  append_request_line(again, head.method, head.forward_target, head.minor_version);
  for (const Header& header : head.headers) append_header(again, header.name, header.value);
  append_head_end(again);
  RequestParser parser({.target_bytes = 100000, .head_bytes = 200000, .headers = 1000});
  const ParseStep step = parser.feed({reinterpret_cast<const std::uint8_t*>(again.data()), again.size()});
  require(step.step == Step::kHead && step.consumed == again.size());
  RequestHead& read = parser.head();
  read.https = head.https;  // the scheme of an absolute target does not go upstream
  require(describe(read) == describe(head));
}

}  // namespace
}  // namespace sluice::http::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice::http::test;
  if (size < 4) return 0;
  const std::uint32_t seed = data[0] | static_cast<std::uint32_t>(data[1]) << 8;
  const std::string_view input(reinterpret_cast<const char*>(data) + 2, size - 2);
  const sluice::http::Limits limits{.target_bytes = 256, .head_bytes = 1024, .headers = 12};

  sluice::http::RequestParser parser(limits), cut_parser(limits);
  const Transcript got = drive(parser, input, whole(input.size()));
  require(got.text == drive(cut_parser, input, at_random(input.size(), seed + 1)).text);
  if (!got.text.starts_with("head ")) return 0;

  sluice::http::RequestParser first_parser(limits);
  FirstMessage first;
  read_first(first_parser, {data + 2, size - 2}, first);
  check_head(first_parser.head());
  check_rewritten(first_parser.head());
  if (!first.complete) return 0;
  SecondOpinion second;
  ask_llhttp(input.substr(0, first.consumed), second);
  if (second.refused_extension) {
    require(first_parser.head().chunked && input.find(';') != std::string_view::npos);
  } else {
    require(second.complete && second.body == first.body);
  }
  return 0;
}
