// The reference and the examples that are shipped: they pass, and they say what they seem to say.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <variant>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "schema.h"
#include "sluice/config/load.h"

namespace sluice::config {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::filesystem::path shipped(const std::string& name) {
  return std::filesystem::path(SLUICE_SOURCE_DIR) / "config" / name;
}

Config load(const std::string& name) {
  ConfigErrors warnings;
  auto config = load_file(shipped(name), &warnings);
  EXPECT_TRUE(config.has_value()) << text(config.error());
  EXPECT_THAT(warnings, IsEmpty()) << text(warnings);
  return config.value_or(Config{});
}

net::IpAddress ip(std::string_view text) { return net::IpAddress::parse(text).value_or(net::IpAddress{}); }
net::Endpoint at(std::string_view text) { return net::Endpoint::parse(text).value_or(net::Endpoint{}); }

const Service& service(const Config& config, std::string_view name) {
  return *std::ranges::find(config.services, name, &Service::name);
}

std::string read_all(const std::filesystem::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(Examples, EveryFileInTheFolderLoads) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(shipped("examples"))) {
    names.push_back(entry.path().filename().string());
    load("examples/" + names.back());
  }
  EXPECT_THAT(names, ::testing::IsSupersetOf({"reverse-proxy.yaml", "l7-load-balancer.yaml", "l4-load-balancer.yaml",
                                              "bench-null.yaml", "replay-pcap.yaml"}));
}

// A key that the reader knows and the reference does not show is a key that nobody finds, and the other way round a lie.
TEST(Reference, ShowsEveryKeyThatTheReaderKnows) { EXPECT_EQ(keys_in(read_all(shipped("sluice.yaml"))), known_keys()); }

