// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <span>

#include "cli/daemon_client.h"
#include "cli/node_probe.h"
#include "oci/manifest.h"
#include "oci/reference.h"

namespace swarmfs::cli {

using nlohmann::json;
using util::Failure;
using util::Fault;
using util::Outcome;

namespace {

http::Request question(std::string url, Patience patience) {
  http::Request made;
  made.url = std::move(url);
  made.connect_timeout = patience;
  made.stall_timeout = patience;
  made.total_timeout = patience;
  return made;
}

Answered ask(http::Request request) {
  std::vector<http::Request> requests;
  requests.push_back(std::move(request));
  return std::move(ask_all(std::move(requests)).front());
}

Outcome<int> status_of(const Outcome<http::Response>& answer) {
  if (!answer) return answer.failure();
  return answer->status;
}

Outcome<json> ask_daemon(const std::string& socket, const std::string& path, Patience patience) {
  auto request = question("http://swarmfsd" + path, patience);
  request.unix_socket = socket;
  request.max_body = 64 << 20;
  const auto answer = ask(std::move(request)).response;
  if (!answer) return answer.failure();
  json read = json::parse(answer->body, nullptr, false);
  if (answer->status != 200 || !read.is_object())
    return Failure{
        Fault::invalid,
        fmt::format("what listens there does not speak swarmfs's API (status {})", answer->status)};
  return read;
}

/// How far our clock is ahead of what "Date" says (RFC 9110 section 6.6.1).
std::optional<std::chrono::seconds> ahead_of(const Answered& answer) {
  const auto date = http::parse_date(answer.response->header("Date").value_or(""));
  return date ? std::optional(std::chrono::seconds(answer.at - *date)) : std::nullopt;
}

/// Its own section, where it has one.
RegistrySetting setting_of(const std::string& host,
                           const std::vector<RegistrySetting>& registries) {
  const auto found = std::find_if(registries.begin(), registries.end(),
                                  [&](const auto& one) { return one.host == host; });
  if (found != registries.end()) return *found;
  RegistrySetting made;
  made.host = host;
  return made;
}

std::string host_of(std::string_view place) {
  if (const size_t scheme = place.find("://"); scheme != place.npos)
    place.remove_prefix(scheme + 3);
  return std::string(place.substr(0, place.find('/')));
}

http::Request version_question(const std::string& place,
                               const std::vector<RegistrySetting>& registries, Patience patience) {
  const auto setting = setting_of(host_of(place), registries);
  auto made = question(version_url(place, setting), patience);
  made.tls = setting.tls;
  return made;
}

http::Request tag_question(const std::string& place, const oci::Reference& reference,
                           const std::vector<RegistrySetting>& registries, Patience patience) {
  const auto setting = setting_of(host_of(place), registries);
  auto made = question(
      repository_url(place, setting, reference.repository) + "/manifests/" + reference.target(),
      patience);
  made.tls = setting.tls;
  made.method = "HEAD";
  made.headers.emplace_back("Accept", oci::accept_header());
  return made;
}

/// One answer of the mirror in `facts`; empty: it is not what was asked for.
std::optional<http::Response> step(PullFacts& facts, const std::string& what, http::Request asked) {
  const auto answer = ask(std::move(asked)).response;
  facts.status = answer ? answer->status : 0;
  if (answer && answer->status == 200) return *answer;
  facts.step = what;
  facts.error = answer ? fmt::format("the mirror answers {} {}", answer->status, answer->body)
                       : answer.failure().message;
  return std::nullopt;
}

bool has_digest(PullFacts& facts, const std::string& what, const http::Response& answer,
                const std::optional<util::Digest>& right) {
  if (!right || util::Sha256::of(util::as_bytes(answer.body)) == *right) return true;
  facts.step = what;
  facts.error = "its bytes do not have the digest " + right->to_string();
  return false;
}

/// The mirror's questions about one repository.
class Pull {
 public:
  Pull(const oci::Reference& reference, const std::string& mirror, Patience patience,
       PullFacts& facts)
      : base_("http://" + mirror + "/v2/" + reference.repository),
        ns_("?ns=" + reference.registry),
        patience_(patience),
        facts_(facts) {}

