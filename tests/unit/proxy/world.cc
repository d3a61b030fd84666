#include "world.h"

#include <algorithm>
#include <stdexcept>

#include "sluice/config/load.h"
#include "sluice/http/headers.h"
#include "sluice/http/response_parser.h"
#include "sluice/lb/build_snapshot.h"
#include "sluice/proxy/inbox.h"
#include "sluice/tls/ticket_keys.h"

namespace sluice::proxy::test {

using namespace std::chrono_literals;

namespace {

std::span<const std::uint8_t> bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

template <typename Head>
void copy_headers(Message& to, const Head& head) {
  for (const http::Header& header : head.headers) to.headers.emplace_back(header.name, header.value);
}

}  // namespace

std::string Message::header(std::string_view name) const {
  std::string out;
  for (const auto& [its_name, value] : headers) {
    if (!http::equals_ignore_case(its_name, name)) continue;
    if (!out.empty()) out += ", ";
    out += value;
  }
  return out;
}

bool Message::has(std::string_view name) const {
  return std::ranges::any_of(headers, [&](const auto& header) { return http::equals_ignore_case(header.first, name); });
}

std::vector<Message> responses_of(std::string_view input, const std::vector<bool>& heads) {
  std::vector<Message> out;
  while (!input.empty()) {
    http::ResponseParser parser;
    const bool head = out.size() < heads.size() && heads[out.size()];
    parser.start(head ? http::Method::kHead : http::Method::kGet);
    Message message;
    for (bool more = true; more;) {
      http::ParseStep step = parser.feed(bytes(input));
      if (step.step == http::Step::kNeedMore && step.consumed == input.size()) {
        step = parser.finish();
        if (step.step == http::Step::kError && message.start_line.empty()) return out;
        if (step.step == http::Step::kError) {
          message.start_line += " (cut short)";
          more = false;
        }
      }
      if (step.step == http::Step::kHead || step.step == http::Step::kInterim) {
        message.start_line = input.substr(0, input.find("\r\n"));
        copy_headers(message, parser.head());
      }
      if (step.step == http::Step::kInterim) {
        out.push_back(std::move(message));
        message = {};
      }
      if (step.step == http::Step::kBody) {
        message.body.append(reinterpret_cast<const char*>(step.body.data()), step.body.size());
      }
      if (step.step == http::Step::kError && more) message.start_line += " (malformed)";
      input.remove_prefix(step.step == http::Step::kError ? input.size() : step.consumed);
      if (step.step == http::Step::kEnd || step.step == http::Step::kError) more = false;
    }
    if (!message.start_line.empty()) out.push_back(std::move(message));
  }
  return out;
}

OriginConnection::OriginConnection(Origin& origin, tcp::Conn& conn)
    : Peer(&conn), origin_(origin), number_(origin.connections.size()) {
  connected = true;
}

void OriginConnection::on_data() {
  for (;;) {
    const http::ParseStep step = parser_.feed(bytes(std::string_view(received).substr(parsed_)));
    if (step.step == http::Step::kBody) {
      request_.body.append(reinterpret_cast<const char*>(step.body.data()), step.body.size());
    }
    parsed_ += step.consumed;
    if (step.step == http::Step::kHead) {
      const http::RequestHead& head = parser_.head();
      request_.start_line = std::string(http::method_name(head.method)) + " " + std::string(head.target);
      copy_headers(request_, head);
      if (origin_.on_head) origin_.on_head(*this, request_);
    } else if (step.step == http::Step::kEnd) {
      const Message whole = std::exchange(request_, {});
      parser_.next();
      origin_.requests.push_back(whole);
      if (origin_.on_request) origin_.on_request(*this, whole);
    } else if (step.step == http::Step::kError) {
      throw std::runtime_error("the origin got a malformed request: " + received);
    } else if (step.step == http::Step::kNeedMore) {
      return;
    }
  }
}

Origin::Origin(Switch& to, std::string_view address, Instant now)
    : host(to, endpoint(address).address, now), listen(endpoint(address)) {
  if (!host.stack().listen(listen, {}, *this)) throw std::runtime_error("listen");
  on_request = [](OriginConnection& connection, const Message& request) {
    std::string answer = response("answer to " + request.start_line);
    if (request.start_line.starts_with("HEAD ")) answer.erase(answer.find("\r\n\r\n") + 4);
    connection.send(answer);
  };
}

void Origin::on_accept(tcp::Conn& conn) noexcept {
  connections.emplace_back(*this, conn);
  if (on_connect) on_connect(connections.back());
}

std::string response(std::string_view body, std::string_view header_lines, int status) {
  std::string out = "HTTP/1.1 " + std::to_string(status) + " Said\r\n";
  out.append(header_lines);
  out.append("Content-Length: ").append(std::to_string(body.size())).append("\r\n\r\n");
  return out.append(body);
}

std::string yaml(std::string_view pools, std::string_view services, std::string_view more) {
  std::string out =
      "runtime: { workers: [0], proxies: [0] }\n"
      "interfaces:\n"
      "  lan: { device: net_null0, addresses: [192.0.2.1/24, 198.51.100.1/24] }\n"
      "pools:\n";
  return out.append(pools).append("services:\n").append(services).append(more);
}

std::string one_service(std::string_view routes, std::string_view proxy_keys) {
  const std::string pools =
      "  web: { backends: [ { name: web1, address: 192.0.2.11, port: 8080 } ] }\n"
      "  pair:\n"
      "    balance: round_robin\n"
      "    backends:\n"
      "      - { name: one, address: 192.0.2.11, port: 8080 }\n"
      "      - { name: two, address: 192.0.2.12, port: 8080 }\n";
  std::string services = "  site:\n    listen: 198.51.100.10:80\n    proxy:\n";
  services.append(proxy_keys).append("      routes:\n").append(routes);
  return yaml(pools, services);
}

World::World(std::string_view text) : client(network, ip("203.0.113.7"), now) {
  auto loaded = config::load_text(text, "test.yaml");
  if (!loaded) throw std::runtime_error(config::text(loaded.error()));
  config = std::make_shared<const config::Config>(std::move(*loaded));
  cache = std::make_unique<cache::Store>(cache::StoreConfig{.budget_bytes = config->cache.memory_bytes,
                                                            .object_limit_bytes = config->cache.object_bytes,
                                                            .hash_key = {5, 6}});
  publish();
  auto keys = tls::TicketKeys::create(now);
  if (!keys) throw std::runtime_error(keys.error().message);
  ProxyParts parts{.config = *config,
                   .sink = proxy_port_,
                   .snapshots = snapshots,
                   .health = board,
                   .ports = ports_,
                   .cache = *cache,
                   .ticket_keys = *keys,
                   .files = files_,
                   .counters = *counters_,
                   .source_for = [this](const net::IpAddress&, bool) { return source; },
                   .wake =
                       [this] {
                         const std::lock_guard lock(mutex_);
                         woken_.notify_one();
                       },
                   .secret = {7, 8},
                   .seed = 9};
  auto made = Proxy::create(std::move(parts), now);
  if (!made) throw std::runtime_error(made.error().message);
  proxy_ = std::move(*made);
  const auto receive = [this](std::span<const std::uint8_t> packet) {
    arrived_.emplace_back(packet.begin(), packet.end());
  };
  network.attach(ip("192.0.2.1"), receive);
  for (const config::Service& service : config->services) {
    for (const config::Listen& listen : service.listen) network.attach(listen.endpoint.address, receive);
  }
}

World::~World() {
  for (auto& [address, origin] : origins) origin->connections.clear();
}

UnixSeconds World::wall() const {
  return kWall + std::chrono::duration_cast<std::chrono::seconds>(now - Instant(1000s)).count();
}

void World::publish() {
  const lb::Snapshot* previous = kept_.empty() ? nullptr : kept_.back().get();
  auto built = lb::build_snapshot(config, board, previous);
  if (!built) throw std::runtime_error(built.error().message);
  kept_.push_back(*built);
  static_cast<void>(snapshots.publish(*built));
}

Origin& World::origin(const std::string& address) {
  auto& slot = origins[address];
  if (!slot) slot = std::make_unique<Origin>(network, address, now);
  return *slot;
}

bool World::turn() {
  bool worked = network.deliver();
  const double before = clock == nullptr ? 0 : clock();
  std::vector<tcp::Received> burst;
  for (const std::vector<std::uint8_t>& packet : arrived_) burst.push_back({packet, {}});
  proxy_->receive(burst, now);
  const bool polled = proxy_->poll(now, wall());
  if (clock != nullptr) proxy_seconds += clock() - before;
  worked = polled || !arrived_.empty() || worked;
  arrived_.clear();
  worked = client.turn(now) || worked;
  for (auto& [address, origin] : origins) worked = origin->host.turn(now) || worked;
  return worked;
}

std::optional<Instant> World::next_deadline() {
  std::optional<Instant> next = proxy_->next_deadline();
  const auto consider = [&next](std::optional<Instant> other) {
    if (other && (!next || *other < *next)) next = other;
  };
  consider(client.stack().next_deadline());
  for (auto& [address, origin] : origins) consider(origin->host.stack().next_deadline());
  return next;
}

// The helper threads work in real time: waits for their answer, which stops the virtual clock.
bool World::wait_for_files() {
  if (counters_->static_pending.read() == 0) return false;
  std::unique_lock lock(mutex_);
  return woken_.wait_for(lock, 10s, [this] { return proxy_->inbox()->has_mail(); });
}

bool World::run(const std::function<bool()>& done, Duration limit) {
  const Instant end = now + limit;
  while (!done()) {
    if (turn() || network.pending() || wait_for_files()) continue;
    const std::optional<Instant> next = next_deadline();
    if (!next || *next > end) {
      now = std::max(now, end);
      turn();
      return done();
    }
    now = std::max(now + 1ns, *next);
  }
  return true;
}

void World::run_for(Duration span) {
  static_cast<void>(run([] { return false; }, span));
}

std::unique_ptr<Peer> World::connect(std::string_view service) {
  auto peer = std::make_unique<Peer>();
  const net::Endpoint local{client.address, next_client_port_++};
  peer->attach(client.stack().connect(local, endpoint(service), *peer, now, 5s));
  if (peer->stream() == nullptr) throw std::runtime_error("connect");
  return peer;
}

Message World::exchange(std::string_view request_bytes, bool head) {
  const std::unique_ptr<Peer> peer = connect();
  peer->send(request_bytes);
  const auto whole = [&] {
    if (peer->closed || peer->peer_closed) return true;
    const auto got = responses_of(peer->received, {head});
    return !got.empty() && got.back().status() >= 200 && !got.back().start_line.ends_with("(cut short)");
  };
  static_cast<void>(run(whole));
  auto got = responses_of(peer->received, {head});
  return got.empty() ? Message{} : got.back();
}

Message World::get(std::string_view target, std::string_view header_lines, std::string_view method) {
  std::string request(method);
  request.append(" ")
      .append(target)
      .append(" HTTP/1.1\r\nHost: www.example.com\r\n")
      .append(header_lines)
      .append("\r\n");
  return exchange(request, method == "HEAD");
}

}  // namespace sluice::proxy::test
