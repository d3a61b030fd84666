// Many threads on one store: every reader gets exactly the bytes that were filled, and every byte of the budget comes back.
#include <atomic>
#include <condition_variable>
#include <random>
#include <thread>

#include <gtest/gtest.h>

#include "cache_harness.h"

namespace sluice::cache::test {
namespace {

// A waiter that blocks its thread: what a proxy does by its inbox.
class Sleeper final : public Waiter {
 public:
  ~Sleeper() { cancel(); }
  void wake() noexcept override {
    const std::lock_guard lock(mutex_);
    woken_ = true;
    condition_.notify_one();
  }
  void sleep() {
    std::unique_lock lock(mutex_);
    condition_.wait(lock, [this] { return woken_; });
    woken_ = false;
  }

 private:
  std::mutex mutex_;
  std::condition_variable condition_;
  bool woken_ = false;
};

// The body of a target is made from its number, so that a reader can tell what it must be.
struct Origin {
  static std::size_t size(unsigned number) { return number * 7919u % 60000u; }
  static std::uint8_t byte(unsigned number, std::uint64_t at) {
    return static_cast<std::uint8_t>(at * 31 + number * 17 + at / 251);
  }
};

class Client {
 public:
  Client(Store& store, unsigned seed) : store_(store), random_(seed) {}
  void run(int requests) {
    for (int i = 0; i < requests; ++i) {
      // Some keys are asked for much more often than others.
      const unsigned number = static_cast<unsigned>(random_() % 8 == 0 ? random_() % 400 : random_() % 10);
      exchange(number);
      if (random_() % 200 == 0) store_.invalidate(key(number));
      if (random_() % 2000 == 0) store_.purge_all();
    }
  }
  std::uint64_t bytes_read = 0;
  std::uint64_t wrong = 0;

 private:
  Key key(unsigned number) {
    return store_.make_key(key_text_, false, "www.example.com", 0, "/" + std::to_string(number));
  }

  void exchange(unsigned number) {
    const http::HeaderList none;
    LookupRequest request;
    request.key = key(number);
    request.headers = &none;
    request.now = kStart + static_cast<UnixSeconds>(random_() % 20);
    Lookup found = store_.lookup(request, sleeper_);
    while (found.outcome == Lookup::Outcome::kWait) {
      if (random_() % 16 == 0) {
        sleeper_.cancel();
        return;
      }
      sleeper_.sleep();
      request.patience = Patience::kNone;
      found = store_.lookup(request, sleeper_);
    }
    if (found.outcome == Lookup::Outcome::kHit) {
      Reader reader(found.object);
      read_all(reader, number);
    } else if (found.fill) {
      fetch(found, number, request.now);
    }
  }

  void fetch(Lookup& found, unsigned number, UnixSeconds now) {
    const http::HeaderList none;
    const ExchangeTimes times{now, now};
    if (found.outcome == Lookup::Outcome::kStale && random_() % 2 == 0) {
      const auto not_modified = Harness::response({{"Cache-Control", "max-age=10"}}, std::nullopt, 304);
      const ObjectRef fresh = found.fill.freshen(none, not_modified, times);
      if (!fresh) return;
      Reader reader(fresh);
      return read_all(reader, number);
    }
    const std::size_t size = Origin::size(number);
    const bool has_length = random_() % 2 == 0;
    const auto head = Harness::response({{"Cache-Control", "max-age=10"}, {"ETag", "\"a\""}},
                                        has_length ? std::optional<std::uint64_t>(size) : std::nullopt);
    const ObjectRef object = found.fill.start(none, head, judge_response(http::Method::kGet, none, head, times), times);
    if (!object) return;
    Reader reader(object);
    std::uint8_t piece[3000];
    const bool breaks_off = random_() % 32 == 0;
    for (std::size_t sent = 0; sent < size;) {
      const std::size_t count = std::min(sizeof piece, size - sent);
      for (std::size_t i = 0; i < count; ++i) piece[i] = Origin::byte(number, sent + i);
      const std::size_t taken = found.fill.append({piece, count});
      sent += taken;
      if (taken < count) read_some(reader, number);
      if (breaks_off && sent > size / 2) return found.fill.fail();
    }
    found.fill.finish();
    read_all(reader, number);
  }

