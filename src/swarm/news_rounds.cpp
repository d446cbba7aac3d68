// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/news_rounds.h"

#include <algorithm>
#include <random>

#include "swarm/shareholders.h"
#include "util/log.h"

namespace swarmfs::swarm {

namespace {

constexpr std::chrono::seconds kGreeting{20};
constexpr std::chrono::seconds kPatience{3};
constexpr size_t kMostLayers = 128;
constexpr uint64_t kLength = 16 * 1024;

std::string join(const std::vector<util::Digest>& digests) {
  std::string made;
  for (const auto& digest : digests) made += (made.empty() ? "" : ",") + digest.hex();
  return made;
}

}  // namespace

NewsRounds::NewsRounds(DemandClient& client, PeerTable& table, LayerViews& views,
                       RegistryViews& registries, Holdings& holdings, util::Timers& timers)
    : client_(client),
      table_(table),
      views_(views),
      registries_(registries),
      holdings_(holdings),
      timers_(timers),
      first_turn_(std::random_device{}()) {
  tick_ = timers_.every(kFirstNewsPeriod, [this] { tick(); });
}

NewsRounds::~NewsRounds() {
  state_.lock()->stopping = true;
  stop_waiting();
  tick_.cancel();
  std::exchange(*soon_.lock(), {}).cancel();
  std::list<AskingPtr> asking;
  asking.swap(state_.lock()->asking);
  for (const auto& one : asking) one->exchange.reset();  // waits for on_done()
  std::exchange(*soon_.lock(), {}).cancel();             // which may have ordered a round
}

void NewsRounds::set_known(const std::vector<Endpoint>& peers) {
  table_.add(peers);
  soon();
}

void NewsRounds::soon() {
  auto operation = timers_.after({}, [this] { round(); });
  std::swap(*soon_.lock(), operation);
}

void NewsRounds::begin() {
  state_.lock()->begun_until = std::chrono::steady_clock::now() + kNewsBegin;
  soon();
}

void NewsRounds::tick() {
  const bool due = ++ticks_ % (kNewsPeriod / kFirstNewsPeriod) == 0;
  if (due || std::chrono::steady_clock::now() < state_.lock()->begun_until) round();
}

bool NewsRounds::wait_for_news(util::SteadyTime until) {
  auto state = state_.lock();
  const uint64_t rounds = state->rounds, answers = state->answers;
  state.wait_until(changed_, until, [&] {
    const bool round_ended = state->rounds != rounds && state->asking.empty();
    return state->answers != answers || round_ended || state->nobody_waits;
  });
  return state->answers != answers && !state->nobody_waits;
}

void NewsRounds::stop_waiting() {
  state_.lock()->nobody_waits = true;
  changed_.notify_all();
}

bool NewsRounds::has_all(const util::Digest& layer) const {
  try {
    const auto held = holdings_.held(layer);
    return held && held->complete;
  } catch (const std::exception& error) {  // a manifest lied about its size, or the disk fails
    util::log::debug("swarm: layer {}: {}", layer.short_hex(), error.what());
    return true;
  }
}

std::vector<NewsRounds::Group> NewsRounds::groups() {
  std::map<std::string, Group> made;
  std::set<std::string> registries;
  for (const auto& layer : views_.interesting(std::chrono::steady_clock::now())) {
    if (has_all(layer.digest)) continue;
    for (const auto& origin : layer.origins) registries.insert(origin.registry);
    for (const auto& repository : repositories_of(layer)) {
      auto& group = made[repository];
      group.repository = repository;
      if (group.layers.size() < kMostLayers) group.layers.push_back(layer.digest);
    }
  }
  state_.lock()->registries = std::move(registries);
  std::vector<Group> list;
  for (auto& [name, group] : made) list.push_back(std::move(group));
  return list;
}

bool NewsRounds::begins_with(const Endpoint& peer, bool has_topic) {
  const auto now = std::chrono::steady_clock::now();
  auto state = state_.lock();
  const bool busy = std::any_of(state->asking.begin(), state->asking.end(),
                                [&](const AskingPtr& one) { return one->peer == peer; });
  auto& greeted = state->greeted[peer];
  if (busy || state->stopping || (!has_topic && now - greeted < kGreeting)) return false;
  greeted = now;
  return true;
}

uint64_t NewsRounds::next_turn(bool has_topic) {
  auto state = state_.lock();
  if (has_topic) return first_turn_ + state->rounds;
  return first_turn_ +
         static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch() / kGreeting);
}

