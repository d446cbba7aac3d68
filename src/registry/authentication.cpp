// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

// RegistryClient: who we are to a registry, and how it is told.

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "http/url.h"
#include "registry/registry_client.h"
#include "util/file.h"

namespace swarmfs::registry {

using util::Failure;
using util::Fault;
using util::Outcome;

namespace {

constexpr std::chrono::milliseconds kTokenTimeout{10'000};
constexpr size_t kMostLent = 1024;  // repositories
constexpr size_t kMostLenders = 4;  // of each: one may come with what has run out

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

std::chrono::milliseconds time_left(util::SteadyTime deadline) {
  return std::clamp(std::chrono::duration_cast<std::chrono::milliseconds>(
                        deadline - std::chrono::steady_clock::now()),
                    std::chrono::milliseconds(100), kTokenTimeout);
}

}  // namespace

RegistryClient::TokenKey RegistryClient::key(const Endpoint& endpoint) {
  return {endpoint.url, endpoint.anonymous};
}

std::string RegistryClient::authorization(const Endpoint& endpoint, bool borrows) {
  std::string ours;
  {
    auto tokens = tokens_.lock();
    const auto found = tokens->find(key(endpoint));
    if (found != tokens->end() && found->second.expires > std::chrono::steady_clock::now()) {
      ours = found->second.header;
      borrows = borrows && !found->second.from_credentials;
    }
  }
  const auto theirs = borrows ? borrowed(endpoint) : std::string();
  return theirs.empty() ? ours : theirs;
}

void RegistryClient::lend(const chunk::Origin& origin, const std::string& authorization) {
  const auto url = endpoints(origin, true).back().url;
  const auto now = std::chrono::steady_clock::now();
  auto all = lent_.lock();
  for (auto& [repository, headers] : *all)
    std::erase_if(headers, [&](const Lent& one) {
      return one.until <= now || (repository == url && one.header == authorization);
    });
  std::erase_if(*all, [](const auto& one) { return one.second.empty(); });
  if (all->size() >= kMostLent) all->clear();
  auto& headers = (*all)[url];
  headers.push_front({authorization, now + kLent});
  if (headers.size() > kMostLenders) headers.pop_back();
}

std::string RegistryClient::borrowed(const Endpoint& endpoint) {
  if (endpoint.anonymous || endpoint.is_mirror) return "";
  auto all = lent_.lock();
  const auto found = all->find(endpoint.url);
  if (found == all->end()) return "";
  for (const auto& one : found->second)
    if (one.until > std::chrono::steady_clock::now()) return one.header;
  return "";
}

bool RegistryClient::is_lent(const Endpoint& endpoint, const std::string& header) {
  auto all = lent_.lock();
  const auto found = all->find(endpoint.url);
  return found != all->end() &&
         std::ranges::any_of(found->second, [&](const Lent& one) { return one.header == header; });
}

void RegistryClient::take_back(const Endpoint& endpoint, const std::string& header) {
  {
    auto all = lent_.lock();
    const auto found = all->find(endpoint.url);
    if (found == all->end()) return;
    if (std::erase_if(found->second, [&](const Lent& one) { return one.header == header; }) == 0)
      return;
  }
  std::erase_if(*redirects_.lock(), [&](const auto& one) {
    return one.first.starts_with(endpoint.url) && one.first.ends_with(kLentWay);
  });
}

std::optional<Credential> RegistryClient::configured_credential(const std::string& host) {
  auto options = options_.lock();
  const auto found = options->hosts.find(host);
  if (found == options->hosts.end() || found->second.username.empty()) return std::nullopt;
  return Credential{found->second.username, found->second.password, false};
}

std::optional<Credential> RegistryClient::credential_for(const Endpoint& endpoint) {
  if (auto configured = configured_credential(endpoint.host)) return configured;
  const auto files = options_.lock()->credential_files;
  for (const auto& file : files) {
    const auto text = util::read_text(file);
    if (!text) continue;
    if (auto found = find_credential(*text, endpoint.host, endpoint.name)) return found;
    if (const auto helper = helper_for(*text, endpoint.host); !helper.empty())
      if (auto found = ask_helper(helper, endpoint.host)) return found;
  }
  return std::nullopt;
}

bool RegistryClient::may_have_credentials(const Endpoint& endpoint) {
  if (!endpoint.options.tls.cert_file.empty() || configured_credential(endpoint.host)) return true;
  {
    auto tokens = tokens_.lock();
    const auto held = tokens->find(key(endpoint));
    if (held != tokens->end() && held->second.from_credentials) return true;
  }
  const auto files = options_.lock()->credential_files;
  return std::any_of(files.begin(), files.end(), [&](const std::filesystem::path& file) {
    const auto text = util::read_text(file);
    return text && (find_credential(*text, endpoint.host, endpoint.name) ||
                    !helper_for(*text, endpoint.host).empty());
  });
}

bool RegistryClient::has_credentials(const oci::Reference& reference) {
  const auto asked = endpoints({reference.registry, reference.repository}, false);
  return std::any_of(asked.begin(), asked.end(),
                     [&](const Endpoint& endpoint) { return may_have_credentials(endpoint); });
}

Outcome<util::Done> RegistryClient::authenticate(const Endpoint& endpoint, bool borrows,
                                                 std::optional<Challenge> challenge,
                                                 const std::string& used,
                                                 util::SteadyTime deadline) {
  try {
    take_back(endpoint, used);
    // Somebody before us in the queue may have got a fresh one.
    if (const auto current = authorization(endpoint, borrows); !current.empty() && current != used)
      return util::Done{};
    if (!challenge) {
      auto asked = ask_for_challenge(endpoint, deadline);
      if (!asked) return asked.failure();
      challenge = std::move(*asked);
    }
    const auto credential = endpoint.anonymous ? std::nullopt : credential_for(endpoint);
    auto token = challenge->bearer ? fetch_token(endpoint, *challenge, credential, deadline)
                                   : password_header(endpoint, credential, used);
    if (!token) return token.failure();
    token->from_credentials = credential.has_value();
    (*tokens_.lock())[key(endpoint)] = std::move(*token);
    return util::Done{};
  } catch (const std::exception& error) {
    return Failure{Fault::denied, std::string("while authenticating: ") + error.what()};
  }
}

Outcome<Challenge> RegistryClient::ask_for_challenge(const Endpoint& endpoint,
                                                     util::SteadyTime deadline) {
  http::Request request;
  request.url = endpoint.version;
  request.tls = endpoint.options.tls;
  request.total_timeout = time_left(deadline);
  const auto answer = http_.perform(std::move(request));
  if (!answer) return answer.failure();
  if (auto challenge = parse_challenge(http::joined_header(answer->headers, "WWW-Authenticate")))
    return *challenge;
  return Failure{Fault::denied, endpoint.host + " does not say who may ask"};
}

Outcome<RegistryClient::Token> RegistryClient::password_header(
    const Endpoint& endpoint, const std::optional<Credential>& credential,
    const std::string& used) {
  if (!credential)
    return Failure{Fault::denied,
                   endpoint.host + " wants a password for " + endpoint.name +
                       ": log in with docker or podman, or set username and password_file"};
  const bool private_line = endpoint.version.starts_with("https:") ||
                            http::is_loopback(endpoint.host) ||
                            endpoint.options.plain_http.value_or(false);
  if (!private_line)
    return Failure{Fault::denied, "no password is sent to " + endpoint.host + " in plain text"};
  const std::string header =
      "Basic " + util::to_base64(credential->username + ":" + credential->secret);
  if (header == used)
    return Failure{Fault::denied, endpoint.host + " refuses the password of " +
                                      credential->username + " for " + endpoint.name};
  return Token{header, util::SteadyTime::max()};
}

Outcome<RegistryClient::Token> RegistryClient::fetch_token(
    const Endpoint& endpoint, const Challenge& challenge,
    const std::optional<Credential>& credential, util::SteadyTime deadline) {
  const auto realm = http::Url::parse(challenge.realm);
  if (!realm) return Failure{Fault::denied, endpoint.host + " names no token service"};
  const bool plain_ok =
      endpoint.options.plain_http.value_or(false) || http::is_loopback(realm->host);
  if (realm->scheme == "http" && credential && !plain_ok)
    return Failure{Fault::denied, "no password is sent to " + realm->host + " in plain text"};
  const std::string scope =
      challenge.scope.empty() ? "repository:" + endpoint.name + ":pull" : challenge.scope;
  http::Request request;
  request.tls = endpoint.options.tls;
  request.total_timeout = time_left(deadline);
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
    const bool later = judge(answer->status, true).action == Verdict::Action::retry;
    const auto wish =
        parse_retry_after(answer->header("Retry-After"), std::chrono::system_clock::now());
    if (later && wish)
      admission_.hold_back(endpoint.host, std::chrono::steady_clock::now() + *wish);
    return Failure{
        later ? Fault::unavailable : Fault::denied,
        fmt::format("{} gives no token for {} ({})", realm->host, endpoint.name, answer->status)};
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

}  // namespace swarmfs::registry
