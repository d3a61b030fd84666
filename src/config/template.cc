#include "sluice/config/template.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "reader.h"

namespace sluice::config {
namespace {

struct Known {
  std::string_view name;
  Variable variable;
};
constexpr std::array<Known, 8> kVariables{{{"client.address", Variable::kClientAddress},
                                           {"client.port", Variable::kClientPort},
                                           {"local.address", Variable::kLocalAddress},
                                           {"local.port", Variable::kLocalPort},
                                           {"request.scheme", Variable::kRequestScheme},
                                           {"request.method", Variable::kRequestMethod},
                                           {"request.host", Variable::kRequestHost},
                                           {"request.target", Variable::kRequestTarget}}};

std::string allowed() {
  std::string out;
  for (const Known& known : kVariables) out += fmt::format("{}${{{}}}", out.empty() ? "" : ", ", known.name);
  return out;
}

}  // namespace

Result<Template> Template::parse(std::string_view text) {
  Template out;
  Part part;
  while (!text.empty()) {
    const std::size_t dollar = std::min(text.find('$'), text.size());
    part.literal += text.substr(0, dollar);
    text.remove_prefix(dollar);
    if (text.empty()) break;
    if (text.starts_with("$$")) {
      part.literal += '$';
      text.remove_prefix(2);
      continue;
    }
    const std::size_t end = text.find('}');
    if (!text.starts_with("${") || end == std::string_view::npos) {
      return fail(fmt::format(
          "'$' is not followed by '{{name}}'; a dollar sign is written '$$', a variable is one of {}", allowed()));
    }
    const std::string_view name = text.substr(2, end - 2);
    const auto* known = std::ranges::find(kVariables, name, &Known::name);
    if (known == kVariables.end()) {
      return fail(fmt::format("{} is not a variable; known: {}", quote(text.substr(0, end + 1)), allowed()));
    }
    part.variable = known->variable;
    out.parts.push_back(std::exchange(part, Part{}));
    text.remove_prefix(end + 1);
  }
  if (!part.literal.empty()) out.parts.push_back(std::move(part));
  return out;
}

std::string Template::text() const {
  std::string out;
  for (const Part& part : parts) {
    for (const char c : part.literal) {
      if (c == '$') out += '$';
      out += c;
    }
    const auto* known = std::ranges::find(kVariables, part.variable, &Known::variable);
    if (known != kVariables.end()) out += fmt::format("${{{}}}", known->name);
  }
  return out;
}

}  // namespace sluice::config
