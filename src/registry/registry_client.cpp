// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "registry/registry_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <future>

#include "registry/conversation.h"
#include "util/log.h"

namespace swarmfs::registry {

using util::Failure;
using util::Fault;
using util::Outcome;

namespace {

/// It may have been one node behind a balancer, or be mended.
constexpr std::chrono::minutes kWholeOnly{10};

constexpr size_t kMostRedirects = 8192;

bool may_be_json_object(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  return first != text.npos && text[first] == '{';
}

class RegistryTransfer final : public chunk::Transfer {
 public:
  explicit RegistryTransfer(std::shared_ptr<Conversation> talk) : talk_(std::move(talk)) {}
  ~RegistryTransfer() override { talk_->stop(); }
  void pause() override { talk_->pause(); }
  void resume() override { talk_->resume(); }
  std::string supplier() const override { return "registry"; }
  bool told_to_wait() const override { return talk_->waits_as_bulk(); }

 private:
  std::shared_ptr<Conversation> talk_;
};

}  // namespace

RegistryClient::RegistryClient(http::Client& http, RegistryOptions options, util::Timers& timers,
                               util::Metrics& metrics)
    : http_(http),
      timers_(timers),
      metrics_(metrics),
      mismatches_(metrics.counter("swarmfs_verification_failures_total",
                                  "Bytes that did not match their digest",
                                  {{"source", "registry"}})),
      options_(std::move(options)) {}

RegistryClient::~RegistryClient() = default;

void RegistryClient::reload(RegistryOptions options) {
  *options_.lock() = std::move(options);
  tokens_.lock()->clear();
  lent_.lock()->clear();
  redirects_.lock()->clear();
  whole_only_.lock()->clear();
}

std::vector<Endpoint> RegistryClient::endpoints(const chunk::Origin& origin, bool anonymous) {
  std::vector<Endpoint> found;
  auto options = options_.lock();
  const auto add = [&](const std::string& place) {
    found.push_back(make_endpoint(place, origin, anonymous, options->hosts));
  };
  const auto known = options->hosts.find(origin.registry);
  if (known != options->hosts.end() && !anonymous)
    for (const auto& mirror : known->second.mirrors) add(mirror);
  add(origin.registry);
  return found;
}

void RegistryClient::ignored_range(const Endpoint& endpoint) {
  const auto until = std::chrono::steady_clock::now() + kWholeOnly;
  auto& known = (*whole_only_.lock())[endpoint.url];
  if (std::exchange(known, until) == util::SteadyTime())
    util::log::warning(
        "registry {} ignores range requests: the layers of {} are not lazy, each is streamed from "
        "its beginning",
        endpoint.host, endpoint.name);
}
bool RegistryClient::ignores_ranges(const Endpoint& endpoint) {
  auto known = whole_only_.lock();
  const auto found = known->find(endpoint.url);
  return found != known->end() && found->second > std::chrono::steady_clock::now();
}
bool RegistryClient::serves_ranges(const std::vector<chunk::Origin>& origins, bool anonymous) {
  if (whole_only_.lock()->empty()) return true;
  for (const auto& origin : origins)
    for (const auto& endpoint : endpoints(origin, anonymous))
      if (!ignores_ranges(endpoint)) return true;
  return origins.empty();
}

std::string RegistryClient::known_redirect(const std::string& url) {
  auto redirects = redirects_.lock();
  const auto found = redirects->find(url);
  return found == redirects->end() ? "" : found->second;
}
void RegistryClient::remember_redirect(const std::string& url, const std::string& target) {
  auto redirects = redirects_.lock();
  if (redirects->size() >= kMostRedirects) redirects->clear();
  (*redirects)[url] = target;
}
void RegistryClient::forget_redirect(const std::string& url, const std::string& target) {
  auto redirects = redirects_.lock();
  const auto found = redirects->find(url);
  if (found != redirects->end() && found->second == target) redirects->erase(found);
}

void RegistryClient::count(const std::string& registry, const std::string& status) {
  metrics_
      .counter("swarmfs_registry_requests_total", "Requests to registries by status",
               {{"registry", registry}, {"status", status}})
      .add();
}

std::unique_ptr<chunk::Transfer> RegistryClient::get(GetOrder order) {
  auto talk = std::make_shared<Conversation>(*this, std::move(order));
  auto transfer = std::make_unique<RegistryTransfer>(talk);
  // Nothing may call back inside get(): the first step runs on the timer's thread.
  talk->start_soon();
  return transfer;
}

Outcome<http::Response> RegistryClient::collect(GetOrder order) {
  std::promise<Outcome<http::Response>> promise;
  order.on_done = [&](Outcome<http::Response> outcome) { promise.set_value(std::move(outcome)); };
  auto future = promise.get_future();
  const auto transfer = get(std::move(order));
  return future.get();
}

Outcome<FetchedManifest> RegistryClient::manifest(const oci::Reference& reference,
                                                  util::SteadyTime deadline, bool anonymous,
                                                  const std::string& authorization) {
  GetOrder order;
  order.origins = {{reference.registry, reference.repository}};
  order.path = "manifests/" + reference.target();
  order.accept = oci::accept_header();
  order.deadline = deadline;
  order.anonymous = anonymous;
  order.authorization = authorization;
  auto answer = collect(std::move(order));
  if (!answer) return answer.failure();
  if (!may_be_json_object(answer->body))
    return Failure{Fault::unavailable, fmt::format("{} answers for {} with something else than a "
                                                   "manifest, as a page to sign in would be",
                                                   reference.registry, reference.to_string())};
  const auto bytes = util::as_bytes(answer->body);
  FetchedManifest made{util::Sha256::of(bytes), {bytes.begin(), bytes.end()}};
  const auto stated = util::Digest::parse(answer->header("Docker-Content-Digest").value_or(""));
  const auto wanted = reference.digest ? reference.digest : stated;
  if (wanted && *wanted != made.digest) {
    mismatches_.add();
    return Failure{Fault::corrupt, fmt::format("{} sent a manifest for {} that is {}, not {}",
                                               reference.registry, reference.to_string(),
                                               made.digest.to_string(), wanted->to_string())};
  }
  return made;
}

Outcome<util::Bytes> RegistryClient::blob(const oci::Reference& reference,
                                          const oci::Descriptor& descriptor,
                                          util::SteadyTime deadline) {
  if (descriptor.size > 8 << 20)
    return Failure{Fault::invalid, "an image configuration of more than 8 MiB"};
  GetOrder order;
  order.origins = {{reference.registry, reference.repository}};
  order.path = "blobs/" + descriptor.digest.to_string();
  order.deadline = deadline;
  order.borrows = true;
  auto answer = collect(std::move(order));
  if (!answer) return answer.failure();
  const auto bytes = util::as_bytes(answer->body);
  if (util::Sha256::of(bytes) != descriptor.digest) {
    mismatches_.add();
    return Failure{Fault::corrupt,
                   reference.registry + " sent other bytes than " + descriptor.digest.to_string()};
  }
  return util::Bytes(bytes.begin(), bytes.end());
}

}  // namespace swarmfs::registry
