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

#include "http/peer_server.h"
#include "http/tls_session.h"
#include "util/clock.h"
#include "util/operation.h"

namespace swarmfs::http {

class PeerConnection;

/// One thread of a PeerServer and the connections that live on it.
class PeerLoop {
 public:
  using Socket = boost::asio::ip::tcp::socket;
  /// Of all loops together.
  struct Tally {
    std::atomic<uint64_t> accepted{0};
    std::atomic<uint64_t> failed_handshakes{0};
    std::atomic<uint64_t> open{0};
  };

  /// All three outlive the loop. The caps of `options` hold per loop.
  PeerLoop(const PeerServerOptions& options, const PeerServer::Handler& handler, Tally& tally);
  /// Drains, and waits for the thread.
  ~PeerLoop();
  PeerLoop(const PeerLoop&) = delete;
  PeerLoop& operator=(const PeerLoop&) = delete;

  /// The thread runs from here on.
  void start();

  // Any thread.
  boost::asio::io_context& context() { return context_; }
  [[nodiscard]] uint64_t load() const { return load_; }
  void adopt(Socket socket, std::shared_ptr<const TlsContext> tls);
  /// Connections end after the answer they are at.
  void retire_all();
  /// retire_all(), and the thread ends when the last is gone or `grace` has passed.
  void drain();
  void join();

  // Its own thread, for its connections.
  [[nodiscard]] const PeerServerOptions& options() const { return options_; }
  void failed_handshake() { ++tally_.failed_handshakes; }
  /// Makes room for one that has shaken hands; false: there is none.
  bool admit();
  /// Runs the handler; the answer comes back by PeerConnection::answer(number, …).
  void handle(const PeerRequest& request, uint64_t connection, uint64_t number);
  /// Some deadline is this one now.
  void watch(util::SteadyTime deadline);
  void remove(uint64_t connection);

 private:
  void begin(Socket socket, const TlsContext& tls);
  void limit_handshakes();
  void answer(uint64_t connection, uint64_t number, PeerResponse response);
  void each(const std::function<void(PeerConnection&)>& call);
  void expire();

  const PeerServerOptions& options_;
  const PeerServer::Handler& handler_;
  Tally& tally_;
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
  uint64_t last_id_ = 0;
  std::thread thread_;
};

}  // namespace swarmfs::http