  /// Of an index, once, the one for this machine.
  std::optional<oci::Manifest> manifest(const std::string& target, bool of_an_index = false) {
    auto asked = question(base_ + "/manifests/" + target + ns_, patience_);
    asked.headers.emplace_back("Accept", oci::accept_header());
    const auto answer = step(facts_, "the manifest", std::move(asked));
    if (!answer) return std::nullopt;
    auto right = util::Digest::parse(target);
    if (!right) right = util::Digest::parse(answer->header("Docker-Content-Digest").value_or(""));
    if (!has_digest(facts_, "the manifest", *answer, right)) return std::nullopt;
    const auto parsed = oci::parse_manifest(util::as_bytes(answer->body));
    if (!parsed) return refuse(parsed.failure().message);
    if (const auto* whole = std::get_if<oci::Manifest>(&*parsed)) return *whole;
    const auto* chosen = oci::choose(std::get<oci::Index>(*parsed), oci::Platform::host());
    if (!chosen || of_an_index) return refuse("there is none for this machine");
    return manifest(chosen->digest.to_string(), true);
  }

  void blob(const oci::Descriptor& wanted) {
    auto asked = question(base_ + "/blobs/" + wanted.digest.to_string() + ns_, patience_);
    asked.max_body = wanted.size;
    const auto answer = step(facts_, "a blob", std::move(asked));
    if (!answer || !has_digest(facts_, "a blob", *answer, wanted.digest)) return;
    facts_.blob = wanted.digest.to_string();
    facts_.bytes = answer->body.size();
  }

 private:
  std::nullopt_t refuse(const std::string& why) {
    facts_.step = "the manifest";
    facts_.error = why;
    return std::nullopt;
  }

