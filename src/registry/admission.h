// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "chunk/fetch_context.h"
#include "registry/budget.h"
#include "registry/policy.h"
#include "util/sync.h"
#include "util/token_bucket.h"

namespace swarmfs::registry {

class Conversation;

/// When each host may be asked, and by how many requests at once: circuit breaker, the host's own
/// wishes, limits of this node and this node's part of the cluster's. Any thread.
///
/// `bulk` is who can wait: it keeps to all limits, and waits also where the host told others to.
/// The rest (faults, manifests) keeps to this node's own; what it takes of the cluster's budget
/// bulk makes up for.
class Admission {
 public:
  /// May be asked as long as this lives, and a moment longer; until then we are alone.
  void set_fellows(AskFellows fellows);

  /// Last of all, before a request. Zero: ask now (and report how it went). Else: how long the host
  /// is not to be asked.
  util::Duration wait(const std::string& host, bool bulk, util::SteadyTime now);
  /// As wait(), without asking.
  util::Duration closed_for(const std::string& host, bool bulk, util::SteadyTime now);
  void succeeded(const std::string& host);
  void failed(const std::string& host, util::SteadyTime now);
  /// Nobody asks the host before `until`.
  void hold_back(const std::string& host, util::SteadyTime until);

  struct Wish {
    const std::string& host;
    const Limits& node;     ///< of this node alone
    const Limits& cluster;  ///< of all nodes together
    bool bulk = false;
    uint64_t bytes = 0;
  };
  /// Zero: the request is counted and may go. Else: how long to wait before asking again.
  util::Duration pace(const Wish& wish, util::SteadyTime now);
  /// Of bulk. True: `who` has a place, until leave(). False: it will be admitted(), perhaps by now.
  bool enter(const Wish& wish, chunk::Class cls, const std::shared_ptr<Conversation>& who,
             util::SteadyTime now);
  void leave(const std::string& host);

  /// Hosts that are asked for bulk, now or a moment ago, or told us to wait.
  [[nodiscard]] std::map<std::string, HostUse> in_use(util::SteadyTime now) const;

 private:
  struct Host {
    CircuitBreaker breaker;
    util::SteadyTime held_until{};  ///< as the host wished (Retry-After)
    util::TokenBucket requests{0, {}};
    util::TokenBucket our_part{0, {}};  ///< of the cluster's requests
    util::TokenBucket bytes{0, {}};
    Limits node, cluster;  ///< as they were said last
    unsigned active = 0;   ///< bulk
    util::SteadyTime bulk_at{};
    std::array<std::deque<std::weak_ptr<Conversation>>, chunk::kClasses> waiting;

    [[nodiscard]] bool has_place(const Fellows& fellows) const;
    std::shared_ptr<Conversation> next_waiting();
    /// Who gets a place now, in order.
    std::vector<std::shared_ptr<Conversation>> admit(const Fellows& fellows);
  };

  [[nodiscard]] Fellows fellows_at(const std::string& host) const;

  util::Sync<std::shared_ptr<const AskFellows>> ask_fellows_;
  util::Sync<std::map<std::string, Host>> hosts_;
};

}  // namespace swarmfs::registry
