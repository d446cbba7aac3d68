// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <memory>
#include <thread>

#include "http/bulk_turns.h"
#include "http/peer_server.h"
#include "http/tls_session.h"
#include "util/clock.h"
#include "util/operation.h"
#include "util/sync.h"

namespace swarmfs::http {

class PeerConnection;

/// One thread of a PeerServer and the connections that live on it.
class PeerLoop {
 public:
  using Socket = boost::asio::ip::tcp::socket;
  /// Of all loops together.
  struct Shared {
    std::atomic<uint64_t> accepted{0};
    std::atomic<uint64_t> failed_handshakes{0};
    std::atomic<uint64_t> open{0};
    UrgentAnswers urgent;
    util::Sync<BulkTurns> turns{BulkTurns(urgent)};
    /// It may write. Any thread.
    std::function<void(const BulkTurns::Connection&)> wake;
  };

  /// All of these outlive the loop. The caps of `options` hold per loop.
  PeerLoop(unsigned number, const PeerServerOptions& options, const PeerServer::Handler& handler,
           Shared& shared);
  /// Drains, and waits for the thread.
  ~PeerLoop();
  PeerLoop(const PeerLoop&) = delete;
  PeerLoop& operator=(const PeerLoop&) = delete;

  /// The thread runs from here on.
  void start();

  // Any thread.
  boost::asio::io_context& context() { return context_; }
  [[nodiscard]] uint64_t load() const { return load_; }
  /// Bulk of this connection may be written.
  void take_turn(uint64_t connection);
  void adopt(Socket socket, std::shared_ptr<const TlsContext> tls);
  /// Connections end after the answer they are at.
  void retire_all();
  /// retire_all(), and the thread ends when the last is gone or `grace` has passed.
  void drain();
  void join();

  // Its own thread, for its connections.
  [[nodiscard]] const PeerServerOptions& options() const { return options_; }
  void failed_handshake() { ++shared_.failed_handshakes; }
  /// Makes room for one that has shaken hands; false: there is none.
  bool admit();
  /// Runs the handler; the answer comes back by PeerConnection::answer(number, …).
  void handle(const PeerRequest& request, uint64_t connection, uint64_t number);
  /// Some deadline is this one now.
  void watch(util::SteadyTime deadline);
  void remove(uint64_t connection);
  [[nodiscard]] BulkTurns::Connection turn_of(uint64_t connection) const {
    return {number_, connection};
  }
  util::Sync<BulkTurns>& turns() { return shared_.turns; }
  UrgentAnswers::Hold begin_urgent() {
    return shared_.urgent.begin(std::chrono::steady_clock::now());
  }
  void end_urgent(UrgentAnswers::Hold hold) {
    if (shared_.urgent.end(hold, std::chrono::steady_clock::now())) next_turns();
  }
  /// Those whose turn has come are woken, on whichever loop they live.
  void next_turns();
  /// Somebody waits for a turn, which time alone may bring: when another is stuck, or the hold ends
  /// of an answer that is.
  void look_for_turns();

 private:
  void begin(Socket socket, const TlsContext& tls);
  void limit_handshakes();
  void answer(uint64_t connection, uint64_t number, PeerResponse response);
  void each(const std::function<void(PeerConnection&)>& call);
  void expire();

  const unsigned number_;
  const PeerServerOptions& options_;
  const PeerServer::Handler& handler_;
  Shared& shared_;
  std::atomic<uint64_t> load_{0};
  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      context_.get_executor()};
  std::shared_ptr<util::CallbackGate> gate_ = std::make_shared<util::CallbackGate>();
  boost::asio::steady_timer timer_{context_};
  util::SteadyTime next_look_ = util::SteadyTime::max();
  util::SteadyTime end_ = util::SteadyTime::max();  ///< of everything, once it drains
  bool draining_ = false;
  std::map<uint64_t, std::shared_ptr<PeerConnection>> connections_;  ///< in order of arrival
  boost::asio::steady_timer next_turns_{context_};
  util::SteadyTime looks_at_ = util::SteadyTime::max();  ///< when next_turns_ fires
  uint64_t last_id_ = 0;
  std::thread thread_;
};

}  // namespace swarmfs::http
