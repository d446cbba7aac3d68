// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/preheat_run.h"

#include <fmt/format.h>

#include <algorithm>

#include "util/log.h"

namespace swarmfs::swarm {

using util::Outcome;
using Next = PreheatTalk::Next;
using std::chrono::steady_clock;
using namespace std::chrono_literals;

namespace {

constexpr auto kPatience = 5s;   ///< for one answer
constexpr auto kTick = 50ms;     ///< what falls due is looked for so often
constexpr size_t kAtOnce = 256;  ///< nodes
constexpr uint64_t kLongestAnswer = 64 * 1024;

/// A refusal that asking again would not change.
bool is_final(int status) {
  return status == 400 || status == 403 || status == 405;
}

/// It is busy, or has forgotten the order.
bool may_be_ordered_later(Next to, int status) {
  return status == 404 || (to == Next::order && status == 503);
}

std::string why_not(Next to, const http::Response& response) {
  if (to == Next::look && response.status == 404) return "it forgot the order";
  return fmt::format("answers {}: {}", response.status, one_line(response.body));
}

}  // namespace

PreheatRun::PreheatRun(PreheatPlan plan, std::string self, DemandClient& client, Preheats& own)
    : plan_(std::move(plan)),
      self_(std::move(self)),
      client_(client),
      own_(own),
      order_{self_, PreheatOrder::make_id()} {
  {
    auto inside = inside_.lock();
    for (size_t i = 0; i < plan_.members.size(); ++i)
      inside->talks.emplace_back(plan_.pace, steady_clock::now());
  }
  thread_ = std::thread([this] { run(); });
}

PreheatRun::~PreheatRun() {
  cancel();
  thread_.join();
}

void PreheatRun::cancel() {
  auto inside = inside_.lock();
  if (!inside->ended) inside->cancelled = true;
  changed_.notify_all();
}

PreheatRun::View PreheatRun::wait(std::chrono::milliseconds most) {
  auto inside = inside_.lock();
  inside.wait_until(changed_, steady_clock::now() + most, [&] { return inside->ended; });
  View made{inside->ended, inside->cancelled, {}};
  for (size_t i = 0; i < plan_.members.size(); ++i)
    made.nodes.push_back({plan_.members[i], inside->talks[i].state()});
  return made;
}

void PreheatRun::run() {
  Exchanges exchanges(plan_.members.size());
  while (goes_on()) {
    const auto busy = static_cast<size_t>(
        std::count_if(exchanges.begin(), exchanges.end(), [](const auto& one) { return !!one; }));
    for (const auto& [node, to] : due(kAtOnce - std::min(busy, kAtOnce))) {
      if (is_self(node))
        ask_ourselves(node, to);
      else
        exchanges[node] = say(node, to == Next::order ? "POST" : "GET", to);
    }
    for (const auto& answer : wait_for_answers()) {
      exchanges[answer.node].reset();
      take_in(answer);
    }
  }
  exchanges.clear();
  inside_.lock()->answers.clear();
  take_back();
  inside_.lock()->ended = true;
  changed_.notify_all();
}

bool PreheatRun::goes_on() const {
  auto inside = inside_.lock();
  return !inside->cancelled && !std::all_of(inside->talks.begin(), inside->talks.end(),
                                            [](const auto& talk) { return talk.ended(); });
}

std::vector<std::pair<size_t, Next>> PreheatRun::due(size_t room) {
  std::vector<std::pair<size_t, Next>> made;
  const auto now = steady_clock::now();
  auto inside = inside_.lock();
  for (size_t i = 0; i < inside->talks.size() && made.size() < room; ++i) {
    const Next next = inside->talks[i].next(now);
    if (next == Next::nothing) continue;
    inside->talks[i].asking();
    made.emplace_back(i, next);
  }
  return made;
}

std::deque<PreheatRun::Answer> PreheatRun::wait_for_answers() {
  auto inside = inside_.lock();
  inside.wait_until(changed_, steady_clock::now() + kTick,
                    [&] { return !inside->answers.empty() || inside->cancelled; });
  return std::exchange(inside->answers, {});
}

std::unique_ptr<http::Exchange> PreheatRun::say(size_t node, const std::string& method, Next to) {
  DemandClient::Query query;
  if (method == "POST") query = {{"reference", plan_.reference}, {"platform", plan_.platform}};
  auto request =
      client_.request(plan_.members[node].endpoint, "/v1/preheats/" + order_.id, std::move(query));
  request.method = method;
  request.total_timeout = kPatience;
  request.max_body = kLongestAnswer;
  http::Handlers handlers;
  handlers.on_done = [this, node, to](Outcome<http::Response> outcome) {
    inside_.lock()->answers.push_back({node, to, std::move(outcome)});
    changed_.notify_all();
  };
  return client_.ask(std::move(request), std::move(handlers));
}

void PreheatRun::ask_ourselves(size_t node, Next to) {
  const auto ask = [&]() -> Outcome<PreheatState> {
    try {
      if (to == Next::look) return own_.look(order_);
      const auto begun = own_.begin(order_, plan_.reference, plan_.platform);
      if (!begun) return begun.failure();
      return PreheatState{};
    } catch (const std::exception& error) {  // as for others, it is no more than a node that failed
      return util::Failure{util::Fault::unavailable, error.what()};
    }
  };
  auto state = ask();
  const auto now = steady_clock::now();
  auto inside = inside_.lock();
  auto& talk = inside->talks[node];
  if (!state) {
    const auto& [fault, why] = state.failure();
    const bool later = fault == util::Fault::unavailable || fault == util::Fault::not_found;
    return later ? talk.put_off(why, now) : talk.refused(why, now);
  }
  to == Next::order ? talk.accepted(now) : talk.heard(std::move(*state), now);
}

void PreheatRun::take_in(const Answer& answer) {
  const auto now = steady_clock::now();
  const auto& expected = plan_.members[answer.node].node_id;
  auto inside = inside_.lock();
  auto& talk = inside->talks[answer.node];
  if (!answer.outcome) return talk.silent(answer.outcome.failure().message, now);
  const http::Response& response = *answer.outcome;
  if (response.peer != expected) return talk.refused("another node answers there now", now);
  if (is_final(response.status)) return talk.refused(why_not(answer.to, response), now);
  if (may_be_ordered_later(answer.to, response.status))
    return talk.put_off(why_not(answer.to, response), now);
  if (answer.to == Next::order && response.status == 202) return talk.accepted(now);
  auto state = response.status == 200 ? PreheatState::parse(response.body)
                                      : Outcome<PreheatState>(util::Failure{
                                            util::Fault::invalid, why_not(answer.to, response)});
  state ? talk.heard(std::move(*state), now) : talk.silent(state.failure().message, now);
}

/// From all who may be at it; whether it was heard there is not worth an error.
void PreheatRun::take_back() {
  Exchanges exchanges;
  for (size_t node = 0; node < plan_.members.size(); ++node) {
    if (!inside_.lock()->talks[node].may_go_on()) continue;
    if (is_self(node))
      static_cast<void>(own_.take_back(order_));
    else
      exchanges.push_back(say(node, "DELETE", Next::nothing));
  }
  const auto until = steady_clock::now() + kPatience;
  auto inside = inside_.lock();
  inside.wait_until(changed_, until, [&] { return inside->answers.size() >= exchanges.size(); });
  inside.unlock();
  if (!exchanges.empty())
    util::log::info("preheat {}: taken back from {} nodes", plan_.reference, exchanges.size());
}

}  // namespace swarmfs::swarm
