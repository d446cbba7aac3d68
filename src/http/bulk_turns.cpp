// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "http/bulk_turns.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace swarmfs::http {

namespace {

constexpr std::chrono::milliseconds kStuck{50};
/// Clients end what says nothing for 5 s.
constexpr std::chrono::seconds kPatience{2};
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
         now - answer.moved >= std::max<util::Duration>(kStuck, 4 * client.trip);
}

bool BulkTurns::has_turn(const Client& client, const Answer& answer, util::SteadyTime now) {
  size_t before = 0;
  for (const auto& other : client.answers) {
    if (&other == &answer) break;
    before += !is_stuck(client, other, now);
  }
  return before < client.window.connections();
}

BulkTurns::Answer& BulkTurns::of(Client& client, const Connection& connection) {
  return *std::find_if(client.answers.begin(), client.answers.end(),
                       [&](const Answer& answer) { return answer.connection == connection; });
}

std::optional<size_t> BulkTurns::may_write(const Connection& connection, util::SteadyTime now) {
  Client& client = in_.at(connection)->second;
  Answer& answer = of(client, connection);
  const bool excused = std::exchange(answer.excused, false);
  const bool may = !urgent_.hold_bulk(now) && (excused || has_turn(client, answer, now));
  if (!may && !answer.waits) {
    ++waiting_;
    answer.asked = now;
  }
  if (may && answer.waits) --waiting_;
  answer.waits = !may;
  answer.moved = may ? now : util::SteadyTime::max();
  return may ? std::optional(client.window.share()) : std::nullopt;
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

std::vector<BulkTurns::Connection> BulkTurns::ready(util::SteadyTime now) {
  std::vector<Connection> result;
  if (urgent_.hold_bulk(now)) return result;
  for (auto& [name, client] : clients_)
    for (auto& answer : client.answers) {
      if (!answer.waits) continue;
      const bool turn = has_turn(client, answer, now);
      if (!turn && now - answer.asked < kPatience) continue;
      answer.excused = !turn;
      answer.waits = false;
      answer.moved = now;
      --waiting_;
      result.push_back(answer.connection);
    }
  return result;
}

}  // namespace swarmfs::http
