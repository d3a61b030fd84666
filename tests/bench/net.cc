// What parsing, whole checksums, incremental ones and sets of prefixes cost, on packets that are in the cache.
#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include <benchmark/benchmark.h>

#include "sluice/base/random.h"
#include "sluice/net/checksum.h"
#include "sluice/net/parse.h"
#include "sluice/net/prefix_set.h"

namespace sluice::net {
namespace {

const IpAddress kClient4 = *IpAddress::parse("192.0.2.1"), kService4 = *IpAddress::parse("198.51.100.7");
const IpAddress kClient6 = *IpAddress::parse("2001:db8::1"), kService6 = *IpAddress::parse("2001:db8::2");

std::vector<std::uint8_t> tcp_frame(bool four) {
  std::vector<std::uint8_t> frame(four ? 60 : 74);
  const std::span<std::uint8_t> bytes(frame);
  header_at<EthernetHeader>(bytes, 0).type = static_cast<std::uint16_t>(four ? EtherType::kIp4 : EtherType::kIp6);
  std::size_t l4 = 14 + 20;
  if (four) {
    auto& ip = header_at<Ip4Header>(bytes, 14);
    ip = {.version_ihl = 0x45,
          .dscp_ecn = 0,
          .total_len = Be16(40),
          .id = Be16(0),
          .fragment = Be16(0),
          .ttl = 64,
          .proto = 6,
          .checksum = Be16(0),
          .src = kClient4.v4(),
          .dst = kService4.v4()};
    ip.checksum = checksum(bytes.subspan(14, 20));
  } else {
    header_at<Ip6Header>(bytes, 14) = {.version_class_flow = Be32(6u << 28),
                                       .payload_len = Be16(20),
                                       .next_header = 6,
                                       .hop_limit = 64,
                                       .src = kClient6.bytes(),
                                       .dst = kService6.bytes()};
    l4 = 14 + 40;
  }
  auto& tcp = header_at<TcpHeader>(bytes, l4);
  tcp.src_port = 40000;
  tcp.dst_port = 443;
  tcp.data_offset = 5 << 4;
  tcp.flags = kTcpAck;
  return frame;
}

void parse_tcp(benchmark::State& state) {
  std::array<std::vector<std::uint8_t>, 32> burst;
  std::ranges::fill(burst, tcp_frame(state.range(0) == 4));
  std::array<Parsed, 32> out;
  for (auto _ : state) {
    for (std::size_t i = 0; i < 32; ++i) parse(burst[i], out[i]);
    benchmark::DoNotOptimize(out);
    benchmark::ClobberMemory();
  }
  if (!out[0].ok()) state.SkipWithError("not parsed");
  state.counters["each"] =
      benchmark::Counter(32, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

void whole_checksum(benchmark::State& state) {
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(state.range(0)), 0x5a);
  for (auto _ : state) {
    benchmark::DoNotOptimize(bytes.data());
    benchmark::ClobberMemory();
    benchmark::DoNotOptimize(checksum(bytes));
  }
}

void incremental_checksum(benchmark::State& state) {
  const bool four = state.range(0) == 4;
  IpAddress from = four ? kClient4 : kClient6;
  IpAddress to = four ? kService4 : kService6;
  Be16 ip_sum(0x1234), l4_sum(0x2345);
  for (auto _ : state) {
    benchmark::DoNotOptimize(from);
    benchmark::DoNotOptimize(to);
    ChecksumDelta addresses;
    addresses.replace(from, to);
    addresses.replace(to, from);
    ip_sum = addresses.apply(ip_sum);
    addresses.replace(Be16(1), Be16(2));
    addresses.replace(Be16(3), Be16(4));
    l4_sum = addresses.apply(l4_sum);
    benchmark::DoNotOptimize(ip_sum);
    benchmark::DoNotOptimize(l4_sum);
  }
}

// Sets of scattered prefixes, /24 and /48, and addresses of which half are in them, in random order.
std::vector<Prefix> scattered(std::size_t count, bool four, Random& random) {
  std::vector<Prefix> prefixes;
  for (std::size_t i = 0; i < count; ++i) {
    if (four) {
      prefixes.push_back({IpAddress::v4(Be32(static_cast<std::uint32_t>(random.next()) & ~0xffu)), 24});
      continue;
    }
    std::array<std::uint8_t, 16> bytes{0x20, static_cast<std::uint8_t>(random.next() & 3)};
    for (std::size_t at = 2; at < 6; ++at) bytes[at] = static_cast<std::uint8_t>(random.next());
    prefixes.push_back({IpAddress::v6(bytes), 48});
  }
  return prefixes;
}

void prefix_set_lookup(benchmark::State& state) {
  const bool four = state.range(0) == 4;
  Random random(5);
  const std::vector<Prefix> prefixes = scattered(static_cast<std::size_t>(state.range(1)), four, random);
  const PrefixSet set{prefixes};
  std::vector<IpAddress> asked;
  for (const Prefix& other : scattered(1 << 16, four, random)) {
    const bool inside = (random.next() & 1) != 0;
    asked.push_back(inside ? prefixes[random.below(static_cast<std::uint32_t>(prefixes.size()))].address
                           : other.address);
  }
  std::size_t at = 0;
  for (auto _ : state) benchmark::DoNotOptimize(set.contains(asked[at++ % asked.size()]));
}

void prefix_set_build(benchmark::State& state) {
  Random random(5);
  const std::vector<Prefix> prefixes = scattered(static_cast<std::size_t>(state.range(1)), state.range(0) == 4, random);
  for (auto _ : state) {
    const PrefixSet set{prefixes};
    benchmark::DoNotOptimize(set.ranges());
  }
}

BENCHMARK(prefix_set_lookup)->ArgsProduct({{4, 6}, {1000, 100'000, 1'000'000}})->ArgNames({"ip", "prefixes"});
BENCHMARK(prefix_set_build)
    ->ArgsProduct({{4, 6}, {100'000, 1'000'000}})
    ->ArgNames({"ip", "prefixes"})
    ->Unit(benchmark::kMillisecond);
BENCHMARK(parse_tcp)->Arg(4)->Arg(6)->ArgName("ip");
BENCHMARK(whole_checksum)->Arg(20)->Arg(64)->Arg(1460)->Arg(9000)->ArgName("bytes");
BENCHMARK(incremental_checksum)->Arg(4)->Arg(6)->ArgName("ip");

}  // namespace
}  // namespace sluice::net

BENCHMARK_MAIN();
