// A store, and the little that an exchange does with it, for tests.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "sluice/cache/store.h"

namespace sluice::cache::test {

constexpr UnixSeconds kStart = 1000000000;
using Fields = std::vector<std::pair<std::string_view, std::string_view>>;

inline std::span<const std::uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

struct CountingWaiter final : Waiter {
  ~CountingWaiter() { cancel(); }
  void wake() noexcept override { ++wakes; }
  int wakes = 0;
};

struct Asked {
  std::string_view target = "/";
  Fields fields = {};
  UnixSeconds now = kStart;
  RequestUse use = RequestUse::kStore;
  Patience patience = Patience::kFull;
};

class Harness {
 public:
  explicit Harness(const StoreConfig& config = {.budget_bytes = 1 << 20, .object_limit_bytes = 256 << 10})
      : store(config) {}

  Lookup ask(const Asked& asked, Waiter* waiter = nullptr) {
    request.clear();
    for (const auto& [name, value] : asked.fields) request.add(name, value);
    LookupRequest lookup;
    lookup.key = key(asked.target);
    lookup.use = asked.use;
    lookup.headers = &request;
    lookup.directives = parse_cache_control(request);
    lookup.now = asked.now;
    lookup.patience = asked.patience;
    return store.lookup(lookup, waiter == nullptr ? nobody : *waiter);
  }
  Key key(std::string_view target) { return store.make_key(key_text, true, "www.example.com", 443, target); }

  static http::ResponseHead response(const Fields& fields, std::optional<std::uint64_t> length,
                                     std::uint16_t status = 200) {
    http::ResponseHead head;
    head.status = status;
    head.content_length = length;
    head.chunked = !length;
    for (const auto& [name, value] : fields) head.headers.add(name, value);
    return head;
  }
  ObjectRef start(Fill& fill, const http::ResponseHead& head, UnixSeconds now = kStart) {
    const ExchangeTimes times{now, now};
    return fill.start(request, head, judge_response(http::Method::kGet, request, head, times), times);
  }
  // A miss that is fetched and stored whole.
  void store_whole(const Asked& asked, const Fields& fields, std::string_view body) {
    Lookup found = ask(asked);
    ASSERT_TRUE(found.fill) << asked.target;
    const ObjectRef object = start(found.fill, response(fields, body.size()), asked.now);
    if (!object) return;
    ASSERT_EQ(found.fill.append(bytes_of(body)), body.size());
    found.fill.finish();
  }
  static std::string read(Reader& reader) {
    std::string out;
    while (reader.status() == Reader::Status::kData) {
      const auto piece = reader.bytes();
      out.append(piece.begin(), piece.end());
      reader.consume(piece.size());
    }
    return out;
  }
  static std::string read(const ObjectRef& object) {
    Reader reader(object);
    std::string out = read(reader);
    EXPECT_EQ(reader.status(), Reader::Status::kEnd);
    return out;
  }

  CountingWaiter nobody;  // outlived by nothing that is registered
  Store store;
  std::string key_text;
  http::HeaderList request;
};

inline const char* name(Lookup::Outcome outcome) {
  switch (outcome) {
    case Lookup::Outcome::kHit:
      return "hit";
    case Lookup::Outcome::kStale:
      return "stale";
    case Lookup::Outcome::kMiss:
      return "miss";
    case Lookup::Outcome::kWait:
      return "wait";
    case Lookup::Outcome::kNotCached:
      return "not-cached";
  }
  return "?";
}

}  // namespace sluice::cache::test
