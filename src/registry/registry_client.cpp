// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "registry/registry_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <nlohmann/json.hpp>

#include "http/url.h"
#include "registry/conversation.h"
#include "util/file.h"
#include "util/log.h"

namespace swarmfs::registry {

using util::Failure;
using util::Fault;
using util::Outcome;

namespace {

std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) ||
        std::string_view("-._~").find(c) != std::string_view::npos)
      out += c;
    else
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

class RegistryTransfer final : public chunk::Transfer {
 public:
  explicit RegistryTransfer(std::shared_ptr<Conversation> talk) : talk_(std::move(talk)) {}
  ~RegistryTransfer() override { talk_->stop(); }
  void pause() override { talk_->pause(); }
  void resume() override { talk_->resume(); }
  std::string supplier() const override { return "registry"; }

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
}

std::vector<RegistryClient::Endpoint> RegistryClient::endpoints(const std::string& registry,
                                                                bool anonymous) {
  std::vector<Endpoint> found;
  auto options = options_.lock();
  const auto add = [&](const std::string& host) {
    const auto known = options->hosts.find(host);
    Endpoint made{host, "", known == options->hosts.end() ? HostOptions{} : known->second};
    const bool plain = made.options.plain_http.value_or(http::is_loopback(host) &&
                                                        made.options.tls.ca_file.empty());
    made.base = (plain ? "http://" : "https://") +
                (host == "docker.io" ? "registry-1.docker.io" : host) + "/v2/";
    if (anonymous) made.options.tls.cert_file = made.options.tls.key_file = "";
    found.push_back(std::move(made));
  };
  if (const auto known = options->hosts.find(registry); known != options->hosts.end() && !anonymous)
    for (const auto& mirror : known->second.mirrors) add(mirror);
  add(registry);
  return found;
}

RegistryClient::TokenKey RegistryClient::key(const Endpoint& endpoint, const Asker& asker) {
  return {endpoint.base + asker.repository, asker.anonymous};
}

std::string RegistryClient::authorization(const Endpoint& endpoint, const Asker& asker) {
  auto tokens = tokens_.lock();
  const auto found = tokens->find(key(endpoint, asker));
  if (found == tokens->end() || found->second.expires <= std::chrono::steady_clock::now())
    return "";
  return found->second.header;
}

std::optional<Credential> RegistryClient::configured_credential(const std::string& registry) {
  auto options = options_.lock();
  const auto host = options->hosts.find(registry);
  if (host == options->hosts.end() || host->second.username.empty()) return std::nullopt;
  return Credential{host->second.username, host->second.password, false};
}

std::optional<Credential> RegistryClient::credential_for(const std::string& registry,
                                                         const std::string& repository) {
  if (auto configured = configured_credential(registry)) return configured;
  const auto files = options_.lock()->credential_files;
  for (const auto& file : files) {
    const auto text = util::read_text(file);
    if (!text) continue;
    if (auto found = find_credential(*text, registry, repository)) return found;
    if (const auto helper = helper_for(*text, registry); !helper.empty())
      if (auto found = ask_helper(helper, registry)) return found;
  }
  return std::nullopt;
}

bool RegistryClient::has_credentials(const oci::Reference& reference) {
  const Asker ourselves{reference.registry, reference.repository};
  for (const auto& endpoint : endpoints(reference.registry, false)) {
    if (!endpoint.options.tls.cert_file.empty()) return true;
    auto tokens = tokens_.lock();
    const auto held = tokens->find(key(endpoint, ourselves));
    if (held != tokens->end() && held->second.from_credentials) return true;
  }
  if (configured_credential(reference.registry)) return true;
  const auto files = options_.lock()->credential_files;
  return std::any_of(files.begin(), files.end(), [&](const std::filesystem::path& file) {
    const auto text = util::read_text(file);
    return text && (find_credential(*text, reference.registry, reference.repository) ||
                    !helper_for(*text, reference.registry).empty());
  });
}

Outcome<util::Done> RegistryClient::authenticate(const Endpoint& endpoint, const Asker& asker,
                                                 const Challenge& challenge,
                                                 const std::string& used) {
  try {
    // Somebody before us in the queue may have got a fresh one.
    if (const auto current = authorization(endpoint, asker); !current.empty() && current != used)
      return util::Done{};
    const auto credential =
        asker.anonymous ? std::nullopt : credential_for(asker.registry, asker.repository);
    auto token = challenge.bearer ? fetch_token(endpoint, asker.repository, challenge, credential)
                                  : password_header(endpoint, asker, credential, used);
    if (!token) return token.failure();
    token->from_credentials = credential.has_value();
    (*tokens_.lock())[key(endpoint, asker)] = std::move(*token);
    return util::Done{};
  } catch (const std::exception& error) {
    return Failure{Fault::denied, std::string("while authenticating: ") + error.what()};
  }
}

