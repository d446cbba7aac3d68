// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <filesystem>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "chunk/source.h"
#include "http/client.h"
#include "oci/manifest.h"
#include "oci/reference.h"
#include "registry/admission.h"
#include "registry/auth_queue.h"
#include "registry/challenge.h"
#include "registry/credentials.h"
#include "registry/endpoint.h"
#include "util/metrics.h"
#include "util/sync.h"
#include "util/timers.h"

namespace swarmfs::registry {

class Conversation;

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
  /// Asked in order; who fails for now is asked again after the others.
  std::vector<chunk::Origin> origins;
  std::string path;  ///< "manifests/v1", "blobs/sha256:…"
  std::string accept;
  std::optional<util::ByteRange> range;  ///< absent: the whole body is collected
  /// Of a range from 0 on: no part of the blob is asked for but all of it, and its front is taken.
  bool whole = false;
  chunk::Class cls = chunk::Class::pull;
  util::SteadyTime deadline = util::SteadyTime::max();
  chunk::Source::OnData on_data;  ///< of a range: its bytes in order, each once
  std::function<void(util::Outcome<http::Response>)> on_done;
  /// As nobody in particular: no credential and no client certificate of ours is used, only a token
  /// that the registry gives to anybody; mirrors (which may have credentials of their own) are not
  /// asked.
  bool anonymous = false;
  /// Not empty: this header, and nothing of ours, to the registry itself; `anonymous` is said, too.
  std::string authorization;
  /// Where we have no credential for it, what was lent() serves, too.
  bool borrows = false;
};

/// Talks to registries: mirrors, authentication, redirects, retries with back-off, circuit breaker,
/// limits. Any thread. Callbacks run on curl's loop thread or the timer's. Must outlive its GETs.
class RegistryClient {
 public:
  RegistryClient(http::Client& http, RegistryOptions options, util::Timers& timers,
                 util::Metrics& metrics);
  ~RegistryClient();

  /// Blocking. Checked against the reference's digest, else against Docker-Content-Digest. What is
  /// no JSON object is a portal's word, not the registry's: Fault::unavailable.
  /// `anonymous`, `authorization`: see GetOrder; Fault::denied or not_found when nobody in
  /// particular, or who sends that, may have it.
  util::Outcome<FetchedManifest> manifest(const oci::Reference& reference,
                                          util::SteadyTime deadline, bool anonymous = false,
                                          const std::string& authorization = {});
  /// Blocking; small blobs (configs). Checked by digest and size.
  util::Outcome<util::Bytes> blob(const oci::Reference& reference,
                                  const oci::Descriptor& descriptor, util::SteadyTime deadline);
  [[nodiscard]] std::unique_ptr<chunk::Transfer> get(GetOrder order);
  /// Blocking. One request in the name of somebody else, to the registry itself: no credential,
  /// token or client certificate of ours goes with it. `path`: below the repository's URL. A
  /// redirect is followed, without Authorization to another host. Any status is an answer; none
  /// comes from a host that is not asked for now (Fault::unavailable).
  util::Outcome<http::Response> relay(const chunk::Origin& origin, const std::string& method,
                                      const std::string& path, http::Headers headers,
                                      util::SteadyTime deadline);
  /// Whether what the registry gives us of the repository it may give us for who we are: there is a
  /// credential, a client certificate or a helper that might know one, or a token that one of them
  /// brought is still held. Reads the credential files; asks no helper and no network.
  [[nodiscard]] bool has_credentials(const oci::Reference& reference);
  /// The Authorization header of somebody who may pull from the repository, for what borrows it
  /// from now on: until the registry refuses it, kLent at most. It goes nowhere but to the registry
  /// itself, and is kept in memory alone.
  void lend(const chunk::Origin& origin, const std::string& authorization);
  static constexpr std::chrono::hours kLent{1};
  /// Whether one of the origins may answer a range with just that. Those that gave all of a blob
  /// instead are believed to do so for some minutes. `anonymous`: without mirrors. Cheap; a leaf
  /// lock only.
  [[nodiscard]] bool serves_ranges(const std::vector<chunk::Origin>& origins,
                                   bool anonymous = false);
  /// See Admission.
  void set_fellows(AskFellows fellows) { admission_.set_fellows(std::move(fellows)); }
  [[nodiscard]] std::map<std::string, HostUse> in_use(util::SteadyTime now) const {
    return admission_.in_use(now);
  }
  /// New credentials and hosts for the requests to come; forgets tokens, and what was lent.
  void reload(RegistryOptions options);