std::vector<Endpoint> NewsRounds::whom(const std::vector<Group>& topics, uint64_t turn) const {
  std::vector<util::Digest> layers;
  for (const auto& topic : topics)
    layers.insert(layers.end(), topic.layers.begin(), topic.layers.end());
  const auto layer = layers.empty() ? util::Digest{} : layers[turn % layers.size()];
  const auto members = views_.to_ask(layer);
  std::map<Endpoint, NewsPeer> peers;
  for (const auto& peer : table_.candidates(kLength)) {
    const auto member = members.find(peer.endpoint);
    peers[peer.endpoint] = member == members.end() ? NewsPeer{} : member->second;
  }
  std::vector<Endpoint> endpoints;
  std::vector<NewsPeer> choice;
  for (const auto& [endpoint, peer] : peers) {
    endpoints.push_back(endpoint);
    choice.push_back(peer);
  }
  std::vector<Endpoint> made;
  for (const size_t i : whom_to_ask(choice, turn / std::max<size_t>(1, layers.size())))
    made.push_back(endpoints[i]);
  return made;
}

void NewsRounds::round() {
  const auto topics = groups();
  const uint64_t turn = next_turn(!topics.empty());
  const bool begins = std::chrono::steady_clock::now() < state_.lock()->begun_until;
  const auto peers = whom(topics, turn);
  for (size_t i = 0; i < peers.size(); ++i) {
    if (!begins_with(peers[i], !topics.empty())) continue;
    const bool named = has_to_name(i, peers.size(), turn, begins);
    for (const auto& topic : topics) ask(peers[i], topic, named);
    if (topics.empty()) ask(peers[i], {}, named);
  }
  ++state_.lock()->rounds;
  changed_.notify_all();
}

void NewsRounds::ask(const Endpoint& peer, const Group& group, bool named) {
  auto attempt = table_.attempt(peer, kLength, true);
  if (!attempt) return;
  auto asking = std::make_shared<Asking>();
  asking->peer = peer;
  asking->group = group;
  asking->attempt = std::move(attempt);
  DemandClient::Query query{
      {"repository", group.repository}, {"layers", join(group.layers)}, {"runs", "1"}};
  if (!named) query["named"] = "0";
  auto request = client_.request(peer, "/v1/layers", std::move(query));
  request.total_timeout = kPatience;
  http::Handlers handlers;
  handlers.on_done = [this,
                      weak = std::weak_ptr(asking)](const util::Outcome<http::Response>& outcome) {
    if (const auto one = weak.lock()) on_done(one, outcome);
  };
  state_.lock()->asking.push_back(asking);
  auto exchange = client_.ask(std::move(request), std::move(handlers));
  auto state = state_.lock();
  const auto& list = state->asking;
  if (std::find(list.begin(), list.end(), asking) != list.end())
    asking->exchange = std::move(exchange);
  state.unlock();  // an exchange that has ended dies without the lock
}

void NewsRounds::on_done(const AskingPtr& asking, const util::Outcome<http::Response>& outcome) {
  if (outcome) {
    asking->attempt->declined();
    take_in(*asking, *outcome);
  } else {
    asking->attempt->failed(outcome.failure().message);
    views_.gone(asking->peer);
    util::log::debug("peer {}: {}", asking->peer.to_string(), outcome.failure().message);
  }
  // Last, and under the lock: once it is off the list nobody waits for this any more.
  auto state = state_.lock();
  state->asking.remove(asking);
  ++state->answers;
  changed_.notify_all();
}

void NewsRounds::take_in(const Asking& asking, const http::Response& response) {
  const bool fresh = client_.met(asking.peer, response);
  if (response.peer == table_.self()) return views_.gone(asking.peer);
  const auto now = std::chrono::steady_clock::now();
  if (!hear_of_registries(response, now)) {
    table_.ban(asking.peer, "it talks nonsense of registries");
    return views_.gone(asking.peer);
  }
  if (response.status == 403 && fresh) return soon();
  if (response.status != 200)
    return views_.heard(asking.peer, asking.group.repository, asking.group.layers, {}, now,
                        response.peer);
  const auto news = News::parse(response.body);
  if (!news) {
    table_.ban(asking.peer, "it talks nonsense: " + news.failure().message);
    return views_.gone(asking.peer);
  }
  table_.met(asking.peer, response.peer, news->zone);
  views_.heard(asking.peer, asking.group.repository, asking.group.layers, *news, now,
               response.peer);
  learn(*news);
}

bool NewsRounds::hear_of_registries(const http::Response& response, util::SteadyTime now) {
  const auto words = parse_registry_words(response.header("Swarmfs-Registries").value_or(""));
  if (!words) return false;
  if (!response.peer.empty()) registries_.heard(response.peer, *words, now);
  return true;
}

RegistryWords NewsRounds::registry_words() {
  RegistryWords made;
  for (const auto& [host, word] : holdings_.registries()) made[registry_name(host)] = word;
  if (table_.candidates(0).size() > kMostShareholders) return made;
  const auto registries = state_.lock()->registries;
  for (const auto& host : registries) made[registry_name(host)].asks = true;
  return made;
}

/// They are peers only once they have shown a certificate.
void NewsRounds::learn(const News& news) {
  std::vector<Endpoint> fresh;
  for (const auto& [layer, said] : news.layers)
    for (const auto& [node_id, peer] : said.shareholders)
      if (node_id != table_.self() && views_.named(layer, node_id, peer)) fresh.push_back(peer);
  table_.add(fresh);
}

}  // namespace swarmfs::swarm
