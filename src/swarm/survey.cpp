// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/survey.h"

#include <algorithm>
#include <condition_variable>
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
constexpr uint64_t kLongestNews = 32 << 20;

using Sizes = std::map<util::Digest, uint64_t>;
/// By repository: lists of digests as a question says them.
using Questions = std::vector<std::pair<std::string, std::string>>;

using Heard = std::vector<std::pair<Endpoint, http::Response>>;

struct Answers {
  std::condition_variable changed;
  struct Inside {
    Heard heard;
    size_t ended = 0;
  };
  util::Sync<Inside> inside;
};

Questions questions_about(const std::vector<chunk::LayerRef>& layers) {
  std::map<std::string, std::vector<std::string>> by_repository;
  for (const auto& layer : layers)
    for (const auto& repository : repositories_of(layer))
      by_repository[repository].push_back(layer.digest.hex());
  Questions made;
  for (const auto& [repository, digests] : by_repository)
    for (size_t i = 0; i < digests.size(); ++i) {
      if (i % kMostInQuestion == 0) made.emplace_back(repository, "");
      auto& list = made.back().second;
      list += (list.empty() ? "" : ",") + digests[i];
    }
  return made;
}

void note(Survey& made, const Sizes& sizes, const SurveyedMember& who, const News& news) {
  for (const auto& [digest, said] : news.layers) {
    const auto size = sizes.find(digest);
    const uint64_t count = said.blocks.count();
    if (size == sizes.end() || size->second != said.size) continue;
    if (!said.wants && !said.sealed && count == 0) continue;
    auto& members = made.members[digest];
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

std::vector<std::unique_ptr<http::Exchange>> ask_each(DemandClient& client,
                                                      const std::vector<Endpoint>& peers,
                                                      const Questions& questions,
                                                      std::chrono::milliseconds patience,
                                                      Answers& answers) {
  std::vector<std::unique_ptr<http::Exchange>> made;
  for (const auto& peer : peers)
    for (const auto& [repository, layers] : questions) {
      auto request = client.request(
          peer, "/v1/layers", {{"repository", repository}, {"layers", layers}, {"look", "1"}});
      request.total_timeout = patience;
      request.max_body = kLongestNews;
      http::Handlers handlers;
      handlers.on_done = [&answers, peer](util::Outcome<http::Response> outcome) {
        auto inside = answers.inside.lock();
        if (outcome) inside->heard.emplace_back(peer, std::move(*outcome));
        ++inside->ended;
        answers.changed.notify_all();
      };
      made.push_back(client.ask(std::move(request), std::move(handlers)));
    }
  return made;
}

Heard ask_all(DemandClient& client, const std::vector<Endpoint>& peers, const Questions& questions,
              std::chrono::milliseconds patience) {
  Answers answers;
  const auto exchanges = ask_each(client, peers, questions, patience, answers);
  auto inside = answers.inside.lock();
  inside.wait_until(answers.changed, std::chrono::steady_clock::now() + patience,
                    [&] { return inside->ended == exchanges.size(); });
  return std::exchange(inside->heard, {});
}

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
  const auto questions = questions_about(layers);
  peers.resize(questions.empty() ? 0 : std::min(peers.size(), Survey::kMostAsked));
  made.asked = peers.size();
  Sizes sizes;
  for (const auto& layer : layers) sizes.emplace(layer.digest, layer.size);
  std::set<std::string> nodes;
  for (const auto& [endpoint, response] : ask_all(client, peers, questions, patience)) {
    if (response.peer == table.self() || table.banned(response.peer)) continue;
    nodes.insert(response.peer);
    const auto known = table.find(endpoint);
    const SurveyedMember who{endpoint, response.peer, known ? known->zone : "", false, false, {}};
    const auto news =
        response.status == 200 ? News::parse(response.body) : util::Outcome<News>(News{});
    if (news) note(made, sizes, who, *news);
  }
  made.answered = nodes.size();
  return made;
}

}  // namespace swarmfs::swarm
