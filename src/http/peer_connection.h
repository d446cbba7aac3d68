// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "http/peer_server.h"
#include "http/tls_session.h"
#include "http/urgent_answers.h"
#include "util/clock.h"

namespace swarmfs::http {

class PeerLoop;

/// One client of a PeerServer, from its handshake to its end. All on its loop's thread.
class PeerConnection : public std::enable_shared_from_this<PeerConnection> {
 public:
  enum class State { handshaking, idle, reading, answering, writing, lingering, closed };

  PeerConnection(PeerLoop& loop, uint64_t id, boost::asio::ip::tcp::socket socket,
                 const TlsContext& tls);

  void start();
  /// To request `number`; nothing happens where that was answered before.
  void answer(uint64_t number, PeerResponse response);
  /// Its bulk may be written from now on (PeerLoop::turns).
  void take_turn();
  /// Ends it after the answer it is at.
  void retire();
  /// What its deadline, which has passed, was for.
  void expire();
  void close();

  [[nodiscard]] State state() const { return state_; }
  /// Has shaken hands.
  [[nodiscard]] bool is_member() const { return member_; }
  [[nodiscard]] util::SteadyTime deadline() const { return deadline_; }

 private:
  /// What the state machine does next.
  enum class Next { go_on, read, write, yield, rest };
  using Parser = boost::beast::http::request_parser<boost::beast::http::empty_body>;

  void proceed();
  Next step();
  Next shake_hands();
  Next read_request();
  std::optional<Next> parse();
  Next take_request();
  Next refuse(int status);
  Next write();
  void note_progress(size_t bytes);
  Next written();
  Next say_goodbye();
  Next linger();
  Next end();
  void await_request();
  void take_long(PeerResponse sign);
  void give_up();
  void show_life();
  void begin_answer(PeerResponse response);
  void mark(bool bulk);
  /// So much may be written now; 0: it waits.
  size_t turn();
  void limit_buffer(size_t share);
  void begin_urgent();
  void end_sending();
  Next after(TlsSession::Step step);
  void enter(State state, std::chrono::milliseconds timeout);

  PeerLoop& loop_;
  const uint64_t id_;
  boost::asio::ip::tcp::socket socket_;
  TlsSession tls_;
  State state_ = State::handshaking;
  util::SteadyTime deadline_ = util::SteadyTime::max();
  bool member_ = false;
  bool last_ = false;         ///< the answer under way is the last one
  std::optional<bool> bulk_;  ///< as which its traffic is marked
  bool in_turns_ = false;     ///< its answer is among PeerLoop::turns()
  /// Somebody waits for its answer, and for more than a few lines.
  std::optional<UrgentAnswers::Hold> urgent_;
  uint64_t bulk_written_ = 0;  ///< since it gives nothing else
  size_t buffer_size_ = 0;     ///< the kernel's, for what is sent; 0: its own choice
  std::string remote_address_;
  std::string peer_;
  std::chrono::system_clock::time_point expires_;

  boost::beast::flat_buffer buffer_;
  std::optional<Parser> parser_;
  size_t header_bytes_ = 0;
  uint64_t number_ = 0;  ///< of the request
  bool head_only_ = false;
  util::SteadyTime answer_until_{};  ///< where the handler said that it will take long
  std::function<void()> on_gone_;    ///< likewise

  std::vector<util::SharedBytes> parts_;  ///< of the answer, its header first
  size_t part_ = 0;
  size_t at_ = 0;
  size_t written_ = 0;  ///< of the answer, its header included
  size_t discarded_ = 0;
};

}  // namespace swarmfs::http
