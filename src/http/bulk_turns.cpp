// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "http/bulk_turns.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace swarmfs::http {

namespace {

constexpr std::chrono::milliseconds kStuck{50};
constexpr std::chrono::seconds kLongestStuck{1};
/// Clients ask another for bulk of which nothing came for 1 s (swarm/policy: lags).
constexpr std::chrono::milliseconds kPatience{700};
constexpr size_t kLittle = 16 * 1024;
/// What is known of the way to clients that want nothing now.
constexpr size_t kMostClients = 256;

}  // namespace

void BulkTurns::enter(const std::string& client, const Connection& connection) {
  if (clients_.size() >= kMostClients)
    std::erase_if(clients_, [](const auto& one) { return one.second.answers.empty(); });
  const auto found = clients_.try_emplace(client).first;
  const bool fresh = in_.emplace(connection, found).second;
  assert(fresh);
  if (fresh) found->second.answers.push_back({.connection = connection});
}

bool BulkTurns::is_stuck(const Client& client, const Answer& answer, util::SteadyTime now) {
  return answer.moved != util::SteadyTime::max() &&
         now - answer.moved >= std::clamp<util::Duration>(4 * client.trip, kStuck, kLongestStuck);
}

bool BulkTurns::has_turn(const Client& client, const Answer& answer, util::SteadyTime now) {
  const size_t most = client.window.connections();
  size_t before = 0;
  for (const auto& other : client.answers) {
    if (&other == &answer) break;
    before += !is_stuck(client, other, now);
    if (before >= most) return false;
  }
  return true;
}

BulkTurns::Answer& BulkTurns::of(Client& client, const Connection& connection) {
  return *std::find_if(client.answers.begin(), client.answers.end(),
                       [&](const Answer& answer) { return answer.connection == connection; });
}

std::optional<BulkTurns::Turn> BulkTurns::may_write(const Connection& connection,
                                                    util::SteadyTime now) {
  Client& client = in_.at(connection)->second;
  Answer& answer = of(client, connection);
  const bool held = urgent_.hold_bulk(now);
  const bool turn = !held && has_turn(client, answer, now);
  const bool excused = !held && std::exchange(answer.excused, false) && !turn;
  const bool may = turn || excused;
  waiting_ += !may;
  waiting_ -= answer.waits;
  answer.waits = !may;
  answer.moved = may ? now : util::SteadyTime::max();
  answer.served = may ? now : std::min(answer.served, now);
  if (!may) return std::nullopt;
  return Turn{client.window.share(), excused ? kLittle : SIZE_MAX};
}

void BulkTurns::wrote(const Connection& connection, const BulkWindow::Path& path,
                      util::SteadyTime now) {
  Client& client = in_.at(connection)->second;
  of(client, connection).moved = now;
  client.trip = path.now;
  client.window.note(path, client.answers.size() >= client.window.connections(), now);
}

void BulkTurns::leave(const Connection& connection) {
  const auto found = in_.find(connection);
  if (found == in_.end()) return;
  Client& client = found->second->second;
  waiting_ -= of(client, connection).waits;
  client.answers.remove_if([&](const Answer& one) { return one.connection == connection; });
  in_.erase(found);
}

void BulkTurns::add_ready(Client& client, util::SteadyTime now, std::vector<Connection>& ready) {
  const size_t most = client.window.connections();
  size_t before = 0;
  bool excused = false;
  for (auto& answer : client.answers) {
    const bool turn = before < most;
    if (answer.waits && (turn || (!excused && now - answer.served >= kPatience))) {
      answer.excused = !turn;
      excused |= !turn;
      answer.waits = false;
      answer.moved = now;
      --waiting_;
      ready.push_back(answer.connection);
    }
    before += !is_stuck(client, answer, now);
  }
}

std::vector<BulkTurns::Connection> BulkTurns::ready(util::SteadyTime now) {
  std::vector<Connection> result;
  if (waiting_ == 0 || urgent_.hold_bulk(now)) return result;
  for (auto& [name, client] : clients_) add_ready(client, now, result);
  return result;
}

}  // namespace swarmfs::http
