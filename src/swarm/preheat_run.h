// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "swarm/demand_client.h"
#include "swarm/preheat.h"
#include "swarm/preheat_choice.h"
#include "swarm/preheat_talk.h"
#include "util/sync.h"

namespace swarmfs::swarm {

struct PreheatPlan {
  std::string reference;
  std::string platform;  ///< empty: each node's own
  std::vector<PreheatMember> members;
  PreheatTalk::Pace pace{};
};

/// An order to many nodes, from its first word to the last node's end, on a thread of its own. Any
/// thread may call.
class PreheatRun {
 public:
  struct Node {
    PreheatMember member;
    PreheatState state;
  };
  struct View {
    bool ended = false;
    bool cancelled = false;
    std::vector<Node> nodes;  ///< of the plan's order
  };

  /// `self`: our node id; what concerns us is asked of `own`. Both references must outlive it.
  PreheatRun(PreheatPlan plan, std::string self, DemandClient& client, Preheats& own);
  /// Cancels what is not done.
  ~PreheatRun();
  PreheatRun(const PreheatRun&) = delete;
  PreheatRun& operator=(const PreheatRun&) = delete;

  /// Waits until it has ended or `most` has passed.
  [[nodiscard]] View wait(std::chrono::milliseconds most);
  /// The order is taken back from all who have not ended; it ends within seconds.
  void cancel();

 private:
  struct Answer {
    size_t node = 0;
    PreheatTalk::Next to{};
    util::Outcome<http::Response> outcome;
  };
  struct Inside {
    std::vector<PreheatTalk> talks;
    std::deque<Answer> answers;
    bool cancelled = false;
    bool ended = false;
  };
  using Exchanges = std::vector<std::unique_ptr<http::Exchange>>;

  void run();
  /// Which nodes to ask what now; marked as being asked. Empty as well when there is no room.
  [[nodiscard]] std::vector<std::pair<size_t, PreheatTalk::Next>> due(size_t room);
  [[nodiscard]] std::deque<Answer> wait_for_answers();
  [[nodiscard]] bool goes_on() const;
  std::unique_ptr<http::Exchange> say(size_t node, const std::string& method, PreheatTalk::Next to);
  void ask_ourselves(size_t node, PreheatTalk::Next to);
  void take_in(const Answer& answer);
  void take_back();
  [[nodiscard]] bool is_self(size_t node) const { return plan_.members[node].node_id == self_; }

  const PreheatPlan plan_;
  const std::string self_;
  DemandClient& client_;
  Preheats& own_;
  const PreheatOrder order_;
  util::Sync<Inside> inside_;
  std::condition_variable changed_;
  std::thread thread_;  ///< last: it uses all the others
};

}  // namespace swarmfs::swarm
