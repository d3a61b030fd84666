// The top level of the file, and the small sections: runtime, cache, admin, log, upstream.
#include "schema.h"
#include "values.h"

namespace sluice::config {
namespace {

constexpr std::uint64_t kKiB = 1ull << 10;
constexpr std::uint64_t kMiB = 1ull << 20;
constexpr std::uint64_t kTiB = 1ull << 40;
constexpr std::size_t kMaxSocketPath = 107;  // sockaddr_un::sun_path, less its terminating zero

// EAL arguments that sluice passes itself, and the key that stands for them.
struct OwnArgument {
  std::string_view argument;
  std::string_view key;
};
constexpr OwnArgument kOwnArguments[] = {
    {"-l", "runtime.workers"},
    {"-c", "runtime.workers"},
    {"--lcores", "runtime.workers"},
    {"--main-lcore", "runtime.main"},
    {"-m", "runtime.memory"},
    {"--socket-mem", "runtime.memory"},
    {"--no-huge", "runtime.hugepages"},
    {"--in-memory", "runtime.hugepages"},
    {"--file-prefix", "runtime.file_prefix"},
    {"-a", "interfaces"},
    {"--allow", "interfaces"},
    {"--vdev", "interfaces"},
};

void check_eal(Reader& reader, const Node& /*node*/, Runtime& runtime) {
  for (std::size_t i = 0; i < runtime.eal.size(); ++i) {
    const std::string_view argument = std::string_view(runtime.eal[i]).substr(0, runtime.eal[i].find('='));
    for (const OwnArgument& own : kOwnArguments) {
      if (argument != own.argument) continue;
      reader.error_in(fmt::format("eal[{}]", i), fmt::format("sluice passes {} itself; use {}", argument, own.key));
    }
  }
}

void check_runtime(Reader& reader, const Node& node, Runtime& runtime) {
  check_eal(reader, node, runtime);
  if (!reader.given("connection_memory")) runtime.connection_bytes = connection_bytes_for(runtime.connections);
}

struct SocketChoice {  // a path, or "off"
  std::optional<std::string> path;
};
Codec<SocketChoice> socket_choice() {
  return {[path = absolute_path(kMaxSocketPath)](Reader& reader, const Node& node, SocketChoice& out) {
    if (node.is_scalar() && node.scalar == "off") return;
    path.read(reader, node, out.path.emplace());
  }};
}

const Section<Cache>& cache_schema() {
  static const Section<Cache> table =
      Section<Cache>()
          .optional("memory", &Cache::memory_bytes, size(kMiB, kTiB))
          .optional("object_limit", &Cache::object_bytes, size(kKiB, kTiB))
          .not_yet({"disk", "shards", "policy"})
          .check([](Reader& reader, const Node&, Cache& cache) {
            if (cache.object_bytes <= cache.memory_bytes) return;
            if (!reader.given("object_limit")) {  // a small cache takes the default limit down with it
              cache.object_bytes = cache.memory_bytes;
              return;
            }
            reader.error_in("object_limit", fmt::format("{} is more than cache.memory, {}",
                                                        size_text(cache.object_bytes), size_text(cache.memory_bytes)));
          });
  return table;
}

const Section<Admin>& admin_schema() {
  static const Section<Admin> table =
      Section<Admin>()
          .optional_with("socket", socket_choice(),
                         [](Admin& admin, SocketChoice&& choice) { admin.socket = choice.path; })
          .not_yet({"http", "metrics", "dashboard"});
  return table;
}

const Section<Log>& log_schema() {
  static const Section<Log> table = Section<Log>()
                                        .optional("level", &Log::level,
                                                  one_of<LogLevel>({{"debug", LogLevel::kDebug},
                                                                    {"info", LogLevel::kInfo},
                                                                    {"warning", LogLevel::kWarning},
                                                                    {"error", LogLevel::kError}}))
                                        .not_yet({"access", "file", "format"});
  return table;
}

const Section<Upstream>& upstream_schema() {
  static const Section<Upstream> table =
      Section<Upstream>().optional("source", &Upstream::source, list(address(), 1, 64));
  return table;
}

}  // namespace

const Section<Runtime>& runtime_schema() {
  static const Section<Runtime> table =
      Section<Runtime>()
          .optional("main", &Runtime::main_cpu, number(0u, 1023u))
          .optional("workers", &Runtime::workers, cpus(1))
          .optional("proxies", &Runtime::proxies, cpus(0))
          .optional("memory", &Runtime::memory_bytes, size(64 * kMiB, kTiB))
          .optional("hugepages", &Runtime::hugepages,
                    one_of<HugePages>(
                        {{"auto", HugePages::kAuto}, {"required", HugePages::kRequired}, {"off", HugePages::kOff}}))
          .optional("poll", &Runtime::poll,
                    one_of<PollMode>({{"busy", PollMode::kBusy}, {"adaptive", PollMode::kAdaptive}}))
          .optional("eal", &Runtime::eal, list(text(1, 1024), 0, 64))
          .optional("file_prefix", &Runtime::file_prefix, name())
          .optional("mbufs", &Runtime::mbufs, count(1024u, 1u << 26))
          .optional("flows", &Runtime::flows, count(1024u, 1u << 30))
          .optional("persistent_clients", &Runtime::persistent_clients, count(1024u, 1u << 28))
          .optional("connections", &Runtime::connections, count(16u, 100'000'000u))
          .optional("connection_memory", &Runtime::connection_bytes, size(kMiB, kTiB))
          .optional("drain", &Runtime::drain, duration(0s, 24h))
          .optional("stop_when_idle", &Runtime::stop_when_idle, duration(10ms, 1h))
          .check(check_runtime);
  return table;
}

const Section<Config>& config_schema() {
  static const Section<Config> table =
      Section<Config>()
          .optional("runtime", &Config::runtime, section(runtime_schema()))
          .required("interfaces", &Config::interfaces, named(interface_schema(), name_is_good))
          .optional("neighbors", &Config::neighbors, list(section(neighbor_schema())))
          .optional("routes", &Config::routes, list(section(static_route_schema())))
          .optional("fragments", &Config::fragments, section(fragments_schema()))
          .optional("pools", &Config::pools, named(pool_schema(), name_is_good))
          .optional("services", &Config::services, named(service_schema(), name_is_good))
          .optional("esp", &Config::esp, section(esp_schema()))
          .optional("cache", &Config::cache, section(cache_schema()))
          .optional("admin", &Config::admin, section(admin_schema()))
          .optional("log", &Config::log, section(log_schema()))
          .optional("upstream", &Config::upstream, section(upstream_schema()))
          .optional("defence", &Config::defence, section(defence_schema()))
          .not_yet({"metrics", "syn_cookies"});
  return table;
}

std::vector<std::string_view> differing_sections(const Config& a, const Config& b) {
  return config_schema().differences(a, b);
}

KeyList known_keys() {
  KeyList out;
  config_schema().list_keys("", out);
  return out;
}

}  // namespace sluice::config
