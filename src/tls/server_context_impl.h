// The inside of a ServerContext: one SSL_CTX for all names of a service. A certificate that is not the default is set on the
// connection (a few pointers and reference counts); an SSL_CTX for each name would take tens of kilobytes and fetch every
// algorithm again.
// Threading: see server_context.h.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "certificates.h"
#include "library_impl.h"
#include "openssl_ptr.h"
#include "sluice/tls/server_context.h"

namespace sluice::tls {

struct ServerContext::Impl {
  Impl(Library::Impl& shared, CertificateStore store) : library(shared), certificates(std::move(store)) {}

  Library::Impl& library;
  CertificateStore certificates;
  std::vector<CertificateInfo> info;
  std::string alpn;  // length-prefixed names, as on the wire
  std::shared_ptr<TicketKeys> ticket_keys;
  SslCtxPtr context;  // holds a pointer to this Impl for its callbacks
};

}  // namespace sluice::tls
