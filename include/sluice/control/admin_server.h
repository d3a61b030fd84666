// The admin API: HTTP with JSON answers on a UNIX socket, for sluicectl, curl --unix-socket and scripts.
// Threading: serves from threads of its own, two requests at a time at most; the handlers given to it run there.
// Ownership: owns the socket file: made at start (mode 0660), removed on stop.
// Errors:    start() says why the socket cannot be had. A socket file that no process answers on is replaced; one that
// is in use
//            is an error.
#pragma once

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

class AdminServer {
 public:
  AdminServer();
  ~AdminServer();  // stops
  AdminServer(const AdminServer&) = delete;
  AdminServer& operator=(const AdminServer&) = delete;

  void get(const std::string& path, AdminHandler handler);  // before start()
  [[nodiscard]] Result<void> start(const std::string& socket_path);
  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::control
