// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/mediator.h"
#include "daemon/cluster_node.h"
#include "daemon/config.h"
#include "util/sync.h"

namespace swarmfs::daemon {

/// The preheats that were ordered on this node, as jobs. Any thread.
class Preheater {
 public:
  /// `node` null: no cluster. It must outlive this.
  Preheater(ClusterNode* node, const ClusterSection& section);

  /// The job's id. Fault::unavailable: too few members, or too many preheats.
  util::Outcome<std::string> start(const control::PreheatOrder& order);
  /// Waits until it ends or `wait` passed. Empty: no such job here.
  [[nodiscard]] std::optional<control::JobReport> job(const std::string& id,
                                                      std::chrono::milliseconds wait);
  /// False: no such job here.
  bool cancel(const std::string& id);
  /// Takes back what is not done, and forgets all; nothing is to be started any more.
  void stop();

 private:
  struct Known {
    std::string id;
    std::vector<swarm::PreheatChoice::LeftOut> left_out;
    std::unique_ptr<swarm::PreheatRun> run;
  };
  struct State {
    std::list<std::shared_ptr<Known>> known;  ///< oldest first
    uint64_t next = 1;
    bool stopping = false;
  };

  /// The oldest that has ended goes where there are many; false: all of them run.
  bool make_room();
  [[nodiscard]] std::shared_ptr<Known> find(const std::string& id) const;

  ClusterNode* const node_;
  const swarm::PreheatMember place_;  ///< ours, without the node id
  util::Sync<State> state_;
};

}  // namespace swarmfs::daemon
