// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "mirror/problem.h"

#include <nlohmann/json.hpp>

namespace swarmfs::mirror {

http::ServerResponse problem(int status, const std::string& code, const std::string& message) {
  const nlohmann::json body = {{"errors", {{{"code", code}, {"message", message}}}}};
  return {status, "application/json",
          body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n"};
}

std::string header_of(const http::ServerRequest& request, const char* name) {
  return http::find_header(request.headers, name).value_or("");
}

}  // namespace swarmfs::mirror
