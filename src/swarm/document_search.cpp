// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/document_search.h"

#include <algorithm>
#include <future>

#include "swarm/policy.h"
#include "swarm/shareholders.h"
#include "util/log.h"

namespace swarmfs::swarm {

using namespace std::chrono_literals;

namespace {

constexpr std::chrono::milliseconds kDocument = 10s;
constexpr std::chrono::milliseconds kManifest = 2s;
constexpr std::chrono::milliseconds kStep = 10ms;
constexpr size_t kAsked = 4;  ///< members that are asked for one document

std::chrono::milliseconds left(util::SteadyTime until) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(until -
                                                               std::chrono::steady_clock::now());
}

}  // namespace

DocumentSearch::DocumentSearch(Parts parts, std::string zone, Verify verify)
    : parts_(parts), zone_(std::move(zone)), verify_(std::move(verify)) {}

std::vector<Endpoint> DocumentSearch::askable() const {
  std::vector<Endpoint> made;
  const auto candidates = parts_.table.candidates(0);
  for (const size_t i : choose(candidates, zone_)) made.push_back(candidates[i].endpoint);
  return made;
}

std::vector<LayerViews::Member> DocumentSearch::sealed_members(const util::Digest& layer) const {
  std::vector<Member> made;
  const auto members = parts_.views.members(layer, {}, std::chrono::steady_clock::now());
  for (const auto& endpoint : askable())
    for (const auto& member : members)
      if (member.endpoint == endpoint && member.sealed && made.size() < kAsked)
        made.push_back(member);
  return made;
}

std::optional<ClaimedLayer> DocumentSearch::find_claim(const chunk::LayerRef& layer) {
  const auto begun = std::chrono::steady_clock::now();
  const auto patience = [&] {
    return begun + news_patience(parts_.views.to_ask(layer.digest).size(), parts_.rounds.asking());
  };
  while (sealed_members(layer.digest).empty() && std::chrono::steady_clock::now() < patience() &&
         parts_.rounds.wait_for_news(patience())) {
  }
  for (const auto& member : sealed_members(layer.digest))
    if (auto found = claimed_by(member, layer, util::SteadyTime::max())) return found;
  return std::nullopt;
}

bool DocumentSearch::heard_enough(const util::Digest& layer) const {
  const auto heard = parts_.views.heard_from(layer);
  const auto candidates = parts_.table.candidates(0);
  const auto count = static_cast<size_t>(
      std::count_if(candidates.begin(), candidates.end(),
                    [&](const Candidate& peer) { return heard.contains(peer.endpoint); }));
  return count >= std::min(candidates.size(), kMostAsked);
}

void DocumentSearch::wait_for_news_shortly(const util::Digest& layer, util::SteadyTime until) {
  auto now = std::chrono::steady_clock::now();
  if (now < *quiet_until_.lock()) return;
  until = std::min(until, now + kHastyNews);
  while (sealed_members(layer).empty() && !heard_enough(layer) && !parts_.rounds.has_stopped()) {
    // By steps: what came just before is not waited for again.
    parts_.rounds.wait_for_news(std::min(until, now + kStep));
    now = std::chrono::steady_clock::now();
    if (now < until) continue;
    *quiet_until_.lock() = now + kQuiet;
    return;
  }
}

bool DocumentSearch::is_slow(const Endpoint& peer) {
  const auto now = std::chrono::steady_clock::now();
  auto slow = slow_until_.lock();
  std::erase_if(*slow, [&](const auto& one) { return one.second <= now; });
  return slow->contains(peer);
}

std::optional<ClaimedLayer> DocumentSearch::find_claim_soon(const chunk::LayerRef& layer,
                                                            util::SteadyTime until) {
  wait_for_news_shortly(layer.digest, until);
  for (const auto& member : sealed_members(layer.digest)) {
    if (is_slow(member.endpoint)) continue;
    if (auto found = claimed_by(member, layer, until)) return found;
    if (left(until) > 0ms) continue;
    slow_until_.lock()->insert_or_assign(member.endpoint,
                                         std::chrono::steady_clock::now() + kQuiet);
    break;
  }
  return std::nullopt;
}