  const std::string base_;
  const std::string ns_;
  const Patience patience_;
  PullFacts& facts_;
};

/// A layer, since a layer is what swarmfs is for; what is too large for a check is not asked for.
const oci::Descriptor& smallest(const oci::Manifest& manifest) {
  constexpr uint64_t kLargest = 64 << 20;
  const auto found = std::min_element(manifest.layers.begin(), manifest.layers.end(),
                                      [](const auto& a, const auto& b) { return a.size < b.size; });
  return found == manifest.layers.end() || found->size > kLargest ? manifest.config : *found;
}

std::vector<Answered> ask_some(http::Client& client, std::span<http::Request> requests) {
  using Answer = Outcome<http::Response>;
  std::vector<std::promise<Answered>> promises(requests.size());
  std::vector<std::unique_ptr<http::Exchange>> exchanges;
  for (size_t i = 0; i < requests.size(); ++i)
    exchanges.push_back(client.start(
        std::move(requests[i]),
        {.on_headers = {}, .on_data = {}, .on_done = [&promise = promises[i]](Answer answer) {
           promise.set_value({std::move(answer), std::time(nullptr)});
         }}));
  std::vector<Answered> answers;
  for (auto& promise : promises) answers.push_back(promise.get_future().get());
  return answers;
}

}  // namespace

std::vector<Answered> ask_all(std::vector<http::Request> requests) {
  constexpr size_t kAtOnce = 128;  // far from the usual limit of open files
  std::vector<Answered> answers;
  http::Client client;
  const std::span<http::Request> all(requests);
  for (size_t start = 0; start < all.size(); start += kAtOnce)
    for (auto& answer : ask_some(client, all.subspan(start, std::min(kAtOnce, all.size() - start))))
      answers.push_back(std::move(answer));
  return answers;
}

DaemonFacts probe_daemon(const std::string& socket, Patience patience) {
  DaemonFacts made;
  made.socket = socket;
  made.status = ask_daemon(socket, "/v1/status", patience);
  if (!made.status) return made;
  if (const auto peers = ask_daemon(socket, "/v1/peers", patience))
    made.peers = peers->value("peers", json::array());
  return made;
}

std::vector<PeerProbe> probe_peers(const NodeSettings& settings, const json& known,
                                   const std::shared_ptr<const http::TlsMaterial>& tls,
                                   Patience patience) {
  std::vector<PeerProbe> made;
  if (!tls) return made;
  const auto add = [&](const std::string& address, bool ours) {
    for (const auto& one : made)
      if (one.address == address) return;
    made.push_back({address, ours, Failure{}, "", "", false});
  };
  for (const auto& address : settings.listen) add(address, true);
  for (const auto& address : settings.peers) add(address, false);
  for (const auto& address : settings.dns) add(address, false);
  for (const auto& peer : known) add(peer.value("endpoint", ""), false);
  std::vector<http::Request> asked;
  for (auto& one : made) {
    // An address that is no path of the demand lane: whoever answers 404 is a member all the same.
    asked.push_back(question("https://" + one.address + "/v1/doctor", patience));
    asked.back().tls.cluster = tls;
    for (const auto& peer : known)
      if (peer.value("endpoint", "") == one.address) {
        one.daemon_state = peer.value("state", "");
        one.daemon_reason = peer.value("reason", "");
      }
  }
  const auto answers = ask_all(std::move(asked));
  for (size_t i = 0; i < made.size(); ++i) {
    const auto& answer = answers[i].response;
    made[i].node_id =
        answer ? Outcome<std::string>(answer->peer) : Outcome<std::string>(answer.failure());
    made[i].refuses_us = answer && answer->status == 403;
  }
  return made;
}

std::vector<RegistryProbe> probe_registries(const std::vector<RegistrySetting>& registries,
                                            Patience patience) {
  std::vector<RegistryProbe> made;
  std::vector<http::Request> asked;
  for (const auto& registry : registries) {
    std::vector<std::string> places = registry.mirrors;
    places.insert(places.begin(), registry.host);
    for (const auto& place : places) {
      made.push_back({registry.host, place, Failure{}, std::nullopt});
      asked.push_back(version_question(place, registries, patience));
    }
  }
  const auto answers = ask_all(std::move(asked));
  for (size_t i = 0; i < made.size(); ++i) {
    made[i].status = status_of(answers[i].response);
    if (answers[i].response) made[i].ahead = ahead_of(answers[i]);
  }
  return made;
}

TagProbe probe_tag(const std::string& text, const std::vector<RegistrySetting>& registries,
                   Patience patience) {
  TagProbe made{text, Failure{}, "", ""};
  const auto reference = oci::Reference::parse(text);
  if (!reference) {
    made.status = reference.failure();
    return made;
  }
  std::vector<std::string> places = setting_of(reference->registry, registries).mirrors;
  places.push_back(reference->registry);
  for (const auto& place : places) {
    const auto answer = ask(tag_question(place, *reference, registries, patience));
    const auto status = status_of(answer.response);
    const bool has = status && *status == 200;
    if (!has && made.status && *made.status == 401) continue;  // it may have it
    made.place = place;
    made.status = status;
    if (!has) continue;
    made.digest = answer.response->header("Docker-Content-Digest").value_or("");
    break;
  }
  return made;
}

MirrorFacts probe_mirror(const std::string& address, Patience patience) {
  MirrorFacts made;
  made.address = address;
  if (!address.empty())
    made.status = status_of(ask(question("http://" + address + "/v2/", patience)).response);
  return made;
}

PullFacts probe_pull(const std::string& text, const std::string& mirror, Patience patience) {
  PullFacts made;
  made.reference = text;
  const auto reference = oci::Reference::parse(text);
  if (!reference) {
    made.step = "the name";
    made.error = reference.failure().message;
    return made;
  }
  const auto began = std::chrono::steady_clock::now();
  Pull pull(*reference, mirror, patience, made);
  if (const auto manifest = pull.manifest(reference->target())) pull.blob(smallest(*manifest));
  made.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  return made;
}

}  // namespace swarmfs::cli
