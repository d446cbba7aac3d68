// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "util/clock.h"

namespace swarmfs::swarm {

/// Virtual time, and bytes on their way through wires, for tens of thousands of flows at once: a
/// heap of what is due, and one of the flows by the time they end, in which a flow whose rate
/// changes is moved (fluid.h posts a new event each time). Who sends gives equal parts to all;
/// where more would come in than the receiver's wire takes, none of its flows gets more of it than
/// another that would take more. What is left over so at the sender's goes to nobody.
class Wires final : public util::Clock {
 public:
  using Wire = uint32_t;
  using Flow = uint32_t;

  [[nodiscard]] util::SteadyTime now() const override { return now_; }
  void after(util::Duration delay, std::function<void()> what);
  /// Until nothing is due or `stop` says so.
  void run(const std::function<bool()>& stop);

  Wire add_wire(double bytes_per_second);
  void set_rate(Wire wire, double bytes_per_second);
  /// `on_end`: all of it came.
  Flow start(Wire from, Wire to, double bytes, std::function<void()> on_end);
  /// Broken off, or ended.
  void stop(Flow flow);
  [[nodiscard]] double sent(Flow flow) const;

 private:
  struct Due {
    util::SteadyTime when;
    uint64_t order;
    std::function<void()> what;
  };
  struct End {
    Wire wire;
    uint32_t place;  ///< in its list
  };
  struct Course {
    End ends[2];
    double total = 0, left = 0, rate = 0;
    util::SteadyTime since, until;
    uint32_t place = 0;  ///< in ending_
    bool alive = false;
    std::function<void()> on_end;
  };
  struct Cable {
    double rate = 0;
    std::vector<std::pair<Flow, int>> flows;  ///< and which of its ends
  };

  void leave(Flow flow);
  [[nodiscard]] double part_of_receiver(Wire to) const;
  [[nodiscard]] double part_of_sender(Flow flow) const;
  void share(Wire from, Wire to);
  void fill(Wire to);
  void set_course(Flow flow, double rate);
  [[nodiscard]] bool earlier(Flow a, Flow b) const;
  void put(size_t place, Flow flow);
  void up(size_t place);
  void down(size_t place);

  std::vector<Due> due_;       ///< a heap
  std::vector<Flow> ending_;   ///< a heap
  std::vector<Course> flows_;  ///< by Flow
  std::vector<Flow> free_;
  std::vector<Cable> wires_;
  util::SteadyTime now_;
  uint64_t next_ = 0;
};

}  // namespace swarmfs::swarm
