// The admin API: HTTP with JSON answers on a UNIX socket, for sluicectl, curl --unix-socket and scripts.
// Threading: serves from threads of its own, AdminLimits::threads requests at a time at most; the handlers run there.
// Ownership: owns the socket file: made at start (mode 0660), removed on stop.
// Errors:    start() says why the socket cannot be had. A socket file that no process answers on is replaced; one that
//            is in use is an error.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "sluice/base/result.h"

namespace sluice::control {

// The parameters of a request: ?service=web&limit=10
using AdminQuery = std::multimap<std::string, std::string>;
// An answer, or an Error that becomes a 400 with {"error": "..."}.
using AdminHandler = std::function<Result<nlohmann::json>(const AdminQuery&)>;

struct AdminLimits {
  std::size_t threads = 4;   // requests at a time: a slow one does not shut out the next
  std::size_t waiting = 16;  // connections beyond those; one more is closed
  // What a client has to send its request, and again to take the answer.
  std::chrono::milliseconds patience = std::chrono::seconds(2);
};

class AdminServer {
 public:
  explicit AdminServer(const AdminLimits& limits = {});
  ~AdminServer();  // stops
  AdminServer(const AdminServer&) = delete;
  AdminServer& operator=(const AdminServer&) = delete;

  // Before start(). post(): for what changes something; its parameters are a form.
  void get(const std::string& path, AdminHandler handler);
  void post(const std::string& path, AdminHandler handler);
  [[nodiscard]] Result<void> start(const std::string& socket_path);
  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::control
