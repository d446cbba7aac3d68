// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/survey.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <memory>
#include <optional>
#include <set>

#include "swarm/layer_views.h"
#include "swarm/news.h"
#include "swarm/policy.h"
#include "util/sync.h"

namespace swarmfs::swarm {

namespace {

constexpr size_t kMostInQuestion = 128;  ///< layers
constexpr size_t kMostQuestions = 16;    ///< to one peer
// Of an answer, as JSON.
constexpr uint64_t kBesidesLayers = 64
                                    << 10;  ///< zone and shareholders, which one layer comes with
constexpr uint64_t kBesidesBlocks = 512;    ///< of each layer

using Layers = std::vector<const chunk::LayerRef*>;

struct InOneRepository {
  std::string repository;
  Layers layers;
  bool is_second = false;  ///< of those that the layers can be had from
  bool is_again = false;   ///< by now we know whom we ask, and can prove that we may
};

std::vector<InOneRepository> questions_about(const Layers& layers, bool is_second) {
  std::map<std::string, Layers> by_repository;
  for (const auto* layer : layers)
    if (const auto all = repositories_of(*layer); all.size() > is_second)
      by_repository[all[is_second]].push_back(layer);
  std::vector<InOneRepository> made;
  for (const auto& [repository, of_it] : by_repository)
    for (size_t i = 0; i < of_it.size(); ++i) {
      if (i % kMostInQuestion == 0) made.push_back({repository, {}, is_second});
      made.back().layers.push_back(of_it[i]);
    }
  return made;
}

uint64_t longest_answer(const Layers& layers) {
  uint64_t made = kBesidesLayers;
  for (const auto* layer : layers)
    made += kBesidesBlocks + (chunk::block_count(layer->size) / 8 + 3) / 3 * 4;
  return made;
}

std::string list_of(const Layers& layers) {
  std::string made;
  for (const auto* layer : layers) made += (made.empty() ? "" : ",") + layer->digest.hex();
  return made;
}

void note(Survey& made, const InOneRepository& asked, const SurveyedMember& who, const News& news) {
  for (const auto* layer : asked.layers) {
    const auto found = news.layers.find(layer->digest);
    if (found == news.layers.end() || found->second.size != layer->size) continue;
    const LayerNews& said = found->second;
    const uint64_t count = said.blocks.count();
    if (!said.wants && !said.sealed && count == 0) continue;
    auto& members = made.members[layer->digest];
    const SurveyedMember one{who.endpoint, who.node_id, who.zone,
                             said.wants,   said.sealed, said.blocks};
    const auto same = std::find_if(members.begin(), members.end(), [&](const auto& member) {
      return member.node_id == who.node_id;
    });
    if (same == members.end())
      members.push_back(one);
    else if (same->blocks.count() < count)
      *same = one;
  }
}

/// One survey: who was asked what, and what has come of it.
class Round {
 public:
  Round(DemandClient& client, const PeerTable& table, util::SteadyTime deadline)
      : client_(client), table_(table), deadline_(deadline) {}

  void ask(const std::vector<Endpoint>& peers, const Layers& layers) {
    auto questions = questions_about(layers, false);
    questions.resize(std::min(questions.size(), kMostQuestions));
    peers_.reserve(peers.size());
    for (const auto& endpoint : peers) {
      peers_.push_back({endpoint});
      for (const auto& question : questions) ask(peers_.size() - 1, question);
    }
  }
  /// Until all have answered, or the deadline.
  void take_in(Survey& made) {
    for (size_t ended = 0; ended < asked_.size(); ++ended) {
      auto answer = next_answer();
      if (!answer || std::chrono::steady_clock::now() >= deadline_) break;
      const Asked asked = asked_[answer->number];
      Peer& peer = peers_[asked.peer];
      if (answer->outcome && hears(made, asked, *answer->outcome)) --peer.open;
    }
    std::set<std::string> nodes;
    for (const auto& peer : peers_)
      if (peer.open == 0) nodes.insert(peer.node_id);
    made.answered = nodes.size();
  }

