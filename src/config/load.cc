#include "sluice/config/load.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include <fmt/format.h>

#include "node.h"
#include "reader.h"
#include "schema.h"
#include "validate.h"

namespace sluice::config {
namespace {

void add_file(Config& config, const Reader& reader, FileReference::Kind kind, const std::string& file,
              const std::string& path) {
  config.files.push_back({kind, file, reader.shown(path), reader.mark_of(path)});
}

void list_esp_keys(Config& config, const Reader& reader) {
  for (std::size_t i = 0; i < config.esp.peers.size(); ++i) {
    const EspPeer& peer = config.esp.peers[i];
    const std::string base = fmt::format("esp.peers[{}]", i);
    const auto add = [&](const EspSa& sa, const std::string& path) {
      if (!sa.key_file.empty()) add_file(config, reader, FileReference::Kind::kEspKey, sa.key_file, path + ".key_file");
    };
    add(peer.out, base + ".out");
    for (std::size_t j = 0; j < peer.in.size(); ++j) add(peer.in[j], fmt::format("{}.in[{}]", base, j));
  }
}

void list_prefix_files(Config& config, const Reader& reader, const AccessFiles& access, const std::string& base) {
  for (std::size_t i = 0; i < access.allow.size(); ++i)
    add_file(config, reader, FileReference::Kind::kPrefixes, access.allow[i], fmt::format("{}.allow[{}]", base, i));
  for (std::size_t i = 0; i < access.deny.size(); ++i)
    add_file(config, reader, FileReference::Kind::kPrefixes, access.deny[i], fmt::format("{}.deny[{}]", base, i));
}

void list_files(Config& config, const Reader& reader) {
  list_esp_keys(config, reader);
  list_prefix_files(config, reader, config.defence.access, "defence");
  for (const Service& service : config.services)
    list_prefix_files(config, reader, service.access, fmt::format("services.{}", service.name));
  for (const Service& service : config.services) {
    if (!service.proxy) continue;
    const std::string base = fmt::format("services.{}.proxy", service.name);
    if (service.proxy->tls) {
      const auto& certificates = service.proxy->tls->certificates;
      for (std::size_t i = 0; i < certificates.size(); ++i) {
        const std::string path = fmt::format("{}.tls.certificates[{}]", base, i);
        add_file(config, reader, FileReference::Kind::kCertificate, certificates[i].cert, path + ".cert");
        add_file(config, reader, FileReference::Kind::kKey, certificates[i].key, path + ".key");
      }
    }
    for (std::size_t i = 0; i < service.proxy->routes.size(); ++i) {
      if (const auto* files = std::get_if<StaticFiles>(&service.proxy->routes[i].action)) {
        add_file(config, reader, FileReference::Kind::kDirectory, files->alias,
                 fmt::format("{}.routes[{}].static.alias", base, i));
      }
    }
  }
}

std::unexpected<ConfigErrors> file_problem(std::string_view file, std::string message) {
  return std::unexpected(ConfigErrors{{std::string(file), 0, 0, "", std::move(message)}});
}

}  // namespace

std::expected<Config, ConfigErrors> load_text(std::string_view yaml, std::string_view filename,
                                              ConfigErrors* warnings) {
  Reader reader{std::string(filename)};
  const auto root = parse_yaml(yaml);
  if (!root) {
    reader.file_error(root.error().mark, root.error().message);
    return std::unexpected(reader.take_errors());
  }
  Config config;
  config.file = filename;
  config_schema().read(reader, *root, config);
  if (root->is_map()) {
    validate_network(config, reader);
    validate_pools(config, reader);
    validate_services(config, reader);
    validate_esp(config, reader);
  }
  if (warnings != nullptr) *warnings = reader.take_warnings();
  if (reader.error_count() > 0) return std::unexpected(reader.take_errors());
  list_files(config, reader);
  return config;
}

std::expected<Config, ConfigErrors> load_file(const std::filesystem::path& file, ConfigErrors* warnings) {
  const std::string name = file.string();
  std::error_code ignored;
  if (std::filesystem::is_directory(file, ignored)) return file_problem(name, "is a directory; a YAML file is needed");
  std::ifstream in(file, std::ios::binary);
  if (!in) return file_problem(name, fmt::format("cannot be opened: {}", std::strerror(errno)));
  std::string text(kMaxFileBytes + 1, '\0');  // one more than allowed: parse_yaml() then says so
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad()) return file_problem(name, fmt::format("cannot be read: {}", std::strerror(errno)));
  text.resize(static_cast<std::size_t>(in.gcount()));
  return load_text(text, name, warnings);
}

std::expected<Config, ConfigErrors> load_whole(const std::filesystem::path& file, ConfigErrors* warnings,
                                               Passes passes) {
  auto loaded = load_file(file, warnings);
  if (!loaded) return loaded;
  ConfigErrors errors;
  if (passes.files) errors = check_files(*loaded);
  if (errors.empty() && passes.keys) errors = read_esp_keys(*loaded);
  if (!errors.empty()) return std::unexpected(std::move(errors));
  return loaded;
}

KeyList keys_in(std::string_view yaml) {
  Reader reader{""};
  const auto root = parse_yaml(yaml);
  if (!root) return {};
  Config config;
  config_schema().read(reader, *root, config);
  return reader.keys();
}

std::string ConfigError::text() const {
  std::string out = file;
  if (line != 0) out += fmt::format(":{}:{}", line, column);
  if (!path.empty()) out += ": " + path;
  return out + ": " + message;
}

std::string text(const ConfigErrors& errors) {
  std::string out;
  for (const ConfigError& error : errors) out += error.text() + "\n";
  return out;
}

}  // namespace sluice::config
