// What one request costs the proxy: a turn of receive() and poll() over a hundred connections, client and origin not counted.
#include <chrono>
#include <ctime>

#include <benchmark/benchmark.h>

#include "world.h"

namespace sluice::proxy::test {
namespace {

constexpr std::size_t kConnections = 100;

double thread_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

void run(benchmark::State& state, std::string_view routes, std::size_t body_bytes) {
  World world(one_service(routes, "      limits: { requests: 1000000000 }\n"));
  const std::string body(body_bytes, 'x');
  world.origin().on_request = [&](OriginConnection& to, const Message&) {
    to.send(response(body, "Cache-Control: max-age=1000000\r\nContent-Type: text/html\r\nETag: \"1\"\r\n"));
  };
  static_cast<void>(world.get("/"));
  std::vector<std::unique_ptr<Peer>> peers;
  for (std::size_t i = 0; i < kConnections; ++i) peers.push_back(world.connect());
  world.run_for(std::chrono::milliseconds(10));
  const std::string request = "GET / HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n";
  world.clock = thread_seconds;
  for (auto _ : state) {
    const double before = world.proxy_seconds;
    for (const auto& peer : peers) {
      peer->received.clear();
      peer->send(request);
    }
    std::size_t answered = 0;
    static_cast<void>(world.run([&] {
      answered = 0;
      for (const auto& peer : peers) answered += peer->received.size() > body_bytes ? 1 : 0;
      return answered == kConnections;
    }));
    state.SetIterationTime(world.proxy_seconds - before);
  }
  state.counters["ns_a_request"] = benchmark::Counter(static_cast<double>(state.iterations()) * kConnections * 1e-9,
                                                      benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void cached_1k(benchmark::State& state) { run(state, "        - { pool: web, cache: {} }\n", 1024); }
void cached_16k(benchmark::State& state) { run(state, "        - { pool: web, cache: {} }\n", 16384); }
void proxied_1k(benchmark::State& state) { run(state, "        - { pool: web }\n", 1024); }
void fixed(benchmark::State& state) { run(state, "        - { respond: { status: 200, body: x } }\n", 1); }
BENCHMARK(fixed)->UseManualTime();
BENCHMARK(cached_1k)->UseManualTime();
BENCHMARK(cached_16k)->UseManualTime();
BENCHMARK(proxied_1k)->UseManualTime();

}  // namespace
}  // namespace sluice::proxy::test

BENCHMARK_MAIN();
