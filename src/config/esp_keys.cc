// Keys of security associations: their text, and those that lie in files.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "esp_key.h"
#include "reader.h"
#include "sluice/config/load.h"

namespace sluice::config {
namespace {

constexpr std::size_t kMaxKeyFile = 4096;

std::optional<std::uint8_t> digit(char c) noexcept {
  if (c >= '0' && c <= '9') return static_cast<std::uint8_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<std::uint8_t>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<std::uint8_t>(c - 'A' + 10);
  return std::nullopt;
}

// What is wrong with the file; nothing: its key was read.
std::optional<std::string> read_key_file(const std::string& file, std::vector<std::uint8_t>& out) {
  std::ifstream in(file, std::ios::binary);
  if (!in) return fmt::format("{}: {}", quote(file), std::strerror(errno));
  std::string text(kMaxKeyFile, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.pop_back();
  auto key = parse_esp_key(text);
  if (!key) return fmt::format("what {} holds is not {}", quote(file), kEspKeyShape);
  out = std::move(*key);
  return std::nullopt;
}

// Every association with its path, in the order of the file.
template <typename Visit>
void for_each_sa(Config& config, Visit visit) {
  for (std::size_t i = 0; i < config.esp.peers.size(); ++i) {
    EspPeer& peer = config.esp.peers[i];
    visit(peer.out, fmt::format("esp.peers[{}].out", i));
    for (std::size_t j = 0; j < peer.in.size(); ++j) visit(peer.in[j], fmt::format("esp.peers[{}].in[{}]", i, j));
  }
}

}  // namespace

std::optional<std::vector<std::uint8_t>> parse_esp_key(std::string_view text) {
  if (!text.starts_with("0x") && !text.starts_with("0X")) return std::nullopt;
  text.remove_prefix(2);
  if (text.size() != 40 && text.size() != 72) return std::nullopt;
  std::vector<std::uint8_t> out;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const auto high = digit(text[i]), low = digit(text[i + 1]);
    if (!high || !low) return std::nullopt;
    out.push_back(static_cast<std::uint8_t>(*high << 4 | *low));
  }
  return out;
}

ConfigErrors read_esp_keys(Config& config) {
  ConfigErrors errors;
  std::map<std::vector<std::uint8_t>, std::string> taken;  // and the association that has it
  for_each_sa(config, [&](const EspSa& sa, const std::string& path) {
    if (sa.key_file.empty()) taken.try_emplace(sa.key, path);
  });
  auto reference = config.files.begin();  // those of `esp` are in the order of the associations
  for_each_sa(config, [&](EspSa& sa, const std::string& path) {
    if (sa.key_file.empty()) return;
    const auto is_ours = [](const FileReference& file) { return file.kind == FileReference::Kind::kEspKey; };
    reference = std::find_if(reference, config.files.end(), is_ours);
    const FileReference& named = *reference++;
    std::optional<std::string> problem = read_key_file(sa.key_file, sa.key);
    if (!problem) {
      const auto [other, fresh] = taken.try_emplace(sa.key, path);
      if (fresh) return;
      problem = fmt::format("{} holds the key of {}; each association needs one of its own", quote(sa.key_file),
                            other->second);
    }
    errors.push_back({config.file, named.mark.line, named.mark.column, named.path, std::move(*problem)});
  });
  return errors;
}

}  // namespace sluice::config
