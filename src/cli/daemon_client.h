// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "http/client.h"
#include "util/error.h"

namespace swarmfs::cli {

/// The daemon refused a call, or is not there. The message names the way out.
class CallFailed : public util::Error {
 public:
  using util::Error::Error;
};

/// The control API (packaging/control-api.md) from the client's side. One thread.
class DaemonClient {
 public:
  explicit DaemonClient(std::string socket) : socket_(std::move(socket)) {}

  /// Throws CallFailed. `body` null: none is sent.
  nlohmann::json call(const std::string& method, const std::string& path,
                      const nlohmann::json& body = nullptr);
  /// Follows a job until it ends, reporting each state; returns the last one, also of a failure.
  nlohmann::json follow(const std::string& job,
                        const std::function<void(const nlohmann::json&)>& on_state);

 private:
  std::string socket_;
  http::Client http_{1};
};

/// For a query string.
std::string percent_encoded(std::string_view text);

}  // namespace swarmfs::cli
