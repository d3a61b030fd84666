// A proxy between clients and scripted origins, on virtual time: what the tests of whole exchanges stand on.
#pragma once

#include <condition_variable>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "network.h"
#include "sluice/cache/store.h"
#include "sluice/config/config.h"
#include "sluice/http/request_parser.h"
#include "sluice/lb/health_board.h"
#include "sluice/lb/port_plan.h"
#include "sluice/lb/snapshot_slot.h"
#include "sluice/proxy/file_service.h"
#include "sluice/proxy/proxy.h"
#include "sluice/telemetry/counters.h"

namespace sluice::proxy::test {

inline constexpr UnixSeconds kWall = 1'700'000'000;  // Tue, 14 Nov 2023 22:13:20 GMT

struct Message {  // a request or a response, as it was on the wire
  std::string start_line;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;

  [[nodiscard]] int status() const { return start_line.size() < 12 ? 0 : std::stoi(start_line.substr(9, 3)); }
  [[nodiscard]] std::string header(std::string_view name) const;  // all of that name, joined by ", "
  [[nodiscard]] bool has(std::string_view name) const;
};

// Splits what a client received into responses. `heads`: which of them answer a HEAD (by position).
std::vector<Message> responses_of(std::string_view bytes, const std::vector<bool>& heads = {});

class Origin;

class OriginConnection final : public Peer {
 public:
  OriginConnection(Origin& origin, tcp::Conn& conn);
  void on_data() override;
  [[nodiscard]] std::size_t number() const { return number_; }  // of this connection at its origin, from 0

 private:
  Origin& origin_;
  std::size_t number_;
  http::RequestParser parser_;
  std::size_t parsed_ = 0;
  Message request_;
};

// A web server that does what the test says.
class Origin final : public tcp::Acceptor {
 public:
  Origin(Switch& to, std::string_view address, Instant now);

  void on_accept(tcp::Conn& conn) noexcept override;

  using Handler = std::function<void(OriginConnection&, const Message& request)>;
  Handler on_request;                                 // a whole request was received
  Handler on_head;                                    // its head was
  std::function<void(OriginConnection&)> on_connect;  // a connection was accepted
  std::vector<Message> requests;
  std::list<OriginConnection> connections;
  Host host;
  net::Endpoint listen;
};

// `HTTP/1.1 200 OK` with a Content-Length and these header lines.
std::string response(std::string_view body, std::string_view header_lines = {}, int status = 200);

class World {
 public:
  explicit World(std::string_view yaml);
  ~World();

  // Runs until `done` says true or nothing can happen within `limit` of virtual time. Returns done().
  bool run(const std::function<bool()>& done, Duration limit = std::chrono::seconds(300));
  void run_for(Duration span);

  // A client connected to that endpoint.
  std::unique_ptr<Peer> connect(std::string_view service = "198.51.100.10:80");
  // Sends the request on a connection of its own, runs until the response is there, and gives it.
  Message get(std::string_view target, std::string_view header_lines = {}, std::string_view method = "GET");
  Message exchange(std::string_view request_bytes, bool head = false);

  void publish();  // a snapshot of the health that the board has now
  [[nodiscard]] telemetry::ProxyCounters& counters() { return *counters_; }
  [[nodiscard]] Proxy& proxy() { return *proxy_; }

  Instant now{std::chrono::seconds(1000)};
  [[nodiscard]] UnixSeconds wall() const;
  Switch network;
  Host client;
  std::map<std::string, std::unique_ptr<Origin>> origins;
  Origin& origin(const std::string& address = "192.0.2.11:8080");
  std::optional<net::IpAddress> source = ip("192.0.2.1");

  std::shared_ptr<const config::Config> config;
  // For benchmarks: with a clock, the time that the proxy took is summed up.
  double (*clock)() = nullptr;
  double proxy_seconds = 0;

  lb::HealthBoard board;
  lb::SnapshotSlot snapshots;
  std::unique_ptr<cache::Store> cache;

 private:
  bool turn();
  [[nodiscard]] std::optional<Instant> next_deadline();
  bool wait_for_files();

  std::vector<std::shared_ptr<const lb::Snapshot>> kept_;
  lb::PortPlan ports_{1, 1};
  std::unique_ptr<telemetry::ProxyCounters> counters_ = std::make_unique<telemetry::ProxyCounters>();
  std::mutex mutex_;
  std::condition_variable woken_;
  FileService files_{1};
  SwitchPort proxy_port_{network};
  std::vector<std::vector<std::uint8_t>> arrived_;  // for the proxy, in this turn
  std::unique_ptr<Proxy> proxy_;
  std::uint16_t next_client_port_ = 40000;
};

// A configuration with these pools and services (YAML, at two spaces).
std::string yaml(std::string_view pools, std::string_view services, std::string_view more = {});
// One plain service at 198.51.100.10:80 with these routes (YAML list items at eight spaces), and pool `web` with 192.0.2.11:8080.
std::string one_service(std::string_view routes, std::string_view proxy_keys = {});

}  // namespace sluice::proxy::test