std::optional<ClaimedLayer> DocumentSearch::refuse(const Endpoint& peer, const std::string& why) {
  util::log::error("peer {} is banned: {}", peer.to_string(), why);
  parts_.table.ban(peer, why);
  parts_.views.gone(peer);
  return std::nullopt;
}

std::optional<ClaimedLayer> DocumentSearch::claimed_by(const Member& member,
                                                       const chunk::LayerRef& layer,
                                                       util::SteadyTime until) {
  const Endpoint& peer = member.endpoint;
  const DemandClient::Query query{{"repository", name_to_ask_in(layer, member.repository)}};
  const auto get = [&](const char* document, uint64_t most) -> util::Outcome<std::string> {
    const auto patience = std::min(kDocument, left(until));
    if (patience <= 0ms) return util::Failure{util::Fault::timed_out, "no time is left"};
    return parts_.client.get(peer, "/v1/layers/" + layer.digest.hex() + document, query, patience,
                             most, until != util::SteadyTime::max());
  };
  const auto text = get("/claim", 64 << 20);
  if (!text) return std::nullopt;
  const auto claim = cluster::Claim::parse(*text);
  if (!claim) return refuse(peer, "its claim is no claim: " + claim.failure().message);
  const auto claimant = verify_(*claim);
  if (!claimant) return refuse(peer, "its claim is false: " + claimant.failure().message);
  if (claim->layer != layer.digest || claim->size != layer.size)
    return refuse(peer, "its claim is of another layer");
  if (parts_.table.banned(*claimant)) return std::nullopt;
  auto coming = std::async(std::launch::async, [&] { return get("/index", 1ull << 30); });
  const auto leaves = get("/tree", 64 << 20);
  const auto index = coming.get();
  if (!leaves || !index) return std::nullopt;
  auto tree = chunk::HashTree::from_leaves(layer.size, util::as_bytes(*leaves), claim->root);
  if (!tree) return refuse(peer, "its hash tree does not make the claimed root");
  const auto document = util::as_bytes(*index);
  if (util::Sha256::of(document) != claim->index)
    return refuse(peer, "its layer index is not the claimed one");
  return ClaimedLayer{std::make_shared<const chunk::HashTree>(std::move(*tree)),
                      {document.begin(), document.end()},
                      *claimant,
                      *text};
}

std::optional<GivenManifest> DocumentSearch::find_manifest(
    const std::string& reference, const std::optional<util::Digest>& digest,
    const std::string& platform, util::SteadyTime until) {
  const DemandClient::Query query{{"reference", reference}, {"platform", platform}};
  for (const auto& peer : askable()) {
    const auto patience = std::min(left(until), kManifest);
    if (patience <= 0ms) break;
    const auto answer = parts_.client.get_response(peer, "/v1/manifests", query, patience, 8 << 20);
    if (!answer) continue;
    const auto bytes = util::as_bytes(answer->body);
    const auto said = util::Digest::parse(answer->header("Swarmfs-Digest").value_or(""));
    const auto real = util::Sha256::of(bytes);
    if (said != real || (digest && *digest != real)) {
      refuse(peer, "its manifest of " + reference + " does not match its digest");
      continue;
    }
    return GivenManifest{real, {bytes.begin(), bytes.end()}};
  }
  return std::nullopt;
}

std::optional<std::string> DocumentSearch::find_profile(const util::Digest& manifest,
                                                        const std::string& repository) {
  size_t asked = 0;
  for (const auto& peer : askable()) {
    if (++asked > kAsked) break;
    auto profile = parts_.client.get(peer, "/v1/profiles/" + manifest.hex(),
                                     {{"repository", repository}}, 1s, 4 << 20);
    if (profile) return std::move(*profile);
  }
  return std::nullopt;
}

}  // namespace swarmfs::swarm
