// The HTTP server under the admin API, with bounds that httplib does not have: a time for each connection, not only for
// each read, a size for each request, and a number of connections that wait.
// Threading: httplib's: one thread accepts, `threads` serve.
// Limits:    AdminLimits. A connection beyond `waiting` is closed at once, one that is slow when its time is over.
#pragma once

#include <httplib.h>

#include "sluice/control/admin_server.h"

namespace sluice::control {

class AdminHttp final : public httplib::Server {
 public:
  explicit AdminHttp(const AdminLimits& limits);

 private:
  bool process_and_close_socket(socket_t sock) override;

  const AdminLimits limits_;
};

}  // namespace sluice::control
