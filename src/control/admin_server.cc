#include "sluice/control/admin_server.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <thread>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "admin_http.h"

namespace sluice::control {
namespace {

constexpr std::size_t kMaxBody = 64 << 10;

sockaddr_un address_of(const std::string& path) noexcept {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

// Whether a process accepts connections on that socket file.
bool is_answered(const std::string& path) noexcept {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const sockaddr_un address = address_of(path);
  const bool answered = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  ::close(fd);
  return answered;
}

Result<void> make_way(const std::string& path) {
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    return fail(fmt::format("admin socket {}: a UNIX socket's path has at most {} characters", path,
                            sizeof(sockaddr_un::sun_path) - 1));
  }
  std::error_code error;
  const auto parent = std::filesystem::path(path).parent_path();
  if (!parent.empty()) std::filesystem::create_directories(parent, error);
  if (error) return fail(fmt::format("admin socket {}: cannot make {}: {}", path, parent.string(), error.message()));
  const auto status = std::filesystem::symlink_status(path, error);
  if (status.type() == std::filesystem::file_type::not_found) return {};
  if (status.type() != std::filesystem::file_type::socket) {
    return fail(fmt::format("admin socket {}: a file that is not a socket stands there", path));
  }
  if (is_answered(path)) return fail(fmt::format("admin socket {}: another process answers there", path));
  std::filesystem::remove(path, error);
  if (error) return fail(fmt::format("admin socket {}: cannot replace the stale socket: {}", path, error.message()));
  return {};
}

httplib::Server::Handler answering(AdminHandler handler) {
  return [handler = std::move(handler)](const httplib::Request& request, httplib::Response& response) {
    const Result<nlohmann::json> answer = handler(AdminQuery(request.params.begin(), request.params.end()));
    if (!answer) response.status = 400;
    const nlohmann::json body = answer ? *answer : nlohmann::json{{"error", answer.error().message}};
    // A name in the configuration may hold any bytes: what is not UTF-8 is shown replaced rather than refused.
    response.set_content(body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace), "application/json");
  };
}

}  // namespace

struct AdminServer::Impl {
  explicit Impl(const AdminLimits& limits) : server(limits) {}

  AdminHttp server;
  std::thread thread;
  std::string path;
};

AdminServer::AdminServer(const AdminLimits& limits) : impl_(std::make_unique<Impl>(limits)) {
  httplib::Server& server = impl_->server;
  server.set_address_family(AF_UNIX);
  server.set_payload_max_length(kMaxBody);
  // httplib makes as many copies of an answer as a request asks for ranges of it.
  server.set_pre_routing_handler([](const httplib::Request& request, httplib::Response& response) {
    if (!request.has_header("Range")) return httplib::Server::HandlerResponse::Unhandled;
    response.status = 400;
    const nlohmann::json body = {{"error", "Range is not supported"}};
    response.set_content(body.dump(), "application/json");
    return httplib::Server::HandlerResponse::Handled;
  });
  server.set_error_handler([](const httplib::Request& request, httplib::Response& response) {
    if (!response.body.empty()) return;
    const nlohmann::json body = {{"error", fmt::format("nothing is served at {}", request.path)}};
    response.set_content(body.dump(), "application/json");
  });
}

AdminServer::~AdminServer() { stop(); }

void AdminServer::get(const std::string& path, AdminHandler handler) {
  impl_->server.Get(path, answering(std::move(handler)));
}

void AdminServer::post(const std::string& path, AdminHandler handler) {
  impl_->server.Post(path, answering(std::move(handler)));
}

Result<void> AdminServer::start(const std::string& socket_path) {
  if (auto ready = make_way(socket_path); !ready) return ready;
  // httplib binds inside: nobody but owner and group may connect, from the first moment on.
  const mode_t old_mask = ::umask(0117);
  const bool bound = impl_->server.bind_to_port(socket_path, 80);
  const int why = errno;
  ::umask(old_mask);
  if (!bound) return fail(fmt::format("admin socket {}: {}", socket_path, std::strerror(why)));
  impl_->path = socket_path;
  impl_->thread = std::thread([this] { impl_->server.listen_after_bind(); });
  return {};
}

void AdminServer::stop() {
  if (!impl_->thread.joinable()) return;
  while (!impl_->server.is_running()) std::this_thread::yield();  // stop() before the accept loop began would be lost
  impl_->server.stop();
  impl_->thread.join();
  ::unlink(impl_->path.c_str());
}

}  // namespace sluice::control
