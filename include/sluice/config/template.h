// Text with variables, as header values and redirects have it: "https://${request.host}${request.target}".
// The configuration parses it once; the proxy renders it per request by walking the parts.
// Threading: values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/base/result.h"

namespace sluice::config {

enum class Variable : std::uint8_t {
  kNone,           // the part is its literal alone
  kClientAddress,  // ${client.address}  192.0.2.7, 2001:db8::7
  kClientPort,     // ${client.port}
  kLocalAddress,   // ${local.address}   the address of the service that the client connected to
  kLocalPort,      // ${local.port}
  kRequestScheme,  // ${request.scheme}  http | https
  kRequestMethod,  // ${request.method}
  kRequestHost,    // ${request.host}    of the Host header or an absolute target, as sent, with its port
  kRequestTarget,  // ${request.target}  path and query, as sent
};

struct Template {
  struct Part {
    std::string literal;                  // comes first
    Variable variable = Variable::kNone;  // then its value
    bool operator==(const Part&) const = default;
  };
  std::vector<Part> parts;

  [[nodiscard]] static Template literal(std::string text) { return Template{{Part{std::move(text), Variable::kNone}}}; }
  // `$$` is a dollar sign. An unknown variable, or a `${` without its end, is an error that says what is allowed.
  [[nodiscard]] static Result<Template> parse(std::string_view text);
  [[nodiscard]] std::string text() const;  // as it would be written
  [[nodiscard]] bool operator==(const Template&) const = default;
};

}  // namespace sluice::config
