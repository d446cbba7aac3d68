// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

// RegistryClient: requests in the name of others.

#include "http/url.h"
#include "registry/registry_client.h"

namespace swarmfs::registry {

using util::Failure;
using util::Fault;
using util::Outcome;

namespace {

constexpr int kRelayRedirects = 3;
constexpr std::chrono::milliseconds kShortestRelay{100};

void drop_authorization(http::Headers& headers) {
  std::erase_if(headers, [](const auto& header) {
    return http::find_header({header}, "Authorization").has_value();
  });
}

}  // namespace

Outcome<http::Response> RegistryClient::relay(const chunk::Origin& origin,
                                              const std::string& method, const std::string& path,
                                              http::Headers headers, util::SteadyTime deadline) {
  const auto endpoint = endpoints(origin, true).back();
  if (admission_.closed_for(endpoint.host, false, std::chrono::steady_clock::now()).count() > 0)
    return Failure{Fault::unavailable, endpoint.host + " fails or limits us; not asked for now"};
  http::Request request;
  request.method = method;
  request.url = endpoint.url + path;
  request.headers = std::move(headers);
  request.tls = endpoint.options.tls;
  for (int turn = 0;; ++turn) {
    request.total_timeout =
        std::max(kShortestRelay, std::chrono::duration_cast<std::chrono::milliseconds>(
                                     deadline - std::chrono::steady_clock::now()));
    auto answer = http_.perform(request);
    count(endpoint.registry, answer ? std::to_string(answer->status) : "error");
    if (!answer) {
      admission_.failed(endpoint.host, std::chrono::steady_clock::now());
      return answer;
    }
    if (turn == 0) admission_.succeeded(endpoint.host);
    const bool redirects = answer->status / 100 == 3 && answer->header("Location");
    if (!redirects || turn == kRelayRedirects) return answer;
    const auto base = http::Url::parse(request.url);
    const auto target = base ? http::resolve(*base, *answer->header("Location")) : std::nullopt;
    if (!target || (base->scheme == "https" && target->scheme == "http")) return answer;
    request.url = target->to_string();
    if (!endpoint.same_origin(request.url)) drop_authorization(request.headers);
  }
}

}  // namespace swarmfs::registry
