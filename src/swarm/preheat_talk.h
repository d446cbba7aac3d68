// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <string>

#include "swarm/preheat.h"
#include "util/clock.h"

namespace swarmfs::swarm {

/// What is said to one node about one order, and what has come of it. Pure: the time is told to it.
class PreheatTalk {
 public:
  enum class Next { nothing, order, look };

  struct Pace {
    util::Duration look = std::chrono::milliseconds(500);  ///< between two questions
    util::Duration silence = std::chrono::seconds(30);     ///< after so much it is given up
    util::Duration pause = std::chrono::seconds(5);        ///< before who is busy is asked again
    /// Without any progress it is given up, whatever it answers.
    util::Duration patience = std::chrono::minutes(10);
  };

  PreheatTalk(Pace pace, util::SteadyTime now)
      : pace_(pace), began_(now), heard_(now), moved_(now), due_(now) {}

  /// Nothing: it has ended, something is under way, or it is not yet time.
  [[nodiscard]] Next next(util::SteadyTime now) const;
  /// That was said, and its answer is awaited; one of the following tells what came.
  void asking() { asking_ = true; }
  void accepted(util::SteadyTime now);
  void heard(PreheatState state, util::SteadyTime now);
  /// It cannot now, or has forgotten the order: that is said again after a pause. Who forgets it,
  /// as after a restart, starts its progress anew, at most three times.
  void put_off(const std::string& why, util::SteadyTime now);
  /// It will not, or not any more: that ends it.
  void refused(const std::string& why, util::SteadyTime now);
  /// No answer, or none that makes sense: asked again, until it was silent for too long.
  void silent(const std::string& why, util::SteadyTime now);

  [[nodiscard]] bool ended() const { return state_.state != PreheatState::State::running; }
  /// It may be at it still: what it said last was not that it had ended.
  [[nodiscard]] bool may_go_on() const { return !ended() || given_up_; }
  [[nodiscard]] const PreheatState& state() const { return state_; }

 private:
  void answered(util::SteadyTime now);
  /// Whether that was too long without progress; then it has ended.
  bool gave_up(const std::string& why, util::SteadyTime now);

  const Pace pace_;
  const util::SteadyTime began_;
  util::SteadyTime heard_;
  util::SteadyTime moved_;  ///< when more had come than ever before
  uint64_t most_ = 0;       ///< bytes that ever had come
  unsigned restarts_ = 0;   ///< times that both began anew
  util::SteadyTime due_;
  bool accepted_ = false;
  bool asking_ = false;
  bool given_up_ = false;
  PreheatState state_;
};

}  // namespace swarmfs::swarm
