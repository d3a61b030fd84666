// What encapsulation in ESP costs, beside what ipsec-mb alone takes for the same bytes: 1,400-byte packets in buffers like
// mbufs, more of them than the second cache holds, in bursts of 32, AES-128-GCM. `gbit_s` counts the inner packets.
// Ours:     sequence number, outer IPv4 header, ESP header, padding, trailer, encryption, integrity check value.
// ipsec-mb: encryption and tag of the same length in the same buffers, by the faster of its two ways: a call for each packet,
//           or a burst of jobs.
// Method:   the three in turn in every repetition, the least of each; this thread's CPU time.
// Usage:    bench_esp [--repetitions N]
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <intel-ipsec-mb.h>
#include <time.h>

#include "sluice/esp/transform.h"
#include "sluice/net/encapsulate.h"

namespace {

using namespace sluice;

constexpr std::size_t kPackets = 4096;
constexpr std::size_t kStride = 2304;  // of DPDK's buffers: mbuf, headroom and 2 KiB
constexpr std::size_t kInnerAt = 128 + 128 + 14;
constexpr std::size_t kInner = 1400;
constexpr std::size_t kText = kInner + net::esp_tail_bytes(kInner) - net::kEspIcvBytes;
constexpr std::size_t kBurst = esp::kMaxBurst;

template <typename T>
T must(Result<T> result) {
  if (result) return std::move(*result);
  fmt::print(stderr, "bench_esp: {}\n", result.error().message);
  std::exit(1);
}

double cpu_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

template <typename Run>
void measure(double& least, Run run) {
  const double start = cpu_ns();
  run();
  least = std::min(least, (cpu_ns() - start) / kPackets);
}

class Bench {
 public:
  Bench() : buffers_(kPackets * kStride + 64, 0x5a), manager_(alloc_mb_mgr(0)) {
    init_mb_mgr_auto(manager_, nullptr);
    IMB_AES128_GCM_PRE(manager_, material_.data(), &raw_key_);
    const auto address = reinterpret_cast<std::uintptr_t>(buffers_.data());
    base_ = buffers_.data() + (64 - address % 64) % 64;
  }
  ~Bench() { free_mb_mgr(manager_); }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  void run(int repetitions) {
    double ours = 1e18, call = 1e18, jobs = 1e18;
    for (int i = 0; i < repetitions; ++i) {
      measure(ours, [&] { encapsulate(); });
      measure(call, [&] { one_by_one(); });
      measure(jobs, [&] { in_bursts(); });
    }
    const double raw = std::min(call, jobs);
    fmt::print("l4.esp.1400.raw.gbit_s {:.1f} Gbit/s\n", kInner * 8 / raw);
    fmt::print("l4.esp.1400.gbit_s {:.1f} Gbit/s\n", kInner * 8 / ours);
    fmt::print("l4.esp.1400.vs_raw {:.2f} ratio\n", raw / ours);
  }

 private:
  [[nodiscard]] std::uint8_t* inner(std::size_t packet) const { return base_ + packet * kStride + kInnerAt; }

  void encapsulate() {
    for (std::size_t first = 0; first < kPackets; first += kBurst) {
      std::array<esp::Outgoing, kBurst> burst;
      for (std::size_t i = 0; i < kBurst; ++i) {
        std::uint8_t* packet = inner(first + i);
        burst[i] = {&sa_, sa_.use->take(0, sa_.limit()), packet, kInner, esp::kNextIp4};
        header_.write(packet - sizeof(net::EspHeader), sizeof(net::EspHeader) + kInner + net::esp_tail_bytes(kInner), 0,
                      static_cast<std::uint32_t>(i));
      }
      esp::seal(engine_, burst, 0);
    }
  }

  void one_by_one() {
    std::array<std::uint8_t, 12> nonce{};
    for (std::size_t i = 0; i < kPackets; ++i) {
      std::uint8_t* packet = inner(i);
      IMB_AES128_GCM_ENC(manager_, &raw_key_, &context_, packet, packet, kText, nonce.data(), packet - 16, 8,
                         packet + kText, net::kEspIcvBytes);
    }
  }

  void in_bursts() {
    std::array<std::uint8_t, 12> nonce{};
    for (std::size_t first = 0; first < kPackets; first += kBurst) {
      IMB_JOB* burst[kBurst];
      if (IMB_GET_NEXT_BURST(manager_, kBurst, burst) != kBurst) std::abort();
      for (std::size_t i = 0; i < kBurst; ++i) {
        IMB_JOB& job = *burst[i];
        job.enc_keys = job.dec_keys = &raw_key_;
        job.key_len_in_bytes = IMB_KEY_128_BYTES;
        job.src = job.dst = inner(first + i);
        job.cipher_start_src_offset_in_bytes = job.hash_start_src_offset_in_bytes = 0;
        job.msg_len_to_cipher_in_bytes = job.msg_len_to_hash_in_bytes = kText;
        job.iv = nonce.data();
        job.iv_len_in_bytes = nonce.size();
        job.auth_tag_output = job.dst + kText;
        job.auth_tag_output_len_in_bytes = net::kEspIcvBytes;
        job.u.GCM.aad = job.dst - 16;
        job.u.GCM.aad_len_in_bytes = 8;
        job.cipher_mode = IMB_CIPHER_GCM;
        job.cipher_direction = IMB_DIR_ENCRYPT;
        job.hash_alg = IMB_AUTH_AES_GMAC;
        job.chain_order = IMB_ORDER_CIPHER_HASH;
      }
      if (IMB_SUBMIT_BURST_NOCHECK(manager_, kBurst, burst) != kBurst) std::abort();
    }
  }

  std::array<std::uint8_t, 20> material_{1, 2, 3};
  std::vector<std::uint8_t> buffers_;
  std::uint8_t* base_ = nullptr;
  IMB_MGR* manager_;
  alignas(64) gcm_key_data raw_key_{};
  alignas(64) gcm_context_data context_{};
  esp::GcmEngine engine_ = must(esp::GcmEngine::create());
  esp::OutboundSa sa_{.spi = 0x1000,
                      .extended = true,
                      .key = must(esp::GcmKey::expand(material_)),
                      .use = std::make_shared<esp::KeyUse>(1, 0)};
  net::EncapsulationHeader header_{net::TunnelEnds{.kind = net::Encapsulation::kEsp,
                                                   .inner = net::Family::kIp4,
                                                   .src = net::IpAddress::v4(Be32(0xc6336402u)),
                                                   .src_spread = 0,
                                                   .dst = net::IpAddress::v4(Be32(0xc633640bu)),
                                                   .ttl = 64,
                                                   .port = 0,
                                                   .vni = 0,
                                                   .inner_src = {},
                                                   .inner_dst = {}}};
};

}  // namespace

int main(int argc, char** argv) {
  int repetitions = 200;
  if (argc == 3 && std::string_view(argv[1]) == "--repetitions") {
    repetitions = std::max(1, std::atoi(argv[2]));
  } else if (argc != 1) {
    fmt::print(stderr, "usage: bench_esp [--repetitions N]\n");
    return 2;
  }
  Bench().run(repetitions);
}
