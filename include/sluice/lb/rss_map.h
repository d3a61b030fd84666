// To which worker a NIC gives a packet: the hash that it makes (receive-side scaling), and whose queue the hash stands for.
// Two uses, both of which only save the way from worker to worker: the owner of a client's flow is the worker that its
// packets come to, and a NAT port is chosen so that the backend's replies come to the worker that chose it.
// Threading: immutable; one for each interface, read by every worker.
#pragma once

#include <bitset>
#include <cstdint>
#include <span>
#include <vector>

#include "sluice/net/address.h"
#include "sluice/net/toeplitz.h"

namespace sluice::lb {

class RssPorts;

// Which packets a NIC spreads by addresses and ports.
struct RssFields {
  bool tcp4 = false, udp4 = false, sctp4 = false;
  bool tcp6 = false, udp6 = false, sctp6 = false;

  [[nodiscard]] bool has(net::IpProto proto, bool v4) const noexcept {
    switch (proto) {
      case net::IpProto::kTcp:
        return v4 ? tcp4 : tcp6;
      case net::IpProto::kUdp:
        return v4 ? udp4 : udp6;
      case net::IpProto::kSctp:
        return v4 ? sctp4 : sctp6;
      default:
        return false;
    }
  }
  bool operator==(const RssFields&) const noexcept = default;
};

class RssMap {
 public:
  static constexpr std::size_t kMaxEntries = 4096;
  static constexpr std::size_t kMaxWorkers = 256;

  // `workers`: for each entry of the NIC's table, which the low bits of the hash point into, the worker of its queue. Their
  // number is a power of two from 2 to kMaxEntries.
  RssMap(std::span<const std::uint8_t, net::Toeplitz::kKeyBytes> key, RssFields fields,
         std::span<const std::uint16_t> workers);

  // Whether it is known where packets of this kind come in. All else, such as fragments and ICMP, may come in anywhere.
  [[nodiscard]] bool knows(net::IpProto proto, bool v4) const noexcept { return fields_.has(proto, v4); }
  // Of a packet of a kind that it knows, on its way from `from` to `to`.
  [[nodiscard]] std::uint16_t worker_of(const net::Endpoint& from, const net::Endpoint& to) const noexcept {
    return worker_of_hash(toeplitz_.mirrored(from, to));
  }
  // The ports of `local` at which packets from `from` come to this worker.
  [[nodiscard]] RssPorts ports(const net::Endpoint& from, const net::IpAddress& local,
                               std::uint16_t worker) const noexcept;
  // Whether anything at all comes to this worker.
  [[nodiscard]] bool reaches(std::uint16_t worker) const noexcept { return reached_[worker]; }

  bool operator==(const RssMap& other) const noexcept {
    return key_ == other.key_ && fields_ == other.fields_ && workers_ == other.workers_;
  }

 private:
  friend class RssPorts;
  [[nodiscard]] std::uint16_t worker_of_hash(std::uint32_t mirrored) const noexcept {
    return workers_[mirrored >> shift_];
  }

  net::Toeplitz toeplitz_;
  std::vector<std::uint8_t> key_;
  RssFields fields_;
  unsigned shift_;  // to the bits of a mirrored hash that point into the table
  std::bitset<kMaxWorkers> reached_;
  std::vector<std::uint16_t> workers_;  // with the bits of the places mirrored too
};

// The replies of one remote endpoint to one of our addresses: which of our ports bring them to one worker.
class RssPorts {
 public:
  RssPorts() noexcept = default;  // nothing is known: any port is as good
  [[nodiscard]] bool known() const noexcept { return map_ != nullptr; }
  // known() alone.
  [[nodiscard]] bool leads_home(std::uint16_t port) const noexcept {
    return map_->worker_of_hash(base_ ^ map_->toeplitz_.mirrored_port(v4_, port)) == worker_;
  }

 private:
  friend class RssMap;
  RssPorts(const RssMap& map, std::uint32_t base, bool v4, std::uint16_t worker) noexcept
      : map_(&map), base_(base), worker_(worker), v4_(v4) {}

  const RssMap* map_ = nullptr;
  std::uint32_t base_ = 0;  // the mirrored hash with port 0
  std::uint16_t worker_ = 0;
  bool v4_ = false;
};

inline RssPorts RssMap::ports(const net::Endpoint& from, const net::IpAddress& local,
                              std::uint16_t worker) const noexcept {
  return {*this, toeplitz_.mirrored(from, {local, 0}), local.is_v4(), worker};
}

}  // namespace sluice::lb
