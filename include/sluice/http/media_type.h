// Media type of a file by the extension of its name.
// Threading: a constant table.
#pragma once

#include <string_view>

namespace sluice::http {

// "application/octet-stream" for an unknown one. Text types carry no charset: the file's bytes are not known.
[[nodiscard]] std::string_view media_type(std::string_view path) noexcept;

}  // namespace sluice::http
