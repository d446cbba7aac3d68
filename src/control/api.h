// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <map>
#include <string>

#include "control/mediator.h"

namespace swarmfs::control {

/// An API request and its answer, apart from the server that carries them.
struct ApiRequest {
  std::string method;
  std::string path;  ///< decoded, without the query
  std::map<std::string, std::string> query;
  std::string body;
};

struct ApiAnswer {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
};

/// The control API (HTTP + JSON on a unix socket), documented in packaging/control-api.md:
///   GET /v1/version /v1/status /v1/mounts?reference=R /v1/layers /v1/peers /v1/jobs/ID?wait_ms=N
///       /v1/explain?target=T
///   POST /v1/mounts /v1/pulls /v1/preheats /v1/evict    GET /metrics
///   PUT /v1/mounts?directory=D    DELETE /v1/mounts?directory=D /v1/jobs/ID
/// The one door where a Failure or an exception becomes an HTTP status. Any thread.
class Api {
 public:
  explicit Api(Mediator& mediator) : mediator_(mediator) {}
  ApiAnswer answer(const ApiRequest& request) noexcept;

 private:
  ApiAnswer route(const ApiRequest& request);
  ApiAnswer mounts(const std::string& reference);
  ApiAnswer mount(const ApiRequest& request);
  ApiAnswer pull(const ApiRequest& request);
  ApiAnswer preheat(const ApiRequest& request);
  ApiAnswer job(const ApiRequest& request);

  Mediator& mediator_;
};

/// The HTTP status that tells of a fault.
int http_status(util::Fault fault) noexcept;

}  // namespace swarmfs::control
