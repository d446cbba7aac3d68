// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "mirror/permissions.h"

#include <algorithm>

namespace swarmfs::mirror {

using Kind = Permission::Kind;

Permissions::Key Permissions::key(const oci::Reference& reference,
                                  const std::string& authorization) {
  return {repository_of(reference), util::Sha256::of(util::as_bytes(authorization))};
}

bool Permissions::remembered(const Key& key, util::Duration age) const {
  auto granted = granted_.lock();
  const auto found = granted->find(key);
  return found != granted->end() && clock_.now() - found->second < age;
}

void Permissions::remember(const Key& key) {
  auto granted = granted_.lock();
  (*granted)[key] = clock_.now();
  if (granted->size() <= kRemembered) return;
  granted->erase(std::min_element(granted->begin(), granted->end(),
                                  [](auto& a, auto& b) { return a.second < b.second; }));
}

bool Permissions::silent(const std::string& registry) const {
  auto silent = silent_.lock();
  const auto found = silent->find(registry);
  return found != silent->end() && clock_.now() < found->second;
}

void Permissions::fell_silent(const std::string& registry) {
  auto silent = silent_.lock();
  if (silent->size() > kRemembered) silent->clear();
  (*silent)[registry] = clock_.now() + kSilence;
}

Permission Permissions::in_need(const oci::Reference& reference, const Key& key) const {
  const bool allowed = remembered(key, kInNeed) || ledger_.is_public(repository_of(reference));
  return {allowed ? Kind::allowed : Kind::unknown};
}

Permission Permissions::check(const oci::Reference& reference, const std::string& authorization,
                              util::SteadyTime deadline) {
  const auto who = key(reference, authorization);
  if (remembered(who, kBelieved) || upstream_.known_public(reference)) return {Kind::allowed};
  if (silent(reference.registry)) return in_need(reference, who);
  auto said = upstream_.ask(reference, authorization, deadline);
  switch (said.kind) {
    case Kind::allowed:
      remember(who);
      break;
    case Kind::denied:
      granted_.lock()->erase(who);
      if (authorization.empty()) ledger_.set_public(repository_of(reference), false);
      break;
    case Kind::absent:
      break;
    case Kind::unknown:
      fell_silent(reference.registry);
      return in_need(reference, who);
  }
  return said;
}

void Permissions::doubt(const oci::Reference& reference, const std::string& authorization) {
  auto granted = granted_.lock();
  const auto found = granted->find(key(reference, authorization));
  if (found != granted->end()) found->second = std::min(found->second, clock_.now() - kBelieved);
}

void Permissions::grant(const oci::Reference& reference, const std::string& authorization) {
  remember(key(reference, authorization));
}

}  // namespace swarmfs::mirror
