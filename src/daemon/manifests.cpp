// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/manifests.h"

#include "daemon/follow_indexes.h"
#include "util/log.h"

namespace swarmfs::daemon {

using util::Fault;
using util::Outcome;

namespace {

/// Before members are asked; after them the registry gets all its time.
constexpr std::chrono::seconds kFirstTry{2};
constexpr std::chrono::seconds kPatience{20};
constexpr std::chrono::seconds kAllMembers{15};

}  // namespace

Outcome<image::Resolved> Manifests::resolve(const oci::Reference& reference,
                                            const oci::Platform& platform) {
  const bool has_peers = node_ && node_->swarm().has_peers();
  auto resolved = registry_.resolve(reference, platform, has_peers ? kFirstTry : kPatience);
  if (!resolved && has_peers && util::may_pass(resolved.failure().fault)) {
    if (auto given = ask_members(reference, platform)) {
      util::log::info("{}: {}; a member of the cluster knows what it stands for",
                      reference.to_string(), resolved.failure().message);
      catalog_.resolved(reference, platform, *given, true);
      take_in(reference, *given);
      return std::move(*given);
    }
    resolved = registry_.resolve(reference, platform, kPatience);
  }
  if (!resolved) return resolved;
  catalog_.resolved(reference, platform, *resolved);
  take_in(reference, *resolved);
  return resolved;
}

std::optional<image::Resolved> Manifests::ask_members(const oci::Reference& reference,
                                                      const oci::Platform& platform) {
  const auto until = std::chrono::steady_clock::now() + kAllMembers;
  auto found =
      follow_indexes(reference, platform, [&](const oci::Reference& target) -> Outcome<Document> {
        auto given = node_->swarm().find_manifest(target.to_string(), target.digest,
                                                  platform.to_string(), until);
        if (!given) return util::Failure{Fault::not_found, "no member knows " + target.to_string()};
        return Document{given->digest, std::move(given->bytes)};
      });
  if (!found) return std::nullopt;
  return std::move(*found);
}

void Manifests::take_in(const oci::Reference& reference, const image::Resolved& resolved) {
  if (!node_) return;
  const auto parsed = oci::parse_manifest(resolved.manifest);
  if (const auto* manifest = parsed ? std::get_if<oci::Manifest>(&*parsed) : nullptr)
    announce(reference, manifest->layers);
  bring_profile(reference, resolved.digest);
}

void Manifests::announce(const oci::Reference& reference,
                         const std::vector<oci::Descriptor>& layers) {
  if (!node_) return;
  for (const auto& layer : layers) {
    const chunk::LayerRef ref{
        layer.digest, layer.size, {{reference.registry, reference.repository}}};
    node_->holdings().note(ref);
    node_->swarm().interest(ref);
  }
}

void Manifests::bring_profile(const oci::Reference& reference, const util::Digest& manifest) {
  profiles_.post(util::Workers::Urgency::normal, [this, reference, manifest] {
    try {
      const std::string name = "profile/" + manifest.hex();
      if (store_.load_document(name)) return;
      if (const auto profile = node_->swarm().find_profile(manifest, repository_name(reference)))
        store_.save_document(name, util::as_bytes(*profile));
    } catch (const std::exception& error) {
      util::log::warning("{}: no access profile: {}", reference.to_string(), error.what());
    }
  });
}

}  // namespace swarmfs::daemon
