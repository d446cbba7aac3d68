// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "http/bulk_window.h"
#include "http/urgent_answers.h"
#include "util/clock.h"

namespace swarmfs::http {

/// Who writes when: of the bulk answers to one client only as many are written at once as its
/// BulkWindow says, in the order in which they came. So the first of them is there early, which the
/// client can pass on, and none waits in the kernel. None is written while an urgent one is. One
/// that waits for long writes a little all the same: the client sees that it will come, and we,
/// whether the client is there.
/// Knows no sockets. Not synchronised.
class BulkTurns {
 public:
  struct Connection {
    unsigned loop = 0;
    uint64_t id = 0;  ///< there
    auto operator<=>(const Connection&) const = default;
  };

  /// `urgent` outlives it.
  explicit BulkTurns(const UrgentAnswers& urgent) : urgent_(urgent) {}

  /// There is an answer to write to `client` on `connection`, which has none other.
  void enter(const std::string& client, const Connection& connection);
  struct Turn {
    size_t share = 0;        ///< so much of it may be on its way, in bytes
    size_t most = SIZE_MAX;  ///< that may be written before it is asked again
  };
  /// Its socket takes more. Empty: it may not be written yet, and will be among ready().
  [[nodiscard]] std::optional<Turn> may_write(const Connection& connection, util::SteadyTime now);
  /// Some of it went out.
  void wrote(const Connection& connection, const BulkWindow::Path& path, util::SteadyTime now);
  /// It is through, or gone. Nothing happens where it was not in.
  void leave(const Connection& connection);
  /// Those that wait and may write now, each once; of those of a client that wait for long one.
  /// Others are let in beside a client's connection that takes nothing for a while (its request is
  /// paused, say).
  [[nodiscard]] std::vector<Connection> ready(util::SteadyTime now);
  [[nodiscard]] bool anybody_waits() const { return waiting_ > 0; }

 private:
  struct Answer {
    Connection connection;
    bool waits = false;
    bool excused = false;                               ///< from waiting, once
    util::SteadyTime served = util::SteadyTime::max();  ///< when it might write last, or came
    util::SteadyTime moved = util::SteadyTime::max();   ///< last; max(): may not write
  };
  struct Client {
    BulkWindow window;
    util::Duration trip{};
    std::list<Answer> answers;  ///< in their order
  };
  using Clients = std::map<std::string, Client>;

  void add_ready(Client& client, util::SteadyTime now, std::vector<Connection>& ready);
  [[nodiscard]] static bool is_stuck(const Client& client, const Answer& answer,
                                     util::SteadyTime now);
  [[nodiscard]] static bool has_turn(const Client& client, const Answer& answer,
                                     util::SteadyTime now);
  [[nodiscard]] static Answer& of(Client& client, const Connection& connection);

  const UrgentAnswers& urgent_;
  Clients clients_;
  std::map<Connection, Clients::iterator> in_;
  size_t waiting_ = 0;
};

}  // namespace swarmfs::http
