// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <optional>
#include <string>
#include <vector>

#include "control/mediator.h"
#include "daemon/cluster_node.h"
#include "daemon/peer_report.h"

namespace swarmfs::daemon {

/// What the control API is told of the other nodes. Any thread; does not block, but for swarms().
class Neighbours {
 public:
  virtual ~Neighbours() = default;
  [[nodiscard]] virtual std::vector<control::PeerReport> peers() const = 0;
  /// `size`: of the layer in bytes.
  [[nodiscard]] virtual std::vector<control::HolderReport> holders(const util::Digest& layer,
                                                                   uint64_t size) const = 0;
  [[nodiscard]] virtual std::optional<control::ClusterReport> cluster() const = 0;
  /// Layers whose members are looked for.
  [[nodiscard]] virtual std::vector<chunk::LayerRef> interesting() const = 0;
  /// Asks members: blocks for a second at most, and for as long as it takes to count what they
  /// said.
  [[nodiscard]] virtual control::SwarmsReport swarms(
      const std::vector<chunk::LayerRef>& layers) const = 0;
};

/// Of a node without a cluster.
class NoNeighbours final : public Neighbours {
 public:
  std::vector<control::PeerReport> peers() const override { return {}; }
  std::vector<control::HolderReport> holders(const util::Digest&, uint64_t) const override {
    return {};
  }
  std::optional<control::ClusterReport> cluster() const override { return {}; }
  std::vector<chunk::LayerRef> interesting() const override { return {}; }
  control::SwarmsReport swarms(const std::vector<chunk::LayerRef>&) const override { return {}; }
};

/// Of a member. `node` must outlive it.
class ClusterNeighbours final : public Neighbours {
 public:
  ClusterNeighbours(const ClusterNode& node, const ClusterSection& section)
      : node_(node), zone_(section.zone), listen_(section.listen) {}
  std::vector<control::PeerReport> peers() const override;
  std::vector<control::HolderReport> holders(const util::Digest& layer,
                                             uint64_t size) const override;
  std::optional<control::ClusterReport> cluster() const override;
  std::vector<chunk::LayerRef> interesting() const override { return node_.swarm().interesting(); }
  control::SwarmsReport swarms(const std::vector<chunk::LayerRef>& layers) const override {
    return report_of(node_.swarm().look(layers));
  }

 private:
  const ClusterNode& node_;
  const std::string zone_;
  const std::vector<std::string> listen_;
};

}  // namespace swarmfs::daemon