  void read_some(Reader& reader, unsigned number) {
    while (reader.status() == Reader::Status::kData) {
      const auto bytes = reader.bytes();
      for (std::size_t i = 0; i < bytes.size(); ++i) {
        wrong += static_cast<std::uint64_t>(bytes[i] != Origin::byte(number, reader.position() + i));
      }
      bytes_read += bytes.size();
      reader.consume(bytes.size());
    }
  }
  void read_all(Reader& reader, unsigned number) {
    for (;;) {
      read_some(reader, number);
      if (reader.status() == Reader::Status::kEnd) {
        wrong += static_cast<std::uint64_t>(reader.position() != Origin::size(number));
        return;
      }
      if (reader.status() == Reader::Status::kFailed) return;
      if (random_() % 32 == 0) return;  // the client went away
      if (reader.wait(sleeper_)) sleeper_.sleep();
    }
  }

  Store& store_;
  std::minstd_rand random_;
  Sleeper sleeper_;
  std::string key_text_;
};

TEST(Threads, ReadersGetWhatWasFilled) {
  Store store({.budget_bytes = 1 << 20, .object_limit_bytes = 50000});
  std::atomic<std::uint64_t> bytes_read{0};
  std::atomic<std::uint64_t> wrong{0};
  {
    std::vector<std::jthread> threads;
    for (unsigned seed = 1; seed <= 4; ++seed) {
      threads.emplace_back([&, seed] {
        Client client(store, seed);
        client.run(3000);
        bytes_read += client.bytes_read;
        wrong += client.wrong;
      });
    }
  }
  const StoreStats stats = store.stats();
  EXPECT_EQ(wrong, 0u);
  EXPECT_GT(bytes_read, 1000000u);
  EXPECT_GT(stats.hits, 0u);
  EXPECT_GT(stats.stored, 0u);
  EXPECT_GT(stats.evictions, 0u);
  EXPECT_LE(stats.bytes, stats.budget_bytes);
  store.purge_all();
  EXPECT_EQ(store.stats().bytes, 0u);
  EXPECT_EQ(store.stats().objects, 0u);
}

// One fills slowly, the others follow chunk by chunk.
TEST(Threads, ManyFollowOneFill) {
  Store store({.budget_bytes = 8 << 20, .object_limit_bytes = 4 << 20});
  const http::HeaderList none;
  std::string text;
  LookupRequest request;
  request.key = store.make_key(text, false, "www.example.com", 0, "/");
  request.headers = &none;
  request.now = kStart;
  CountingWaiter nobody;
  Lookup running = store.lookup(request, nobody);
  const std::size_t size = 2000000;
  const auto head = Harness::response({{"Cache-Control", "max-age=10"}}, size);
  const ExchangeTimes times{kStart, kStart};
  const ObjectRef object = running.fill.start(none, head, judge_response(http::Method::kGet, none, head, times), times);
  ASSERT_TRUE(object);
  std::atomic<std::uint64_t> read{0};
  std::vector<std::jthread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&store, &read, request] {
      Sleeper sleeper;
      const Lookup found = store.lookup(request, sleeper);
      Reader reader(found.object);
      for (;;) {
        const auto bytes = reader.bytes();
        for (std::size_t k = 0; k < bytes.size(); ++k)
          read += static_cast<std::uint64_t>(bytes[k] == Origin::byte(0, reader.position() + k));
        reader.consume(bytes.size());
        if (reader.status() == Reader::Status::kEnd) return;
        if (reader.wait(sleeper)) sleeper.sleep();
      }
    });
  }
  std::uint8_t piece[1448];
  for (std::size_t sent = 0; sent < size;) {
    const std::size_t count = std::min(sizeof piece, size - sent);
    for (std::size_t i = 0; i < count; ++i) piece[i] = Origin::byte(0, sent + i);
    sent += running.fill.append({piece, count});
  }
  running.fill.finish();
  threads.clear();
  EXPECT_EQ(read, 3 * size);
}

}  // namespace
}  // namespace sluice::cache::test
