// What a TLS record costs a Session, over a connection that is a flat buffer: write = from the application's bytes to the
// connection, read = from the connection's bytes to the application's view of them. Handshakes by kind of key.
// usage: ninja -C build bench_tls && build/tests/unit/tls/bench_tls --benchmark_min_time=0.2
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "pair.h"

namespace sluice::tls::test {
namespace {

// So many records between two stops of the clock: few enough to stay in the cache.
std::size_t batch_of(std::int64_t bytes) { return bytes < 4000 ? 200 : 16; }

const char* suite_of(std::int64_t key_bits) {
  return key_bits == 128 ? "TLS_AES_128_GCM_SHA256" : "TLS_AES_256_GCM_SHA384";
}

void write_records(benchmark::State& state, Crypto crypto) {
  const auto library = make_library(crypto);
  const auto context = make_context(*library);
  Pair pair(*library, *context, {.cipher_suites = suite_of(state.range(1))});
  pair.conn.tx_capacity = 64 << 20;
  pair.pump();
  // Past the small records of a connection's beginning.
  benchmark::DoNotOptimize(pair.session->write(bytes_of(pattern(Session::kSmallRecordBytes))));
  static_cast<void>(pair.conn.take_sent());
  const std::string text = pattern(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) {
    benchmark::DoNotOptimize(pair.session->write(bytes_of(text)));
    pair.conn.drop_sent();
  }
}

void read_records(benchmark::State& state, Crypto crypto) {
  const auto library = make_library(crypto);
  const auto context = make_context(*library);
  Pair pair(*library, *context, {.cipher_suites = suite_of(state.range(1))});
  pair.pump();
  const std::string text = pattern(static_cast<std::size_t>(state.range(0)));
  std::size_t got = 0;
  const std::size_t batch = batch_of(state.range(0));
  while (state.KeepRunningBatch(static_cast<std::int64_t>(batch))) {
    state.PauseTiming();
    for (std::size_t i = 0; i < batch; ++i) {
      pair.client.send(text);
      pair.client.step();
    }
    pair.conn.receive(pair.client.take());
    state.ResumeTiming();
    pair.run_server();
    for (auto piece = pair.session->rx_peek(); !piece.empty(); piece = pair.session->rx_peek()) {
      got += piece.size();
      pair.session->rx_consume(piece.size());
    }
    benchmark::DoNotOptimize(got);
  }
}

// One request and its answer at a time, each with its event: what an idle kept-alive connection costs.
void one_request(benchmark::State& state, Crypto crypto) {
  const auto library = make_library(crypto);
  const auto context = make_context(*library);
  Pair pair(*library, *context, {.cipher_suites = suite_of(state.range(1))});
  pair.pump();
  const std::string answer = pattern(static_cast<std::size_t>(state.range(0)));
  pair.recorder.act = [&](tcp::StreamEvents) {
    for (auto piece = pair.session->rx_peek(); !piece.empty(); piece = pair.session->rx_peek()) {
      pair.session->rx_consume(piece.size());
    }
    benchmark::DoNotOptimize(pair.session->write(bytes_of(answer)));
  };
  const std::string request(120, 'r');
  std::vector<std::vector<std::uint8_t>> requests(200);
  while (state.KeepRunningBatch(static_cast<std::int64_t>(requests.size()))) {
    state.PauseTiming();
    for (std::vector<std::uint8_t>& bytes : requests) {
      pair.client.send(request);
      pair.client.step();
      bytes = pair.client.take();
    }
    state.ResumeTiming();
    for (const std::vector<std::uint8_t>& bytes : requests) {
      pair.conn.receive(bytes);
      pair.conn.dispatch();
      pair.conn.drop_sent();
    }
  }
}

// Both sides of a handshake in one process; `resume` does it by ticket.
void handshakes(benchmark::State& state, const CertificatePem& certificate, bool resume) {
  const auto library = make_library(Crypto::kIpsecMb);
  const auto context =
      make_context(*library, {.certificates = {certificate}, .ticket_keys = *TicketKeys::create(Instant{})});
  SavedSession ticket;
  for (auto _ : state) {
    Pair pair(*library, *context, {.resume = ticket.get()});
    pair.pump();
    if (resume) ticket = pair.client.session();
  }
}

void sizes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"bytes", "key"})->ArgsProduct({{120, 1200, 16384}, {128}})->Args({16384, 256});
}

BENCHMARK_CAPTURE(write_records, openssl, Crypto::kOpenssl)->Apply(sizes);
BENCHMARK_CAPTURE(write_records, ipsec_mb, Crypto::kIpsecMb)->Apply(sizes);
BENCHMARK_CAPTURE(read_records, openssl, Crypto::kOpenssl)->Apply(sizes);
BENCHMARK_CAPTURE(read_records, ipsec_mb, Crypto::kIpsecMb)->Apply(sizes);
BENCHMARK_CAPTURE(one_request, openssl, Crypto::kOpenssl)->ArgNames({"bytes", "key"})->Args({1024, 128});
BENCHMARK_CAPTURE(one_request, ipsec_mb, Crypto::kIpsecMb)->ArgNames({"bytes", "key"})->Args({1024, 128});
BENCHMARK_CAPTURE(handshakes, ec, ec_certificate(), false);
BENCHMARK_CAPTURE(handshakes, rsa, rsa_certificate(), false);
BENCHMARK_CAPTURE(handshakes, resumed, ec_certificate(), true);

}  // namespace
}  // namespace sluice::tls::test

BENCHMARK_MAIN();
