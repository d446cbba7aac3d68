// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "chunk/source.h"
#include "http/client.h"
#include "oci/manifest.h"
#include "oci/reference.h"
#include "registry/challenge.h"
#include "registry/credentials.h"
#include "registry/policy.h"
#include "util/metrics.h"
#include "util/sync.h"
#include "util/timers.h"
#include "util/workers.h"

namespace swarmfs::registry {

class Conversation;

/// How one registry is reached.
struct HostOptions {
  std::vector<std::string> mirrors;  ///< hosts, tried in order before the registry itself
  std::optional<bool> plain_http;    ///< unset: on loopback where there is no ca_file
  http::Tls tls;
  std::string username;
  std::string password;
  unsigned max_connections = 8;          ///< for bulk; faults may use more
  unsigned max_requests_per_second = 0;  ///< 0: no limit
};

struct RegistryOptions {
  std::map<std::string, HostOptions> hosts;
  std::vector<std::filesystem::path> credential_files;
};

struct FetchedManifest {
  util::Digest digest;
  util::Bytes bytes;
};

/// One GET below /v2/<repository>/, in the caller's words.
struct GetOrder {
  std::string registry;
  std::string repository;
  std::string path;  ///< "manifests/v1", "blobs/sha256:…"
  std::string accept;
  std::optional<util::ByteRange> range;  ///< absent: the whole body is collected
  chunk::Class cls = chunk::Class::pull;
  util::SteadyTime deadline = util::SteadyTime::max();
  chunk::Source::OnData on_data;  ///< of a range: its bytes in order, each once
  std::function<void(util::Outcome<http::Response>)> on_done;
  /// As nobody in particular: no credential and no client certificate of ours is used, only a token
  /// that the registry gives to anybody; mirrors (which may have credentials of their own) are not
  /// asked.
  bool anonymous = false;
};

/// Talks to registries: mirrors, authentication, redirects, retries with back-off, circuit breaker,
/// limits. Any thread. Callbacks run on curl's loop thread or the timer's. Must outlive its GETs.
class RegistryClient {
 public:
  RegistryClient(http::Client& http, RegistryOptions options, util::Timers& timers,
                 util::Metrics& metrics);
  ~RegistryClient();

  /// Blocking. Checked against the reference's digest, else against Docker-Content-Digest.
  /// `anonymous`: see GetOrder; Fault::denied or not_found when nobody in particular may have it.
  util::Outcome<FetchedManifest> manifest(const oci::Reference& reference,
                                          util::SteadyTime deadline, bool anonymous = false);
  /// Blocking; small blobs (configs). Checked by digest and size.
  util::Outcome<util::Bytes> blob(const oci::Reference& reference,
                                  const oci::Descriptor& descriptor, util::SteadyTime deadline);
  [[nodiscard]] std::unique_ptr<chunk::Transfer> get(GetOrder order);
  /// Whether what the registry gives us of the repository it may give us for who we are: there is a
  /// credential, a client certificate or a helper that might know one, or a token that one of them
  /// brought is still held. Reads the credential files; asks no helper and no network.
  [[nodiscard]] bool has_credentials(const oci::Reference& reference);
  /// New credentials and hosts for the requests to come; forgets tokens.
  void reload(RegistryOptions options);

 private:
  friend class Conversation;
  struct Endpoint {
    std::string host;
    std::string base;  ///< "https://registry-1.docker.io/v2/"
    HostOptions options;
  };
  struct Token {
    std::string header;
    util::SteadyTime expires;
    bool from_credentials = false;
  };
  /// Whom a request is for.
  struct Asker {
    std::string registry;
    std::string repository;
    bool anonymous = false;
  };
  struct TokenKey {
    std::string url;  ///< of the repository
    bool anonymous = false;
    auto operator<=>(const TokenKey&) const = default;
  };
  struct HostState {
    CircuitBreaker breaker;
    RequestPacer pacer;
    unsigned bulk_active = 0;
    std::deque<std::weak_ptr<Conversation>> bulk_waiting;
  };

  [[nodiscard]] std::vector<Endpoint> endpoints(const std::string& registry, bool anonymous);
  [[nodiscard]] static TokenKey key(const Endpoint& endpoint, const Asker& asker);
  [[nodiscard]] std::string authorization(const Endpoint& endpoint, const Asker& asker);
  /// Blocking, on auth_. `used`: the header that was refused.
  util::Outcome<util::Done> authenticate(const Endpoint& endpoint, const Asker& asker,
                                         const Challenge& challenge, const std::string& used);
  util::Outcome<Token> password_header(const Endpoint& endpoint, const Asker& asker,
                                       const std::optional<Credential>& credential,
                                       const std::string& used);
  util::Outcome<Token> fetch_token(const Endpoint& endpoint, const std::string& repository,
                                   const Challenge& challenge,
                                   const std::optional<Credential>& credential);
  [[nodiscard]] std::optional<Credential> configured_credential(const std::string& registry);
  std::optional<Credential> credential_for(const std::string& registry,
                                           const std::string& repository);
  bool enter(const std::string& host, unsigned limit, const std::shared_ptr<Conversation>& who);
  void leave(const std::string& host);
  void count(const std::string& registry, const std::string& status);
  void succeeded(const std::string& host);
  void failed(const std::string& host, util::SteadyTime now);
  /// Where the blob was redirected before; empty: nowhere.
  std::string known_redirect(const std::string& url);
  void remember_redirect(const std::string& url, const std::string& target);
  void forget_redirect(const std::string& url);
  util::Outcome<http::Response> collect(GetOrder order);

  http::Client& http_;
  util::Timers& timers_;
  util::Metrics& metrics_;
  util::Metrics::Counter& mismatches_;
  util::Sync<RegistryOptions> options_;
  util::Sync<std::map<TokenKey, Token>> tokens_;
  util::Sync<std::map<std::string, HostState>> hosts_;
  util::Sync<std::map<std::string, std::string>> redirects_;  ///< blob URL → where it was sent
  util::Workers auth_{1};  ///< token services and helpers are asked one at a time
};

}  // namespace swarmfs::registry