 private:
  friend class Conversation;
  struct Token {
    std::string header;
    util::SteadyTime expires;
    bool from_credentials = false;
  };
  struct Lent {
    std::string header;
    util::SteadyTime until;
  };
  struct TokenKey {
    std::string url;  ///< of the repository
    bool anonymous = false;
    auto operator<=>(const TokenKey&) const = default;
  };

  [[nodiscard]] std::vector<Endpoint> endpoints(const chunk::Origin& origin, bool anonymous);
  /// Where a lent credential opened the way, others may not go.
  static constexpr std::string_view kLentWay = " lent";
  // Who we are (authentication.cpp)
  [[nodiscard]] static TokenKey key(const Endpoint& endpoint);
  [[nodiscard]] std::string authorization(const Endpoint& endpoint, bool borrows);
  [[nodiscard]] std::string borrowed(const Endpoint& endpoint);
  [[nodiscard]] bool is_lent(const Endpoint& endpoint, const std::string& header);
  void take_back(const Endpoint& endpoint, const std::string& header);
  /// Blocking, on auth_. `used`: the header that was refused. Without a challenge the host is asked
  /// for one. Fault::unavailable and timed_out: later perhaps.
  util::Outcome<util::Done> authenticate(const Endpoint& endpoint, bool borrows,
                                         std::optional<Challenge> challenge,
                                         const std::string& used, util::SteadyTime deadline);
  util::Outcome<Challenge> ask_for_challenge(const Endpoint& endpoint, util::SteadyTime deadline);
  util::Outcome<Token> password_header(const Endpoint& endpoint,
                                       const std::optional<Credential>& credential,
                                       const std::string& used);
  util::Outcome<Token> fetch_token(const Endpoint& endpoint, const Challenge& challenge,
                                   const std::optional<Credential>& credential,
                                   util::SteadyTime deadline);
  [[nodiscard]] std::optional<Credential> configured_credential(const std::string& host);
  std::optional<Credential> credential_for(const Endpoint& endpoint);
  [[nodiscard]] bool may_have_credentials(const Endpoint& endpoint);

  void count(const std::string& registry, const std::string& status);
  /// It gave all of a blob where a range was asked for.
  void ignored_range(const Endpoint& endpoint);
  [[nodiscard]] bool ignores_ranges(const Endpoint& endpoint);
  /// Where the blob was redirected before; empty: nowhere.
  std::string known_redirect(const std::string& url);
  void remember_redirect(const std::string& url, const std::string& target);
  /// Unless somebody has found another meanwhile.
  void forget_redirect(const std::string& url, const std::string& target);
  util::Outcome<http::Response> collect(GetOrder order);

  http::Client& http_;
  util::Timers& timers_;
  util::Metrics& metrics_;
  util::Metrics::Counter& mismatches_;
  util::Sync<RegistryOptions> options_;
  util::Sync<std::map<TokenKey, Token>> tokens_;
  util::Sync<std::map<std::string, std::list<Lent>>> lent_;  ///< by repository URL; newest first
  util::Sync<std::map<std::string, util::SteadyTime>> whole_only_;  ///< repository URL → until
  util::Sync<std::map<std::string, std::string>> redirects_;  ///< blob URL → where it was sent
  Admission admission_;
  AuthQueue auth_;
};

}  // namespace swarmfs::registry
