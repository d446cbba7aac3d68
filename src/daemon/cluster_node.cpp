// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/cluster_node.h"

namespace swarmfs::daemon {

namespace {

constexpr std::chrono::seconds kLeases{5};  ///< between two looks at them

cluster::IdentityFiles identity_files(const Config& config) {
  std::filesystem::create_directories(config.cache_directory);
  return {config.cluster.token_file, config.cluster.ca_file, config.cluster.cert_file,
          config.cluster.key_file, config.cache_directory / "node.key"};
}

std::vector<swarm::Endpoint> endpoints(const std::vector<std::string>& texts) {
  std::vector<swarm::Endpoint> made;
  for (const auto& text : texts) {
    const auto endpoint = swarm::Endpoint::parse(text);
    if (!endpoint) throw util::Error("'" + text + "' is not an address of a peer");
    made.push_back(*endpoint);
  }
  return made;
}

swarm::SwarmCaps caps_of(const ClusterSection& section) {
  return {section.cross_zone_rate,
          section.max_peer_requests,
          {section.bulk_upload, section.bulk_download, section.bulk_upload_per_peer,
           section.bulk_download_per_peer}};
}

swarm::SwarmOptions swarm_options(const ClusterSection& section, swarm::Preheats& orders,
                                  std::shared_ptr<const util::LinkGauge> link) {
  swarm::SwarmOptions made;
  made.listen = endpoints(section.listen);
  made.peers = endpoints(section.peers);
  for (const auto& name : endpoints(section.dns)) made.peers.push_back(name);
  made.dht = section.dht;
  made.zone = section.zone;
  made.provisional = section.provisional == Provisional::cluster;
  made.bulk_port = static_cast<uint16_t>(section.bulk_port);
  if (!section.preheat.empty()) made.preheats = &orders;
  made.caps = caps_of(section);
  made.link = std::move(link);
  return made;
}

}  // namespace

ClusterNode::ClusterNode(const Config& config, std::shared_ptr<const util::LinkGauge> link,
                         util::Workers& workers, util::Timers& timers, util::Metrics& metrics)
    : identity_(identity_files(config), timers),
      holdings_(workers),
      preheats_(clock_),
      orders_(config.cluster.preheat, preheats_, clock_),
      swarm_(swarm_options(config.cluster, orders_, std::move(link)), identity_, holdings_, timers,
             metrics),
      looking_over_(timers.every(kLeases, [this] { preheats_.look_over(); })) {}

void ClusterNode::reload(const ClusterSection& section) {
  identity_.reload();
  swarm_.set_caps(caps_of(section));
}

registry::AskFellows ClusterNode::fellows() const {
  return [views = swarm_.registries()](const std::string& host) -> registry::Fellows {
    const auto sum = views->of(swarm::registry_name(host), std::chrono::steady_clock::now());
    return {sum.asking, sum.held_until};
  };
}

std::optional<content::SealedLayer> ClusterNode::find(const chunk::LayerRef& layer) {
  return noted(layer, swarm_.find_claim(layer));
}

std::optional<content::SealedLayer> ClusterNode::find_soon(const chunk::LayerRef& layer,
                                                           util::SteadyTime until) {
  return noted(layer, swarm_.find_claim_soon(layer, until));
}

std::optional<content::SealedLayer> ClusterNode::noted(const chunk::LayerRef& layer,
                                                       std::optional<swarm::ClaimedLayer> claimed) {
  if (!claimed) return std::nullopt;
  holdings_.claimed(layer);
  return content::SealedLayer{std::move(claimed->tree), std::move(claimed->index),
                              std::move(claimed->claimant), std::move(claimed->claim)};
}

void ClusterNode::proven(const fetch::Layer& layer) {
  holdings_.proven(layer);
}

void ClusterNode::blame(const std::string& claimant, const util::Digest& layer,
                        const std::string& why) {
  swarm_.blame(claimant, layer, why);
}

std::string ClusterNode::sign(const util::Digest& layer, uint64_t size, const util::Digest& root,
                              const util::Digest& index) {
  return swarm_.sign(layer, size, root, index);
}

}  // namespace swarmfs::daemon
