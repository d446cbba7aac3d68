// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "swarm/policy.h"
#include "util/link_gauge.h"
#include "util/operation.h"
#include "util/shared_bytes.h"
#include "util/sync.h"
#include "util/token_bucket.h"

namespace swarmfs::swarm {

/// What is being given to other nodes now, until it is sent, and whether one more request of theirs
/// is within the limits. Any thread.
class Serving {
 public:
  struct Request {
    std::string peer;  ///< node id
    chunk::Class cls = chunk::Class::fault;
    uint64_t bytes = 0;
    bool here = false;  ///< it need not be waited for
  };

  explicit Serving(const ServeLimits& limits);
  /// For requests to come.
  void set_limits(const ServeLimits& limits);

  /// When there is no room for the request, no number; where it is a cap of bulk that says so, how
  /// long until it opens.
  struct Entry {
    std::optional<uint64_t> number;
    util::Duration wait{};
  };
  [[nodiscard]] Entry enter(const Request& request, util::SteadyTime now);
  /// Whether there is no room for one more chunk of bulk that is here, for who gets none yet.
  [[nodiscard]] bool is_full(util::SteadyTime now);
  /// Of what has entered, before it is read, so that not many at once pass a cap; give_back() where
  /// it could not be.
  void spend(const Request& request, util::SteadyTime now);
  void give_back(const Request& request, util::SteadyTime now);
  /// It is read, and on its way from now on: what reads it ends. False: others brought it in, and
  /// as much is being sent as may be (unsent_limit). `relayed`: it was fetched for this request,
  /// and may not be kept.
  [[nodiscard]] bool sends(const Request& request, uint64_t number, bool relayed,
                           util::SteadyTime now);
  /// What reads it, until leave(), which may have been already.
  void keep(uint64_t number, util::Operation operation);
  /// Nothing happens where it has left before.
  void leave(const Request& request, uint64_t number);
  /// Ends all reads, and lets nobody in any more.
  void stop();

 private:
  struct OfPeer {
    unsigned requests = 0;
    util::TokenBucket bulk;
  };
  struct One {
    util::Operation read;
    uint64_t unsent = 0;
  };
  struct Load {
    ServeLimits limits;
    util::TokenBucket bulk;
    ServeLoad total;
    std::map<std::string, OfPeer> peers;
    std::map<std::string, uint64_t> unsent;  ///< of bulk that is here, bytes by peer
    std::map<uint64_t, One> entered;
    uint64_t next = 0;
    bool stopping = false;

    OfPeer& of(const std::string& peer, util::SteadyTime now);
  };

  /// For what is here to be sent now.
  [[nodiscard]] bool has_room(const Load& load, const Request& request, util::SteadyTime now) const;

  util::Sync<Load> load_;
  util::LinkGauge given_;  ///< bulk
};

/// The bytes, which keep what entered as `number` its place until all of them are sent, or the
/// asker is gone.
util::SharedBytes until_sent(std::shared_ptr<Serving> serving, Serving::Request request,
                             uint64_t number, util::SharedBytes bytes);

}  // namespace swarmfs::swarm