TEST(Reference, SaysWhatItSays) {
  const Config config = load("sluice.yaml");
  EXPECT_EQ(config.runtime.main_cpu, 0u);
  EXPECT_THAT(config.runtime.workers, ElementsAre(2u, 3u));
  EXPECT_THAT(config.runtime.proxies, ElementsAre(4u, 5u));
  EXPECT_EQ(config.runtime.memory_bytes, 2ull << 30);
  EXPECT_EQ(config.runtime.file_prefix, "edge");
  EXPECT_EQ(config.runtime.mbufs, 131072u);
  EXPECT_EQ(config.runtime.flows, 4'000'000u);
  EXPECT_EQ(config.runtime.connections, 200'000u);
  EXPECT_EQ(config.runtime.connection_bytes, 2ull << 30);
  EXPECT_EQ(config.runtime.drain, 30s);
  EXPECT_EQ(config.runtime.stop_when_idle, Duration(1h));

  ASSERT_THAT(config.interfaces, SizeIs(4));
  const Interface& edge = config.interfaces[0];
  EXPECT_EQ(edge.name, "edge");
  EXPECT_EQ(edge.kind, DeviceKind::kPci);
  EXPECT_EQ(edge.device, "0000:3b:00.0");
  EXPECT_EQ(edge.gateway4, ip("198.51.100.1"));
  EXPECT_EQ(edge.gateway6, ip("2001:db8:1::1"));
  ASSERT_THAT(edge.addresses, SizeIs(2));
  EXPECT_EQ(edge.addresses[0].text(), "198.51.100.2/24");
  EXPECT_EQ(edge.rx_queues, 2);
  EXPECT_EQ(edge.tx_queues, 4);
  EXPECT_EQ(edge.rss_key, RssKey::kRandom);
  const Interface& inside = config.interfaces[1];
  EXPECT_EQ(inside.kind, DeviceKind::kVdev);
  EXPECT_EQ(inside.device, "net_af_xdp0,iface=eth1,busy_budget=0");
  EXPECT_EQ(inside.mtu, 1500);
  EXPECT_TRUE(inside.announce);
  EXPECT_FALSE(inside.promiscuous);
  const Interface& office = config.interfaces[2];
  EXPECT_EQ(office.parent, "inside");
  EXPECT_EQ(office.vlan, 100);
  EXPECT_EQ(office.inner_vlan, 0);
  EXPECT_EQ(office.mtu, 1500);
  const Interface& customer = config.interfaces[3];
  EXPECT_EQ(customer.vlan, 200);
  EXPECT_EQ(customer.inner_vlan, 7);
  EXPECT_EQ(customer.outer_tag, OuterTag::k8021ad);
  EXPECT_EQ(customer.mtu, 1400);

  ASSERT_THAT(config.neighbors, SizeIs(1));
  EXPECT_EQ(config.neighbors[0].mac.text(), "00:00:5e:00:53:01");
  ASSERT_THAT(config.routes, SizeIs(1));
  EXPECT_EQ(config.routes[0].interface, "inside");

  const Pool* web = find_pool(config, "web");
  ASSERT_NE(web, nullptr);
  ASSERT_THAT(web->backends, SizeIs(4));
  EXPECT_EQ(web->backends[2].endpoint, at("[2001:db8:2::13]:8080"));
  EXPECT_EQ(web->backends[2].weight, 5u);
  EXPECT_TRUE(web->backends[3].backup);
  EXPECT_EQ(web->slow_start, 30s);
  ASSERT_TRUE(web->health.has_value());
  EXPECT_EQ(web->health->port, 8081);
  const auto& probe = std::get<HttpCheck>(web->health->probe);
  EXPECT_EQ(probe.path, "/healthz");
  ASSERT_THAT(probe.expect, SizeIs(2));
  EXPECT_EQ(probe.expect[0].last, 299);
  EXPECT_EQ(probe.expect[1].first, 301);
  const Pool* resolvers = find_pool(config, "resolvers");
  ASSERT_NE(resolvers, nullptr);
  EXPECT_EQ(resolvers->backends[0].max_flows, 100'000u);
  EXPECT_EQ(resolvers->backends[0].name, "192.0.2.53:53");
  EXPECT_TRUE(std::holds_alternative<TcpCheck>(resolvers->health->probe));
}

TEST(Reference, SaysWhatItSaysOfServices) {
  const Config config = load("sluice.yaml");
  const Service& dns = service(config, "dns");
  EXPECT_THAT(dns.listen, ElementsAre(Listen{at("203.0.113.53:53"), net::IpProto::kUdp},
                                      Listen{at("203.0.113.53:53"), net::IpProto::kTcp}));
  EXPECT_THAT(dns.announce, ElementsAre("edge"));
  ASSERT_TRUE(dns.forward.has_value());
  EXPECT_FALSE(dns.proxy.has_value());
  EXPECT_THAT(dns.forward->source, ElementsAre(ip("192.0.2.3")));
  EXPECT_EQ(dns.forward->timeouts.established, 124min);

  const ForwardService& tunnelled = *service(config, "tunnelled").forward;
  EXPECT_EQ(tunnelled.mode, ForwardMode::kGue);
  ASSERT_THAT(tunnelled.outer.source, SizeIs(2));
  EXPECT_EQ(tunnelled.outer.source[0].text(), "172.16.0.0/16");
  EXPECT_EQ(tunnelled.outer.source[1].text(), "2001:db8:1::2/128");
  EXPECT_EQ(tunnelled.gue.port, 6080);
  const ForwardService& overlay = *service(config, "overlay").forward;
  EXPECT_EQ(overlay.vxlan.vni, 100u);
  EXPECT_EQ(overlay.vxlan.inner_mac().text(), "02:00:00:00:00:64");

  const Service& site = service(config, "site");
  ASSERT_TRUE(site.proxy.has_value() && site.proxy->tls.has_value());
  const Tls& tls = *site.proxy->tls;
  EXPECT_THAT(tls.certificates, SizeIs(2));
  EXPECT_EQ(tls.certificates[0].key, "/etc/sluice/site.key");
  EXPECT_EQ(tls.min_version, TlsVersion::kTls12);
  EXPECT_EQ(tls.max_version, TlsVersion::kTls13);
  EXPECT_EQ(tls.crypto, TlsCrypto::kIpsecMb);
  EXPECT_THAT(tls.ciphers, SizeIs(5));

  const auto& routes = site.proxy->routes;
  ASSERT_THAT(routes, SizeIs(4));
  EXPECT_THAT(routes[0].hosts, ElementsAre("www.example.com", "*.example.org"));
  const auto& files = std::get<StaticFiles>(routes[0].action);
  EXPECT_EQ(files.alias, "/var/www/static/");
  EXPECT_EQ(files.expires, Duration(24h * 30));
  ASSERT_THAT(files.headers, SizeIs(1));
  EXPECT_EQ(files.headers[0].value, Template::literal("public"));
  EXPECT_EQ(std::get<ToPool>(routes[1].action).pool, "web");
  ASSERT_THAT(routes[1].request_headers.set, SizeIs(1));
  EXPECT_THAT(routes[1].request_headers.set[0].value.parts, ElementsAre(Template::Part{"", Variable::kClientPort}));
  EXPECT_THAT(routes[1].response_headers.remove, ElementsAre("X-Powered-By"));
  EXPECT_EQ(std::get<Respond>(routes[2].action).body, "ok\n");
  ASSERT_TRUE(routes[3].cache.has_value());
  EXPECT_EQ(routes[3].cache->client_control, ClientControl::kIgnore);
  EXPECT_EQ(site.proxy->limits.header_bytes, 32u << 10);
  EXPECT_EQ(site.proxy->source_limits, (SourceConnections{.connections = 1000, .prefix4 = 32, .prefix6 = 64}));

  const auto& redirect = std::get<Redirect>(service(config, "to-https").proxy->routes[0].action);
  EXPECT_EQ(redirect.status, 301);
  EXPECT_THAT(redirect.location.parts, ElementsAre(Template::Part{"https://", Variable::kRequestHost},
                                                   Template::Part{"", Variable::kRequestTarget}));
  EXPECT_EQ(config.cache.memory_bytes, 1ull << 30);
  EXPECT_EQ(config.admin.socket, "/run/sluice/admin.sock");
  EXPECT_THAT(config.upstream.source, ElementsAre(ip("192.0.2.4"), ip("2001:db8:2::4")));
}

TEST(Examples, ReverseProxyDoesTheNginxUseCase) {
  const Config config = load("examples/reverse-proxy.yaml");
  EXPECT_THAT(config.runtime.proxies, ElementsAre(1u));
  const Service& site = config.services.at(0);
  EXPECT_THAT(site.listen, ElementsAre(Listen{at("198.51.100.2:443"), net::IpProto::kTcp}));
  ASSERT_TRUE(site.proxy && site.proxy->tls);
  const auto& files = std::get<StaticFiles>(site.proxy->routes.at(0).action);
  EXPECT_EQ(files.expires, Duration(24h * 30));
  EXPECT_EQ(files.headers.at(0).name, "Cache-Control");
  const HttpRoute& api = site.proxy->routes.at(1);
  EXPECT_EQ(api.path, "/api/");
  EXPECT_EQ(api.request_headers.set.at(0).name, "X-Real-IP");
  EXPECT_EQ(api.request_headers.set.at(0).value.parts.at(0).variable, Variable::kClientAddress);
  EXPECT_EQ(api.request_headers.set.at(1).name, "X-Forwarded-For");
}

TEST(Examples, L7LoadBalancerKeeps32Connections) {
  const Config config = load("examples/l7-load-balancer.yaml");
  const Pool& app = config.pools.at(0);
  EXPECT_THAT(app.backends, SizeIs(3));
  EXPECT_EQ(app.keepalive.idle, 32u);
  EXPECT_EQ(app.tcp, TcpOptions{});
  EXPECT_EQ(config.services.at(0).listen.at(0).endpoint.port, 80);
  EXPECT_FALSE(config.services.at(0).proxy->tls.has_value());
  EXPECT_EQ(config.services.at(0).proxy->routes.at(0).path, "/");
}

TEST(Examples, L4LoadBalancerChecksWithHead) {
  const Config config = load("examples/l4-load-balancer.yaml");
  const Pool& web = config.pools.at(0);
  EXPECT_EQ(web.balance, Balance::kRoundRobin);
  EXPECT_THAT(web.backends, SizeIs(3));
  const auto& probe = std::get<HttpCheck>(web.health->probe);
  EXPECT_EQ(probe.method + " " + probe.path + " " + probe.host, "HEAD / localhost");
  EXPECT_EQ(config.services.at(0).forward->mode, ForwardMode::kNat);
  EXPECT_THAT(config.runtime.proxies, ElementsAre(1u));  // for the health checks
}

TEST(Examples, BenchNullAndReplayPcapNeedNoHardware) {
  const Config null = load("examples/bench-null.yaml");
  EXPECT_EQ(null.interfaces.at(0).device, "net_null0,size=64");
  EXPECT_EQ(null.runtime.hugepages, HugePages::kOff);
  EXPECT_FALSE(null.interfaces.at(0).announce);
  const Config pcap = load("examples/replay-pcap.yaml");
  EXPECT_EQ(pcap.interfaces.at(0).tx_queues, 1);
  EXPECT_EQ(pcap.runtime.stop_when_idle, Duration(1s));
  EXPECT_EQ(pcap.routes.at(0).interface, "edge");
  EXPECT_EQ(pcap.admin.socket, std::nullopt);
}

}  // namespace
}  // namespace sluice::config