Outcome<RegistryClient::Token> RegistryClient::password_header(
    const Endpoint& endpoint, const Asker& asker, const std::optional<Credential>& credential,
    const std::string& used) {
  if (!credential)
    return Failure{Fault::denied,
                   asker.registry + " wants a password for " + asker.repository +
                       ": log in with docker or podman, or set username and password_file"};
  const bool private_line = endpoint.base.starts_with("https:") ||
                            http::is_loopback(endpoint.host) ||
                            endpoint.options.plain_http.value_or(false);
  if (!private_line)
    return Failure{Fault::denied, "no password is sent to " + endpoint.host + " in plain text"};
  const std::string header =
      "Basic " + util::to_base64(credential->username + ":" + credential->secret);
  if (header == used)
    return Failure{Fault::denied, asker.registry + " refuses the password of " +
                                      credential->username + " for " + asker.repository};
  return Token{header, util::SteadyTime::max()};
}

Outcome<RegistryClient::Token> RegistryClient::fetch_token(
    const Endpoint& endpoint, const std::string& repository, const Challenge& challenge,
    const std::optional<Credential>& credential) {
  const auto realm = http::Url::parse(challenge.realm);
  if (!realm) return Failure{Fault::denied, endpoint.host + " names no token service"};
  const bool plain_ok =
      endpoint.options.plain_http.value_or(false) || http::is_loopback(realm->host);
  if (realm->scheme == "http" && credential && !plain_ok)
    return Failure{Fault::denied, "no password is sent to " + realm->host + " in plain text"};
  const std::string scope =
      challenge.scope.empty() ? "repository:" + repository + ":pull" : challenge.scope;
  http::Request request;
  request.tls = endpoint.options.tls;
  request.total_timeout = std::chrono::seconds(20);
  const std::string query = "service=" + escape(challenge.service) + "&scope=" + escape(scope);
  request.url = challenge.realm;
  if (credential && credential->identity_token) {
    request.method = "POST";
    request.body = query + "&grant_type=refresh_token&client_id=swarmfs&refresh_token=" +
                   escape(credential->secret);
    request.headers.emplace_back("Content-Type", "application/x-www-form-urlencoded");
  } else {
    request.url += (challenge.realm.find('?') == std::string::npos ? "?" : "&") + query;
    if (credential)
      request.headers.emplace_back(
          "Authorization",
          "Basic " + util::to_base64(credential->username + ":" + credential->secret));
  }
  const auto answer = http_.perform(std::move(request));
  if (!answer) return answer.failure();
  if (answer->status != 200) {
    const bool later = answer->status == 429 || answer->status >= 500;
    return Failure{
        later ? Fault::unavailable : Fault::denied,
        fmt::format("{} gives no token for {} ({})", realm->host, repository, answer->status)};
  }
  const auto body = nlohmann::json::parse(answer->body, nullptr, false);
  std::string token;
  int64_t lifetime = 60;
  if (body.is_object())
    for (const char* key : {"token", "access_token"})
      if (body.contains(key) && body[key].is_string() && token.empty())
        token = body[key].get<std::string>();
  if (body.is_object() && body.contains("expires_in") && body["expires_in"].is_number_integer())
    lifetime = body["expires_in"].get<int64_t>();
  if (token.empty() || token.find_first_of("\r\n") != std::string::npos)
    return Failure{Fault::denied, realm->host + " sends no token"};
  lifetime = std::clamp<int64_t>(lifetime, 10, 86'400);
  return Token{"Bearer " + token,
               std::chrono::steady_clock::now() + std::chrono::seconds(lifetime - lifetime / 5)};
}

bool RegistryClient::enter(const std::string& host, unsigned limit,
                           const std::shared_ptr<Conversation>& who) {
  auto hosts = hosts_.lock();
  auto& state = (*hosts)[host];
  if (state.bulk_active < limit) {
    ++state.bulk_active;
    return true;
  }
  state.bulk_waiting.push_back(who);
  return false;
}

void RegistryClient::leave(const std::string& host) {
  std::shared_ptr<Conversation> next;
  {
    auto hosts = hosts_.lock();
    auto& state = (*hosts)[host];
    while (!next && !state.bulk_waiting.empty()) {
      next = state.bulk_waiting.front().lock();
      state.bulk_waiting.pop_front();
    }
    if (!next && state.bulk_active > 0) --state.bulk_active;
  }
  if (next) next->admitted();
}

void RegistryClient::succeeded(const std::string& host) {
  (*hosts_.lock())[host].breaker.succeeded();
}
void RegistryClient::failed(const std::string& host, util::SteadyTime now) {
  (*hosts_.lock())[host].breaker.failed(now);
}

std::string RegistryClient::known_redirect(const std::string& url) {
  auto redirects = redirects_.lock();
  const auto found = redirects->find(url);
  return found == redirects->end() ? "" : found->second;
}
void RegistryClient::remember_redirect(const std::string& url, const std::string& target) {
  (*redirects_.lock())[url] = target;
}
void RegistryClient::forget_redirect(const std::string& url) {
  redirects_.lock()->erase(url);
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
                                                  util::SteadyTime deadline, bool anonymous) {
  GetOrder order;
  order.registry = reference.registry;
  order.repository = reference.repository;
  order.path = "manifests/" + reference.target();
  order.accept = oci::accept_header();
  order.deadline = deadline;
  order.anonymous = anonymous;
  auto answer = collect(std::move(order));
  if (!answer) return answer.failure();
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
  order.registry = reference.registry;
  order.repository = reference.repository;
  order.path = "blobs/" + descriptor.digest.to_string();
  order.deadline = deadline;
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
