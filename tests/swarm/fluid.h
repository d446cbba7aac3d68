// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <queue>
#include <tuple>
#include <vector>

#include "util/clock.h"

namespace swarmfs::swarm {

/// A world with a virtual clock: what is due happens, in order, and no time passes in between.
class World final : public util::Clock {
 public:
  [[nodiscard]] util::SteadyTime now() const override { return now_; }
  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(now_.time_since_epoch()).count();
  }
  void after(util::Duration delay, std::function<void()> what) {
    due_.push({now_ + delay, next_++, std::move(what)});
  }
  /// Until nothing is due or `stop` says so.
  void run(const std::function<bool()>& stop) {
    while (!due_.empty() && !stop()) {
      Due due = due_.top();
      due_.pop();
      now_ = due.when;
      due.what();
    }
  }

 private:
  struct Due {
    util::SteadyTime when;
    uint64_t order;
    std::function<void()> what;
    bool operator<(const Due& other) const {
      return std::tie(when, order) > std::tie(other.when, other.order);
    }
  };
  std::priority_queue<Due> due_;
  util::SteadyTime now_;
  uint64_t next_ = 0;
};

class Flow;

/// One direction of a cable: what flows through it gets equal parts.
struct Link {
  double bytes_per_second = 0;
  std::vector<Flow*> flows;
  void narrow(double to_bytes_per_second);
};

/// Bytes on their way through two links, as fast as the narrower part allows (what the other link
/// has left over is not used: slower than the world is, for everybody). Destroyed: broken off.
class Flow {
 public:
  Flow(World& world, Link& from, Link& to, double bytes, std::function<void()> on_done)
      : world_(world),
        links_{&from, &to},
        total_(bytes),
        left_(bytes),
        on_done_(std::move(on_done)) {
    since_ = world_.now();
    for (Link* link : links_) link->flows.push_back(this);
    share_anew();
  }
  ~Flow() { leave(); }
  Flow(const Flow&) = delete;
  Flow& operator=(const Flow&) = delete;

  [[nodiscard]] double sent() const { return total_ - std::max(0.0, left_ - passed()); }

 private:
  friend struct Link;
  [[nodiscard]] double passed() const {
    return rate_ * std::chrono::duration<double>(world_.now() - since_).count();
  }

  void leave() {
    if (left_alone_) return;
    left_alone_ = true;
    for (Link* link : links_) std::erase(link->flows, this);
    share_anew();
  }

  void share_anew() {
    for (Link* link : links_)
      for (Flow* flow : link->flows) flow->set_rate();
  }

  void set_rate() {
    double rate = 1e18;
    for (const Link* link : links_)
      rate = std::min(rate, link->bytes_per_second / static_cast<double>(link->flows.size()));
    if (rate == rate_) return;
    left_ = std::max(0.0, left_ - passed());
    since_ = world_.now();
    rate_ = rate;
    alive_ = std::make_shared<bool>(true);
    const auto needs = std::chrono::duration_cast<util::Duration>(
        std::chrono::duration<double>(left_ / rate_) + std::chrono::nanoseconds(1));
    world_.after(needs, [this, alive = std::weak_ptr(alive_)] {
      if (alive.expired()) return;
      left_ = 0;
      leave();
      const auto on_done = std::move(on_done_);
      on_done();
    });
  }

  World& world_;
  std::array<Link*, 2> links_;
  double total_;
  double left_;
  double rate_ = 0;
  util::SteadyTime since_;
  bool left_alone_ = false;
  std::shared_ptr<bool> alive_;
  std::function<void()> on_done_;
};

inline void Link::narrow(double to_bytes_per_second) {
  bytes_per_second = to_bytes_per_second;
  for (Flow* flow : flows) flow->set_rate();
}

}  // namespace swarmfs::swarm
