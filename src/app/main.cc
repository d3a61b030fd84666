// sluice: the daemon and its offline commands.
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>

#include "daemon.h"
#include "sluice/base/log.h"
#include "sluice/config/load.h"
#include "sluice/dataplane/replay.h"
#include "sluice/dpdk/eal.h"

namespace {

using namespace sluice;

constexpr int kExitFailed = 1;   // could not do it
constexpr int kExitRefused = 2;  // the configuration is wrong
constexpr std::size_t kReplayMemory = std::size_t{256} << 20;

// The log goes to stderr, so that what a command prints on stdout can be piped.
void set_up_log(config::LogLevel level) {
  spdlog::set_default_logger(spdlog::stderr_color_mt("sluice"));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %^%l%$ %v");
  switch (level) {
    case config::LogLevel::kDebug:
      return spdlog::set_level(spdlog::level::debug);
    case config::LogLevel::kInfo:
      return spdlog::set_level(spdlog::level::info);
    case config::LogLevel::kWarning:
      return spdlog::set_level(spdlog::level::warn);
    case config::LogLevel::kError:
      return spdlog::set_level(spdlog::level::err);
  }
}

struct LoadOptions {
  std::string file;
  config::Passes passes;
};

// Prints every error and warning; nothing: the configuration is refused.
std::optional<config::Config> load(const LoadOptions& options) {
  config::ConfigErrors warnings;
  auto loaded = config::load_whole(options.file, &warnings, options.passes);
  for (const config::ConfigError& warning : warnings) fmt::print(stderr, "warning: {}\n", warning.text());
  if (!loaded) {
    const config::ConfigErrors& errors = loaded.error();
    fmt::print(stderr, "{}\n", config::text(errors));
    fmt::print(stderr, "{}: refused: {} error{}\n", options.file, errors.size(), errors.size() == 1 ? "" : "s");
    return std::nullopt;
  }
  return std::move(*loaded);
}

int check(const LoadOptions& options) {
  const auto config = load(options);
  if (!config) return kExitRefused;
  fmt::print("{}: ok: {} interfaces, {} pools, {} services\n", options.file, config->interfaces.size(),
             config->pools.size(), config->services.size());
  return 0;
}

int run(const LoadOptions& options) {
  const auto config = load(options);
  if (!config) return kExitRefused;
  set_up_log(config->log.level);
  const Result<void> ended = app::run_daemon(*config);
  if (!ended) {
    log::critical("{}", ended.error().message);
    return kExitFailed;
  }
  return 0;
}

// "edge=in.pcap" pairs into a map; false: one is not such a pair.
bool split_pairs(const std::vector<std::string>& pairs, std::map<std::string, std::string>& out) {
  for (const std::string& pair : pairs) {
    const std::size_t equals = pair.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == pair.size()) {
      fmt::print(stderr, "sluice replay: '{}' is not INTERFACE=FILE\n", pair);
      return false;
    }
    out[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  return true;
}

int replay(const LoadOptions& options, const dataplane::ReplayOptions& replay_options) {
  const auto config = load(options);
  if (!config) return kExitRefused;
  const auto eal = dpdk::Eal::start({.main_cpu = -1,
                                     .memory_bytes = kReplayMemory,
                                     .huge_pages = dpdk::HugePages::kOff,
                                     .devices = {},
                                     .extra = {},
                                     .file_prefix = {}});
  if (!eal) {
    fmt::print(stderr, "sluice replay: {}\n", eal.error().message);
    return kExitFailed;
  }
  const auto report = dataplane::replay(*config, replay_options);
  if (!report) {
    fmt::print(stderr, "sluice replay: {}\n", report.error().message);
    return kExitFailed;
  }
  fmt::print("packets_in {}\npackets_out {}\npackets_dropped {}\n", report->packets_in, report->packets_out,
             report->packets_dropped);
  for (const auto& [reason, packets] : report->drops) fmt::print("drop.{} {}\n", reason, packets);
  if (report->mbufs_leaked != 0) {
    fmt::print(stderr, "sluice replay: {} packet buffers were not given back\n", report->mbufs_leaked);
    return kExitFailed;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  LoadOptions options;
  dataplane::ReplayOptions replay_options;
  std::vector<std::string> inputs, outputs;
  bool no_files = false;

  CLI::App cli("Balances flows over backends at layer 4; terminates TLS, caches and proxies HTTP at layer 7.",
               "sluice");
  cli.set_version_flag("--version", SLUICE_VERSION);
  cli.require_subcommand(1);
  CLI::App* run_cli = cli.add_subcommand("run", "run with this configuration until SIGTERM or SIGINT");
  CLI::App* check_cli = cli.add_subcommand("check", "check a configuration, and say all that is wrong with it");
  CLI::App* replay_cli = cli.add_subcommand("replay", "run captured packets through the packet path, on virtual time");
  for (CLI::App* command : {run_cli, check_cli, replay_cli}) {
    command->add_option("FILE", options.file, "the YAML file")->required();
  }
  check_cli->add_flag("--no-files", no_files, "do not look at the certificates and folders that it names");
  replay_cli->add_option("--in", inputs, "INTERFACE=FILE: pcap file with what the interface receives");
  replay_cli->add_option("--out", outputs, "INTERFACE=FILE: pcap file for what the interface sends");
  replay_cli->add_option("--seed", replay_options.seed, "of every random choice")->capture_default_str();
  replay_cli->add_option("--down", replay_options.down_backends, "POOL/BACKEND that counts as down");
  CLI11_PARSE(cli, argc, argv);

  options.passes = {.files = !no_files && !replay_cli->parsed(), .keys = !no_files};
  if (check_cli->parsed()) return check(options);
  if (run_cli->parsed()) return run(options);
  if (!split_pairs(inputs, replay_options.inputs) || !split_pairs(outputs, replay_options.outputs)) return kExitFailed;
  return replay(options, replay_options);
}
