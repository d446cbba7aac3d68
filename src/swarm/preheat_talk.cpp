// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/preheat_talk.h"

#include <fmt/format.h>

#include <utility>

namespace swarmfs::swarm {

namespace {

constexpr unsigned kMostRestarts = 3;

}  // namespace

PreheatTalk::Next PreheatTalk::next(util::SteadyTime now) const {
  if (ended() || asking_ || now < due_) return Next::nothing;
  return accepted_ ? Next::look : Next::order;
}

void PreheatTalk::answered(util::SteadyTime now) {
  asking_ = false;
  heard_ = now;
  due_ = now + pace_.look;
}

void PreheatTalk::accepted(util::SteadyTime now) {
  answered(now);
  accepted_ = true;
}

void PreheatTalk::heard(PreheatState state, util::SteadyTime now) {
  answered(now);
  if (state.bytes_done > most_ && state.bytes_done <= state.bytes_total) {
    moved_ = now;
    most_ = state.bytes_done;
  }
  state_ = std::move(state);
  if (!ended()) gave_up("", now);
}

void PreheatTalk::put_off(const std::string& why, util::SteadyTime now) {
  answered(now);
  const bool forgot = std::exchange(accepted_, false);
  if (forgot && restarts_ < kMostRestarts) {
    ++restarts_;
    moved_ = now;
    most_ = 0;
  }
  if (!gave_up(": " + why, now)) due_ = now + pace_.pause;
}

bool PreheatTalk::gave_up(const std::string& why, util::SteadyTime now) {
  if (now - moved_ < pace_.patience) return false;
  refused(fmt::format("no progress for {:.0f} s{}",
                      std::chrono::duration<double>(now - moved_).count(), why),
          now);
  given_up_ = true;
  return true;
}

void PreheatTalk::refused(const std::string& why, util::SteadyTime now) {
  answered(now);
  state_.state = PreheatState::State::failed;
  state_.error = why;
  state_.seconds = std::chrono::duration<double>(now - began_).count();
}

void PreheatTalk::silent(const std::string& why, util::SteadyTime now) {
  const auto heard = heard_;
  if (now - heard >= pace_.silence)
    return refused(fmt::format("silent for {:.0f} s: {}",
                               std::chrono::duration<double>(now - heard).count(), why),
                   now);
  answered(now);
  heard_ = heard;
}

}  // namespace swarmfs::swarm
