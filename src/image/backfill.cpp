// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "image/backfill.h"

#include <deque>
#include <random>

namespace swarmfs::image {

using util::Done;
using util::Outcome;

namespace {

class BackfillRun : public std::enable_shared_from_this<BackfillRun> {
 public:
  BackfillRun(fetch::Fetcher& fetcher, util::Timers& timers,
              std::vector<std::shared_ptr<fetch::Layer>> layers, BackfillHooks hooks,
              util::BackoffPolicy pauses)
      : fetcher_(fetcher),
        timers_(timers),
        layers_(std::move(layers)),
        hooks_(std::move(hooks)),
        pauses_(pauses) {
    for (size_t i = 0; i < layers_.size(); ++i) state_.lock()->waiting.push_back(i);
  }

  void next() {
    size_t layer = 0;
    uint64_t turn = 0;
    {
      auto state = state_.lock();
      if (state->stopped) return;
      turn = ++state->turn;
      if (state->waiting.empty() && !state->failed.empty()) {
        state->waiting.swap(state->failed);
        const auto pause = util::retry_delay(pauses_, ++state->round, fraction(state->random));
        state.unlock();
        return keep(turn, timers_.after(pause, again()));
      }
      if (!state->waiting.empty()) {
        layer = state->waiting.front();
        state->waiting.pop_front();
      } else {
        state.unlock();
        return hooks_.on_all();
      }
    }
    keep(turn, fetcher_.bring_in(layers_[layer], chunk::Class::backfill,
                                 [weak = weak_from_this(), layer](const Outcome<Done>& outcome) {
                                   if (const auto self = weak.lock()) self->on_end(layer, outcome);
                                 }));
  }

  void stop() {
    util::Operation current;
    auto state = state_.lock();
    state->stopped = true;
    std::swap(current, state->current);
    state.unlock();  // an operation dies without our lock: its callback may wait for it
  }

 private:
  struct State {
    std::deque<size_t> waiting, failed;
    unsigned round = 0;  ///< since a layer got here
    uint64_t turn = 0;   ///< counts what is or was `current`
    util::Operation current;
    bool stopped = false;
    std::minstd_rand random{std::random_device{}()};
  };

  static double fraction(std::minstd_rand& random) {
    return std::uniform_real_distribution<double>(0, 1)(random);
  }

  std::function<void()> again() {
    return [weak = weak_from_this()] {
      const auto self = weak.lock();
      if (!self) return;
      self->let_go();
      self->next();
    };
  }

  /// Unless it has ended meanwhile, and something else is under way.
  void keep(uint64_t turn, util::Operation operation) {
    auto state = state_.lock();
    if (!state->stopped && state->turn == turn) std::swap(state->current, operation);
    state.unlock();
  }

  /// First of all in a callback: a later one, on another thread, must not wait for this one's end.
  void let_go() {
    util::Operation mine;
    auto state = state_.lock();
    ++state->turn;
    std::swap(mine, state->current);
    state.unlock();
  }

  void on_end(size_t layer, const Outcome<Done>& outcome) {
    let_go();
    {
      auto state = state_.lock();
      if (state->stopped) return;
      if (outcome) {
        state->round = 0;
      } else {
        state->failed.push_back(layer);
        if (outcome.failure().fault == util::Fault::no_space)
          for (; !state->waiting.empty(); state->waiting.pop_front())
            state->failed.push_back(state->waiting.front());
      }
    }
    hooks_.on_layer(layer, outcome);
    next();
  }

  fetch::Fetcher& fetcher_;
  util::Timers& timers_;
  const std::vector<std::shared_ptr<fetch::Layer>> layers_;
  const BackfillHooks hooks_;
  const util::BackoffPolicy pauses_;
  util::Sync<State> state_;
};

}  // namespace

util::Operation backfill(fetch::Fetcher& fetcher, util::Timers& timers,
                         std::vector<std::shared_ptr<fetch::Layer>> layers, BackfillHooks hooks,
                         util::BackoffPolicy pauses) {
  auto run =
      std::make_shared<BackfillRun>(fetcher, timers, std::move(layers), std::move(hooks), pauses);
  run->next();
  return util::Operation([run] { run->stop(); });
}

}  // namespace swarmfs::image
