// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "image/prefetch.h"

#include <map>

namespace swarmfs::image {

namespace {

/// About 60 ms of a 100 Mbit/s link.
constexpr uint64_t kWindow = 768 * 1024;

class PrefetchRun : public std::enable_shared_from_this<PrefetchRun> {
 public:
  PrefetchRun(fetch::Fetcher& fetcher, std::vector<Wish> wishes, std::function<void()> on_done)
      : fetcher_(fetcher), wishes_(std::move(wishes)), on_done_(std::move(on_done)) {}

  void pump() {
    // What fails inside start() calls back here: the loop goes on instead.
    if (std::exchange(state_.lock()->pumping, true)) return;
    for (;;) {
      size_t index = 0;
      {
        auto state = state_.lock();
        while (state->next < wishes_.size() && is_here(wishes_[state->next])) ++state->next;
        if (state->stopped || state->next == wishes_.size() || state->bytes >= kWindow) {
          state->pumping = false;
          break;
        }
        index = state->next++;
        state->bytes += wishes_[index].bytes.length;
        state->live.emplace(index, util::Operation());
      }
      start(index);
    }
    finish_if_idle();
  }

  void stop() {
    std::map<size_t, util::Operation> live;
    {
      auto state = state_.lock();
      state->stopped = true;
      state->finished = true;
      live.swap(state->live);
    }
  }

 private:
  struct State {
    size_t next = 0;
    uint64_t bytes = 0;  ///< under way
    std::map<size_t, util::Operation> live;
    bool pumping = false;
    bool stopped = false;
    bool finished = false;
  };

  static bool is_here(const Wish& wish) {
    return wish.layer->stored().has(chunk::blocks_covering(wish.bytes));
  }

  void start(size_t index) {
    const Wish& wish = wishes_[index];
    auto operation = fetcher_.read(
        wish.layer, wish.bytes, {chunk::Class::prefetch, util::SteadyTime::max(), "prefetch"},
        [weak = weak_from_this(), index](const util::Outcome<util::SharedBytes>& bytes) {
          if (const auto self = weak.lock()) self->on_read(index, static_cast<bool>(bytes));
        });
    auto state = state_.lock();
    const auto found = state->live.find(index);
    if (found != state->live.end()) std::swap(found->second, operation);
    state.unlock();  // an operation dies without our lock: its callback may wait for it
  }

  void on_read(size_t index, bool here) {
    util::Operation ended;
    {
      auto state = state_.lock();
      const auto found = state->live.find(index);
      if (found == state->live.end()) return;
      ended = std::move(found->second);
      state->live.erase(found);
      state->bytes -= wishes_[index].bytes.length;
      state->stopped |= !here && !wishes_[index].optional;
    }
    pump();
  }

  void finish_if_idle() {
    {
      auto state = state_.lock();
      const bool idle = state->live.empty() && (state->stopped || state->next == wishes_.size());
      if (!idle || std::exchange(state->finished, true)) return;
    }
    on_done_();
  }

  fetch::Fetcher& fetcher_;
  const std::vector<Wish> wishes_;
  const std::function<void()> on_done_;
  util::Sync<State> state_;
};

}  // namespace

util::Operation prefetch(fetch::Fetcher& fetcher, std::vector<Wish> wishes,
                         std::function<void()> on_done) {
  auto run = std::make_shared<PrefetchRun>(fetcher, std::move(wishes), std::move(on_done));
  run->pump();
  return util::Operation([run] { run->stop(); });
}

}  // namespace swarmfs::image
