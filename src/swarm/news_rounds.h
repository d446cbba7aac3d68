// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <condition_variable>
#include <list>
#include <map>
#include <memory>
#include <set>

#include "swarm/demand_client.h"
#include "swarm/layer_views.h"
#include "swarm/registry_views.h"
#include "util/timers.h"

namespace swarmfs::swarm {

/// Asks peers, again and again, what they have and want of the layers that are being brought in
/// here, and tells them so of us: of a crowd some in each round (whom_to_ask), of those layers in
/// turn. Peers without anything to talk about are greeted now and then, so that the connection is
/// there when a fault comes. Any thread.
class NewsRounds {
 public:
  NewsRounds(DemandClient& client, PeerTable& table, LayerViews& views, RegistryViews& registries,
             Holdings& holdings, util::Timers& timers);
  ~NewsRounds();
  NewsRounds(const NewsRounds&) = delete;
  NewsRounds& operator=(const NewsRounds&) = delete;

  /// Peers to ask about every layer, besides those that ask us.
  void set_known(const std::vector<Endpoint>& peers);
  /// A round now, on the timer's thread.
  void soon();
  /// As soon(); a layer begins, so that more come than else for a while (kFirstNewsPeriod).
  void begin();
  /// Blocks until somebody answers: true. False: a whole round has ended without, or `until` has
  /// passed.
  bool wait_for_news(util::SteadyTime until);
  /// Ends wait_for_news(), now and from now on.
  void stop_waiting();
  [[nodiscard]] bool has_stopped() const { return state_.lock()->nobody_waits; }
  /// What we tell of registries: those that are asked here and, unless nodes are so many that most
  /// never ask, those of the layers that are being brought in.
  [[nodiscard]] RegistryWords registry_words();
  /// Somebody has yet to answer.
  [[nodiscard]] bool asking() const { return !state_.lock()->asking.empty(); }

 private:
  /// Layers that are asked for in one repository.
  struct Group {
    std::string repository;
    std::vector<util::Digest> layers;
  };
  struct Asking {
    Endpoint peer;
    Group group;
    std::optional<PeerTable::Attempt> attempt;
    std::unique_ptr<http::Exchange> exchange;
  };
  using AskingPtr = std::shared_ptr<Asking>;
  struct State {
    std::list<AskingPtr> asking;
    std::map<Endpoint, util::SteadyTime> greeted;
    uint64_t rounds = 0;               ///< begun
    uint64_t answers = 0;              ///< heard
    std::set<std::string> registries;  ///< of what was brought in at the last round
    util::SteadyTime begun_until{};    ///< until then layers begin
    bool nobody_waits = false;
    bool stopping = false;
  };

  void tick();
  void round();
  [[nodiscard]] std::vector<Group> groups();
  [[nodiscard]] bool has_all(const util::Digest& layer) const;
  [[nodiscard]] std::vector<Endpoint> whom(const std::vector<Group>& topics, uint64_t turn) const;
  [[nodiscard]] uint64_t next_turn(bool has_topic);
  void learn(const News& news);
  /// False: it talks nonsense.
  bool hear_of_registries(const http::Response& response, util::SteadyTime now);
  [[nodiscard]] bool begins_with(const Endpoint& peer, bool has_topic);
  /// `named`: see has_to_name().
  void ask(const Endpoint& peer, const Group& group, bool named);
  void on_done(const AskingPtr& asking, const util::Outcome<http::Response>& outcome);
  void take_in(const Asking& asking, const http::Response& response);

  DemandClient& client_;
  PeerTable& table_;
  LayerViews& views_;
  RegistryViews& registries_;
  Holdings& holdings_;
  util::Timers& timers_;
  const uint64_t first_turn_;  ///< at random, so that a crowd that starts at once spreads
  util::Sync<State> state_;
  std::condition_variable changed_;
  unsigned ticks_ = 0;  ///< of tick() alone
  util::Sync<util::Operation> soon_;
  util::Operation tick_;
};

}  // namespace swarmfs::swarm
