// How fast one connection is over paths of the simulator: for the tests, which say what it must reach, and for the bench.
// Threading: one thread.
// Units:     bytes a second, of payload.
#pragma once

#include <functional>

#include "sim.h"

namespace sluice::tcp::test {

struct Path {
  LinkFaults faults;
  Duration settle{};  // before it is measured
  Duration measure{};
  CongestionControl congestion = CongestionControl::kCubic;
  Ecn ecn = Ecn::kOff;
  std::uint64_t seed = 1;
};

struct Rate {
  double bytes_per_second = 0;
  StackStats sender;  // of the whole run
};

// How long a server takes to deliver so many bytes over a path without limit or chance of loss, with a round trip of
// 100 ms. drop(n): the n-th packet of data is lost, counted from 0, what is sent again too.
[[nodiscard]] Duration time_to_deliver(std::uint64_t bytes, const std::function<bool(std::uint32_t)>& drop);

// A bulk transfer from a server to a client.
[[nodiscard]] Rate measure_rate(const Path& path);

// 1 Gbit/s with 100 ms of round trip: the share of the link that a connection fills in steady state, headers counted.
[[nodiscard]] double long_fat_share();
// A loss of 1 % at 50 ms: the rate over that of RFC 9438 section 5.1's model.
[[nodiscard]] double cubic_model_share();

}  // namespace sluice::tcp::test