 private:
  struct Peer {
    Endpoint endpoint;
    size_t asked = 0;  ///< questions
    size_t open = 0;   ///< without an answer
    std::string node_id{};
  };
  struct Asked {
    size_t peer = 0;
    InOneRepository question;
  };
  struct Answer {
    size_t number = 0;  ///< into asked_
    util::Outcome<http::Response> outcome;
  };

  void ask(size_t number, const InOneRepository& question) {
    Peer& peer = peers_[number];
    ++peer.asked;
    ++peer.open;
    auto request = client_.request(
        peer.endpoint, "/v1/layers",
        {{"repository", question.repository}, {"layers", list_of(question.layers)}, {"look", "1"}});
    const auto left = deadline_ - std::chrono::steady_clock::now();
    request.total_timeout = std::max(std::chrono::ceil<std::chrono::milliseconds>(left), kShortest);
    request.max_body = longest_answer(question.layers);
    http::Handlers handlers;
    handlers.on_done = [this, at = asked_.size()](util::Outcome<http::Response> outcome) {
      answers_.lock()->push_back({at, std::move(outcome)});
      changed_.notify_all();
    };
    asked_.push_back({number, question});
    exchanges_.push_back(client_.ask(std::move(request), std::move(handlers)));
  }

  std::optional<Answer> next_answer() {
    auto answers = answers_.lock();
    if (!answers.wait_until(changed_, deadline_, [&] { return !answers->empty(); })) return {};
    Answer made = std::move(answers->front());
    answers->pop_front();
    return made;
  }

  /// Whether that answers the question, or others that are asked instead will.
  bool hears(Survey& made, const Asked& asked, const http::Response& response) {
    Peer& peer = peers_[asked.peer];
    if (response.peer == table_.self() || table_.banned(response.peer)) return false;
    const bool fresh = client_.met(peer.endpoint, response);
    if (response.status == 403) return asks_again(asked, fresh);
    if (response.status != 200) return false;
    const auto news = News::parse(response.body);
    if (!news) return false;
    peer.node_id = response.peer;
    const auto known = table_.find(peer.endpoint);
    note(made, asked.question, {peer.endpoint, response.peer, known ? known->zone : "", {}, {}, {}},
         *news);
    return true;
  }

  bool asks_again(const Asked& asked, bool fresh) {
    std::vector<InOneRepository> instead;
    if (fresh && !asked.question.is_again) {
      instead.push_back(asked.question);
      instead.back().is_again = true;
    } else if (!asked.question.is_second) {
      instead = questions_about(asked.question.layers, true);
    }
    if (peers_[asked.peer].asked + instead.size() > 2 * kMostQuestions) return false;
    size_t covered = 0;
    for (const auto& question : instead) {
      covered += question.layers.size();
      ask(asked.peer, question);
    }
    return covered == asked.question.layers.size();
  }

  static constexpr std::chrono::milliseconds kShortest{1};

  DemandClient& client_;
  const PeerTable& table_;
  const util::SteadyTime deadline_;
  std::vector<Peer> peers_;
  std::vector<Asked> asked_;
  std::condition_variable changed_;
  util::Sync<std::deque<Answer>> answers_;
  std::vector<std::unique_ptr<http::Exchange>>
      exchanges_;  ///< last: their callbacks use the others
};

std::vector<Endpoint> whom_to_survey(const PeerTable& table, const std::string& zone) {
  std::vector<Endpoint> made;
  const auto candidates = table.candidates(0);
  for (const size_t i : choose(candidates, zone)) made.push_back(candidates[i].endpoint);
  return made;
}

}  // namespace

Survey survey(DemandClient& client, const PeerTable& table, const std::string& zone,
              const std::vector<chunk::LayerRef>& layers, std::chrono::milliseconds patience) {
  Survey made;
  auto peers = whom_to_survey(table, zone);
  made.known = peers.size();
  Layers with_origin;
  for (const auto& layer : layers)
    if (!repositories_of(layer).empty()) with_origin.push_back(&layer);
  peers.resize(with_origin.empty() ? 0 : std::min(peers.size(), Survey::kMostAsked));
  made.asked = peers.size();
  Round round(client, table, std::chrono::steady_clock::now() + patience);
  round.ask(peers, with_origin);
  round.take_in(made);
  return made;
}

}  // namespace swarmfs::swarm
