// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cli/daemon_client.h"

#include <fmt/format.h>

namespace swarmfs::cli {

using nlohmann::json;

json DaemonClient::call(const std::string& method, const std::string& path, const json& body) {
  http::Request request;
  request.method = method;
  request.url = "http://swarmfsd" + path;
  request.unix_socket = socket_;
  request.stall_timeout = std::chrono::seconds(90);
  request.max_body = 64 << 20;
  if (!body.is_null()) {
    request.body = body.dump();
    request.headers.emplace_back("Content-Type", "application/json");
  }
  const auto answer = http_.perform(std::move(request));
  if (!answer)
    throw CallFailed(
        fmt::format("swarmfsd does not answer on {}: {} (is it running? try: "
                    "systemctl status swarmfs, or --socket)",
                    socket_, answer.failure().message));
  const json read = json::parse(answer->body, nullptr, false);
  if (answer->status / 100 == 2 && !read.is_discarded()) return read;
  if (read.is_object() && read.contains("error"))
    throw CallFailed(read["error"].value("message", "refused without a reason"));
  throw CallFailed(
      fmt::format("{} does not speak swarmfs's API (status {})", socket_, answer->status));
}

json DaemonClient::follow(const std::string& job,
                          const std::function<void(const json&)>& on_state) {
  while (true) {
    json state = call("GET", "/v1/jobs/" + job + "?wait_ms=250");
    on_state(state);
    if (state.value("state", "") != "running") return state;
  }
}

std::string percent_encoded(std::string_view text) {
  std::string made;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) || c == '-' || c == '_' || c == '.' || c == '~')
      made += c;
    else
      made += fmt::format("%{:02X}", byte);
  }
  return made;
}

}  // namespace swarmfs::cli
