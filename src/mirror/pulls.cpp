// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "mirror/pulls.h"

#include <fmt/format.h>

#include <algorithm>
#include <variant>

#include "oci/manifest.h"

namespace swarmfs::mirror {

namespace {

constexpr size_t kLongestAgent = 80;

/// A client says what it likes, and what it is first (RFC 9110, section 10.1.5).
std::string product(const std::string& agent) {
  std::string made = agent.substr(0, std::min(agent.find(' '), kLongestAgent));
  for (char& c : made)
    if (c < ' ' || c > '~') c = '?';
  return made.empty() ? "a client without a name" : made;
}

/// Each connection has another port.
std::string host_of(const std::string& address) {
  return address.substr(0, address.rfind(':'));
}

bool is_same_place(const oci::Reference& a, const oci::Reference& b) {
  return a.registry == b.registry && a.repository == b.repository;
}

void add_failure(Pull& pull, const std::string& failure) {
  if (failure.empty()) return;
  ++pull.failures;
  pull.failure = failure;
}

}  // namespace

std::string in_words(const std::map<std::string, uint64_t>& by_source) {
  std::string made;
  for (const auto& [source, bytes] : by_source)
    if (bytes > 0) made += (made.empty() ? "" : ", ") + source + " " + util::human_bytes(bytes);
  return made.empty() ? "nothing" : made;
}

std::string in_words(const Pull& pull) {
  uint64_t bytes = 0;
  for (const auto& [source, some] : pull.by_source) bytes += some;
  const bool lacks = pull.blobs < pull.named;
  std::string made =
      fmt::format("pulled {} for {} at {}: {}{} blob{}, {} ({}) in {:.1f} s", pull.what.to_string(),
                  product(pull.caller.agent), pull.caller.address, pull.blobs,
                  lacks ? fmt::format(" of {}", pull.named) : "",
                  (lacks ? pull.named : pull.blobs) == 1 ? "" : "s", util::human_bytes(bytes),
                  in_words(pull.by_source), std::chrono::duration<double>(pull.took).count());
  if (pull.failures > 0)
    made += fmt::format("; {} answer{} failed: {}", pull.failures, pull.failures == 1 ? "" : "s",
                        pull.failure);
  return made;
}

void Pulls::end(Opens::iterator open, Ended& ended) {
  open->pull.took = open->last - open->began;
  open->pull.named = open->named.size();
  open->pull.blobs = open->given.size();
  ended.push_back(std::move(open->pull));
  open_.erase(open);
}

void Pulls::make_room(Ended& ended) {
  auto oldest = open_.end();
  for (auto open = open_.begin(); open != open_.end(); ++open)
    if (open->running == 0 && (oldest == open_.end() || open->last < oldest->last)) oldest = open;
  if (oldest != open_.end()) end(oldest, ended);
}

Pulls::Open& Pulls::begin(util::SteadyTime now, const Caller& caller, const oci::Reference& what,
                          Ended& ended) {
  if (open_.size() >= kMost) make_room(ended);
  return open_.emplace_back(Open{
      next_++, {.what = what, .caller = caller}, host_of(caller.address), {}, {}, {}, 0, now, now});
}

Pulls::Open& Pulls::of_manifest(util::SteadyTime now, const Caller& caller,
                                const oci::Reference& reference, Ended& ended) {
  const auto host = host_of(caller.address);
  for (auto open = open_.begin(); open != open_.end(); ++open) {
    const Pull& pull = open->pull;
    if (open->host != host || pull.caller.agent != caller.agent ||
        !is_same_place(pull.what, reference))
      continue;
    if (reference.digest && open->documents.contains(*reference.digest)) return *open;
    if (pull.what.target() != reference.target()) continue;
    if (open->given.empty() && open->running == 0) return *open;
    if (open->running > 0) continue;
    end(open, ended);
    break;
  }
  return begin(now, caller, reference, ended);
}

Pulls::Contents Pulls::contents_of(const Document& document) {
  Contents made{{document.digest}, {}};
  const auto parsed = oci::parse_manifest(*document.bytes);
  if (const auto* index = parsed ? std::get_if<oci::Index>(&*parsed) : nullptr)
    for (const auto& one : index->manifests) made.documents.insert(one.digest);
  for (const auto& blob : blobs_of(*document.bytes)) made.blobs.insert(blob.digest);
  return made;
}

Pulls::Ended Pulls::manifest(util::SteadyTime now, const Caller& caller,
                             const oci::Reference& reference, std::optional<Contents> given,
                             const std::string& failure) {
  Ended ended = tend(now);
  Open& open = of_manifest(now, caller, reference, ended);
  open.last = now;
  if (!given) {
    add_failure(open.pull, failure);
    return ended;
  }
  // That it was asked first who it is, is no failure.
  if (open.documents.empty()) open.pull.failures = 0;
  open.documents.merge(given->documents);
  open.named.merge(given->blobs);
  return ended;
}

Pulls::Opens::iterator Pulls::find_blob(const Caller& caller, const oci::Reference& blob) {
  const auto host = host_of(caller.address);
  auto found = open_.end();
  for (auto open = open_.begin(); open != open_.end(); ++open) {
    if (open->host != host || open->pull.caller.agent != caller.agent ||
        !is_same_place(open->pull.what, blob))
      continue;
    const bool better = open->named.contains(*blob.digest) || found == open_.end() ||
                        !found->named.contains(*blob.digest);
    if (better) found = open;
  }
  return found;
}

Pulls::Open& Pulls::of_blob(util::SteadyTime now, const Caller& caller, const oci::Reference& blob,
                            Ended& ended) {
  const auto known = find_blob(caller, blob);
  Open& open = known != open_.end() ? *known : begin(now, caller, blob, ended);
  open.last = now;
  return open;
}

Pulls::Id Pulls::blob_begins(util::SteadyTime now, const Caller& caller, const oci::Reference& blob,
                             Ended& ended) {
  ended = tend(now);
  Open& open = of_blob(now, caller, blob, ended);
  ++open.running;
  return open.id;
}

Pulls::Ended Pulls::blob_failed(util::SteadyTime now, const Caller& caller,
                                const oci::Reference& blob, const std::string& failure) {
  Ended ended = tend(now);
  add_failure(of_blob(now, caller, blob, ended).pull, failure);
  return ended;
}

Pulls::Ended Pulls::blob_ended(util::SteadyTime now, Id id, const util::Digest& blob,
                               const std::map<std::string, uint64_t>& by_source, bool last,
                               const std::string& failure) {
  Ended ended = tend(now);
  const auto open =
      std::find_if(open_.begin(), open_.end(), [&](const Open& one) { return one.id == id; });
  if (open == open_.end()) return ended;  // end_all() came first
  --open->running;
  open->last = now;
  for (const auto& [source, bytes] : by_source) open->pull.by_source[source] += bytes;
  add_failure(open->pull, failure);
  if (last && failure.empty()) open->given.insert(blob);
  const bool all =
      !open->named.empty() && std::ranges::includes(open->given, open->named) && open->running == 0;
  if (all) end(open, ended);
  return ended;
}

Pulls::Ended Pulls::tend(util::SteadyTime now) {
  Ended ended;
  for (auto open = open_.begin(); open != open_.end();) {
    const auto next = std::next(open);
    const bool large = open->documents.size() + open->given.size() > kMostParts;
    if (open->running == 0 && (large || now - open->last >= kIdle)) end(open, ended);
    open = next;
  }
  return ended;
}

Pulls::Ended Pulls::end_all() {
  Ended ended;
  while (!open_.empty()) end(open_.begin(), ended);
  return ended;
}

}  // namespace swarmfs::mirror
