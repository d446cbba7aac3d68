// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "http/peer_loop.h"

#include <boost/asio/post.hpp>

#include "http/peer_connection.h"
#include "util/log.h"

namespace swarmfs::http {

namespace asio = boost::asio;
using State = PeerConnection::State;

namespace {

constexpr std::chrono::milliseconds kTurns{10};

}  // namespace

PeerLoop::PeerLoop(unsigned number, const PeerServerOptions& options,
                   const PeerServer::Handler& handler, Shared& shared)
    : number_(number), options_(options), handler_(handler), shared_(shared) {}

PeerLoop::~PeerLoop() {
  drain();
  join();
  gate_->close();
}

void PeerLoop::join() {
  if (thread_.joinable()) thread_.join();
}

void PeerLoop::start() {
  thread_ = std::thread([this] { context_.run(); });
}

void PeerLoop::adopt(Socket socket, std::shared_ptr<const TlsContext> tls) {
  ++load_;
  ++shared_.accepted;
  ++shared_.open;
  asio::post(context_, [this, moved = std::move(socket), tls = std::move(tls)]() mutable {
    begin(std::move(moved), *tls);
  });
}

void PeerLoop::begin(Socket socket, const TlsContext& tls) {
  if (draining_) return;
  limit_handshakes();
  const uint64_t id = ++last_id_;
  const auto connection = std::make_shared<PeerConnection>(*this, id, std::move(socket), tls);
  connections_.emplace(id, connection);
  connection->start();
}

/// Strangers that stay silent must not keep members out: of too many handshakes the oldest goes.
void PeerLoop::limit_handshakes() {
  std::shared_ptr<PeerConnection> oldest;
  unsigned count = 0;
  for (const auto& [id, connection] : connections_) {
    if (connection->is_member()) continue;
    if (!oldest) oldest = connection;
    ++count;
  }
  if (count >= options_.max_handshakes) oldest->expire();
}

bool PeerLoop::admit() {
  std::shared_ptr<PeerConnection> longest_idle;
  unsigned count = 0;
  for (const auto& [id, connection] : connections_) {
    if (!connection->is_member()) continue;
    ++count;
    if (connection->state() == State::idle &&
        (!longest_idle || connection->deadline() < longest_idle->deadline()))
      longest_idle = connection;
  }
  if (count < options_.max_connections) return true;
  if (longest_idle) longest_idle->retire();
  return longest_idle != nullptr;
}

void PeerLoop::handle(const PeerRequest& request, uint64_t connection, uint64_t number) {
  const PeerServer::Respond respond = [this, gate = gate_, connection,
                                       number](PeerResponse response) {
    gate->run([&] {
      asio::post(context_, [this, connection, number, moved = std::move(response)]() mutable {
        answer(connection, number, std::move(moved));
      });
    });
  };
  try {
    handler_(request, respond);
  } catch (const std::exception& error) {
    util::log::error("http: {} {} fails: {}", request.method, request.path, error.what());
    respond({500, {}, {}});
  }
}

void PeerLoop::answer(uint64_t connection, uint64_t number, PeerResponse response) {
  const auto found = connections_.find(connection);
  if (found == connections_.end()) {
    if (response.on_gone) response.on_gone();
    return;
  }
  const auto held = found->second;
  held->answer(number, std::move(response));
}

void PeerLoop::each(const std::function<void(PeerConnection&)>& call) {
  const auto snapshot = connections_;
  for (const auto& [id, connection] : snapshot) call(*connection);
}

void PeerLoop::retire_all() {
  asio::post(context_, [this] { each([](PeerConnection& connection) { connection.retire(); }); });
}

void PeerLoop::drain() {
  asio::post(context_, [this] {
    if (std::exchange(draining_, true)) return;
    work_.reset();
    each([](PeerConnection& connection) {
      connection.is_member() ? connection.retire() : connection.close();
    });
    end_ = std::chrono::steady_clock::now() + options_.grace;
    connections_.empty() ? void(timer_.cancel()) : watch(end_);
  });
}

void PeerLoop::watch(util::SteadyTime deadline) {
  if (deadline >= next_look_) return;
  next_look_ = deadline;
  timer_.expires_at(deadline);
  timer_.async_wait([this](boost::system::error_code error) {
    if (!error) expire();
  });
}

void PeerLoop::expire() {
  const auto now = std::chrono::steady_clock::now();
  next_look_ = util::SteadyTime::max();
  auto next = end_;
  each([&](PeerConnection& connection) {
    if (now >= end_) return connection.close();
    if (connection.deadline() <= now) connection.expire();
    if (connection.state() != State::closed) next = std::min(next, connection.deadline());
  });
  if (!connections_.empty()) watch(next);
}

void PeerLoop::take_turn(uint64_t connection) {
  asio::post(context_, [this, connection] {
    const auto found = connections_.find(connection);
    if (found != connections_.end()) std::shared_ptr(found->second)->take_turn();
  });
}

void PeerLoop::next_turns() {
  const auto ready = shared_.turns.lock()->ready(std::chrono::steady_clock::now());
  for (const auto& connection : ready) shared_.wake(connection);
  look_for_turns();
}

void PeerLoop::look_for_turns() {
  if (!shared_.turns.lock()->anybody_waits()) return;
  const auto now = std::chrono::steady_clock::now();
  const auto held_until = shared_.urgent.until();
  const auto at = held_until > now ? std::min(held_until, now + kTurns) : now + kTurns;
  if (at >= looks_at_) return;
  looks_at_ = at;
  next_turns_.expires_at(at);
  next_turns_.async_wait([this](boost::system::error_code error) {
    if (error) return;
    looks_at_ = util::SteadyTime::max();
    next_turns();
  });
}

void PeerLoop::remove(uint64_t connection) {
  connections_.erase(connection);
  --load_;
  --shared_.open;
  if (draining_ && connections_.empty()) timer_.cancel();
}

}  // namespace swarmfs::http
