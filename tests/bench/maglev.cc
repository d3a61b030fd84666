// How long a Maglev table takes to build, and how many slots change hands when one of many backends goes.
#include "sluice/lb/maglev.h"

#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

using namespace sluice;

namespace {

constexpr std::uint32_t kSlots = 65537;
constexpr std::size_t kBackends = 1000;
constexpr int kRepetitions = 30;
constexpr std::size_t kRemovals = 200;

std::vector<std::string> names() {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < kBackends; ++i) out.push_back("backend" + std::to_string(i));
  return out;
}

double build_ms(const std::vector<lb::MaglevBackend>& backends) {
  double best = 1e9;
  for (int i = 0; i < kRepetitions; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const lb::MaglevTable table(backends, kSlots);
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    if (table.slots().size() == kSlots && took.count() < best) best = took.count();
  }
  return best;
}

struct Disruption {
  double others_pct;  // of the slots: those that change hands though their backend stays
  double all_pct;     // and those of the backend that goes
};

Disruption disruption(const std::vector<lb::MaglevBackend>& backends) {
  const lb::MaglevTable all(backends, kSlots);
  std::size_t others = 0, moved = 0;
  for (std::size_t i = 0; i < kRemovals; ++i) {
    const std::size_t goes = i * kBackends / kRemovals;
    std::vector<lb::MaglevBackend> rest = backends;
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(goes));
    const lb::MaglevTable table(rest, kSlots);
    for (std::size_t slot = 0; slot < kSlots; ++slot) {
      if (all.slots()[slot] == table.slots()[slot]) continue;
      ++moved;
      if (all.slots()[slot] != backends[goes].index) ++others;
    }
  }
  constexpr double kPct = 100.0 / (static_cast<double>(kSlots) * kRemovals);
  return {static_cast<double>(others) * kPct, static_cast<double>(moved) * kPct};
}

}  // namespace

int main() {
  const std::vector<std::string> name = names();
  std::vector<lb::MaglevBackend> equal;
  for (std::size_t i = 0; i < kBackends; ++i) equal.push_back({name[i], static_cast<lb::BackendIndex>(i), 1});
  std::vector<lb::MaglevBackend> uneven = equal;
  for (std::size_t i = 0; i < kBackends; ++i) uneven[i].weight = static_cast<std::uint32_t>(1 + i * 65);
  std::printf("l4.maglev.build_65537_1000.ms %.2f ms\n", build_ms(equal));
  std::printf("l4.maglev.build_65537_1000_weighted.ms %.2f ms\n", build_ms(uneven));
  const Disruption removing = disruption(equal);
  std::printf("l4.maglev.disruption_remove_1_of_1000.pct %.3f %%\n", removing.others_pct);
  std::printf("l4.maglev.changed_remove_1_of_1000.pct %.3f %%\n", removing.all_pct);
  return 0;
}
