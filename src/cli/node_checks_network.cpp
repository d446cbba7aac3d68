// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <set>

#include "cli/node_checks.h"
#include "cli/plan_text.h"
#include "util/units.h"

namespace swarmfs::cli {

using util::Fault;

namespace {

/// Certificates begin an hour before they are made (cluster::Identity::kClockSkew).
constexpr std::chrono::seconds kTooFarApart{3600};
constexpr std::chrono::seconds kFarApart{60};

Finding own_address(const PeerProbe& probe, const std::string& node_id) {
  const std::string what = "cluster listen " + probe.address;
  if (!probe.node_id)
    return failed(what, probe.node_id.failure().message,
                  "peers cannot reach this node: is swarmfsd running, and is the address of "
                  "[cluster] listen this node's?");
  if (!node_id.empty() && *probe.node_id != node_id)
    return failed(what,
                  fmt::format("node {} answers there, and this is node {}",
                              probe.node_id->substr(0, 12), node_id.substr(0, 12)),
                  "give this node an address of its own: [cluster] listen");
  return well(what, "answers with a certificate of the cluster");
}

/// Nothing where it answers and the daemon thinks well of it.
std::optional<Finding> bad_peer(const PeerProbe& probe) {
  const std::string what = "peer " + probe.address;
  if (!probe.node_id && probe.node_id.failure().fault == Fault::denied)
    return failed(what, "of another cluster: " + probe.node_id.failure().message,
                  "the same token or CA on both nodes, and clocks that agree");
  if (!probe.node_id)
    return warned(what, "not reached: " + probe.node_id.failure().message,
                  "does swarmfsd run there, and does a firewall let TCP through?");
  if (probe.refuses_us)
    return warned(what, "has banned this node: it answers 403 to everything",
                  "it got wrong bytes from here: look at this node's disk and memory; a restart "
                  "there forgets it");
  if (probe.daemon_state == "banned")
    return warned(what, "banned: " + probe.daemon_reason,
                  "it gave wrong bytes: look at its disk and memory; a restart here forgets it");
  if (probe.daemon_state == "silent")
    return warned(what, "answers now, and did not a moment ago: " + probe.daemon_reason, "");
  return std::nullopt;
}

std::optional<Finding> clock(const std::vector<RegistryProbe>& probes) {
  const RegistryProbe* nearest = nullptr;
  for (const auto& probe : probes)
    if (probe.ahead &&
        (!nearest || std::abs(probe.ahead->count()) < std::abs(nearest->ahead->count())))
      nearest = &probe;
  if (!nearest) return std::nullopt;
  const std::chrono::seconds apart(std::abs(nearest->ahead->count()));
  const auto why = fmt::format("{} s {} that of {}", apart.count(),
                               nearest->ahead->count() < 0 ? "behind" : "ahead of", nearest->place);
  const std::string remedy = "let it follow NTP: certificates depend on it";
  if (apart >= kTooFarApart) return failed("clock", why, remedy);
  if (apart >= kFarApart) return warned("clock", why, remedy);
  return well("clock", "agrees with that of " + nearest->place);
}

bool gives(const RegistryProbe& probe) {
  return probe.status && (*probe.status == 200 || *probe.status == 401);
}

/// `others`: another place gives what it has.
Finding registry(const RegistryProbe& probe, bool others) {
  const std::string what =
      "registry " + probe.place +
      (probe.place == probe.registry ? "" : " (mirror of " + probe.registry + ")");
  if (gives(probe))
    return well(what, *probe.status == 200 ? "answers" : "answers, and wants credentials");
  const auto why = probe.status ? fmt::format("answers {} to /v2/", *probe.status)
                                : probe.status.failure().message;
  if (others) return warned(what, why, "another place gives its images meanwhile");
  if (probe.status && *probe.status < 500) return warned(what, why, "is it a registry?");
  return failed(what, why, "what is cached works on; look at the network, DNS and [[registry]]");
}

}  // namespace

Findings check_peers(const std::vector<PeerProbe>& probes, const std::string& node_id) {
  Findings ours, theirs;
  std::set<std::string> own_ids{node_id}, reached, refusing;
  size_t unknown = 0;
  for (const auto& probe : probes) {
    if (!probe.ours) continue;
    ours.push_back(own_address(probe, node_id));
    if (probe.node_id && node_id.empty()) own_ids.insert(*probe.node_id);
  }
  for (const auto& probe : probes) {
    if (probe.ours || (probe.node_id && own_ids.contains(*probe.node_id))) continue;
    if (probe.node_id)
      (probe.refuses_us ? refusing : reached).insert(*probe.node_id);
    else
      ++unknown;
    if (auto bad = bad_peer(probe)) theirs.push_back(std::move(*bad));
  }
  for (const auto& id : reached) refusing.erase(id);
  const size_t peers = reached.size() + refusing.size() + unknown;
  if (peers == 0 && !ours.empty())
    ours.push_back(
        warned("peers", "none is known", "name one in [cluster] peers, or a name in dns"));
  if (peers > 0 && reached.empty())
    ours.push_back(failed("peers", fmt::format("none of {} answers us", peers), "see below"));
  if (!reached.empty())
    ours.push_back(well(
        "peers", fmt::format("{} of {} answer as members of the cluster", reached.size(), peers)));
  ours.insert(ours.end(), theirs.begin(), theirs.end());
  return ours;
}

Findings check_registries(const std::vector<RegistryProbe>& probes) {
  Findings made;
  for (const auto& probe : probes) {
    const bool others = std::any_of(probes.begin(), probes.end(), [&](const auto& other) {
      return other.registry == probe.registry && gives(other);
    });
    made.push_back(registry(probe, others));
  }
  if (auto found = clock(probes)) made.push_back(std::move(*found));
  return made;
}

Findings check_tag(const TagProbe& tag) {
  const std::string what = "image " + tag.reference;
  if (!tag.status)
    return {failed(what, tag.status.failure().message, "see the line of its registry")};
  switch (*tag.status) {
    case 200:
      return {well(what, tag.place + " has it" +
                             (tag.digest.empty() ? "" : ", " + tag.digest.substr(0, 19)))};
    case 401:
      return {warned(what, "not known without credentials, which " + tag.place + " wants",
                     "swarmfsd takes them from auth.json, doctor has none")};
    case 404:
      return {failed(what, tag.place + " does not have it", "is name and tag right?")};
    default:
      return {warned(what, fmt::format("{} answers {}", tag.place, *tag.status), "try again")};
  }
}

Findings check_mirror(const MirrorFacts& mirror) {
  if (mirror.address.empty())
    return {well("mirror", "off; ordinary pulls go through swarmfs with [mirror] listen")};
  const std::string what = "mirror " + mirror.address;
  if (!mirror.status)
    return {failed(what, mirror.status.failure().message,
                   mirror.daemon_answers
                       ? "the daemon runs without it: systemctl restart swarmfs"
                       : "systemctl start swarmfs; until then runtimes ask the registries")};
  if (*mirror.status != 200)
    return {failed(what, fmt::format("answers {} to /v2/", *mirror.status),
                   "does another program listen there? choose another port: [mirror] listen")};
  return {well(what, "answers")};
}

Findings check_runtime(const RuntimeFacts& runtime, bool mirror_off) {
  const std::string what = "runtime " + runtime.name;
  if (!runtime.plan)
    return {warned(what, runtime.error, "swarmfs configure " + runtime.name + " --check")};
  const bool told = !runtime.ours.empty();
  if (mirror_off && told)
    return {warned(what, "is told of a mirror, which is off",
                   "swarmfs configure " + runtime.name + " --remove, or set [mirror] listen")};
  if (mirror_off) return {well(what, "asks no mirror, and there is none")};
  if (is_in_effect(*runtime.plan)) return {well(what, "asks the mirror")};
  if (!runtime.plan->ignored.empty())
    return {warned(what, "does not ask the mirror: " + runtime.plan->ignored[0],
                   "swarmfs configure " + runtime.name)};
  if (!told)
    return {warned(what, "is not told of the mirror", "swarmfs configure " + runtime.name)};
  return {well(what, fmt::format("asks the mirror as {} say", fmt::join(runtime.ours, ", ")))};
}

Findings check_pull(const PullFacts& pull) {
  const std::string what = "pull";
  if (pull.reference.empty())
    return {warned(what, "not tried: no image is mounted here", "swarmfs doctor IMAGE")};
  if (pull.mirror_off)
    return {
        warned(what, "not tried: the mirror is off", "set [mirror] listen, or mount the image")};
  if (pull.step.empty())
    return {well(
        what, fmt::format("{} of {} came through the mirror in {:.1f} s, digest right: {}",
                          util::human_bytes(pull.bytes), pull.reference, pull.seconds, pull.blob))};
  if (pull.status == 401 || pull.status == 403)
    return {warned(what,
                   fmt::format("{} is private: the mirror gives it to nobody without "
                               "credentials",
                               pull.reference),
                   "try it with the runtime, or name a public image")};
  return {failed(what, fmt::format("{} of {}: {}", pull.step, pull.reference, pull.error),
                 "see above; what the mirror does not give, runtimes take from the registry")};
}

Findings check_read(const ReadFacts& read) {
  if (read.directory.empty()) return {};
  if (!read.error.empty())
    return {failed("read", read.directory + ": " + read.error,
                   "swarmfs explain " + read.directory + " says what is missing")};
  if (read.file.empty()) return {warned("read", read.directory + " has no file with bytes", "")};
  return {well("read", fmt::format("{} of {} came over the mount", util::human_bytes(read.bytes),
                                   read.file))};
}

}  // namespace swarmfs::cli
