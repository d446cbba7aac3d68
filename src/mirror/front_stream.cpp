// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "mirror/front_stream.h"

#include <algorithm>
#include <utility>

namespace swarmfs::mirror {

FrontStream::FrontStream(Upstream& upstream, Fronts& fronts, const oci::Reference& blob,
                         util::ByteRange range, const std::string& authorization,
                         std::chrono::milliseconds patience)
    : fronts_(fronts), registry_(blob.registry) {
  core_->state.lock()->before = range.offset;
  if (!fronts_.enter(registry_, *this, std::chrono::steady_clock::now() + patience)) {
    core_->end(util::Failure{util::Fault::timed_out, "others take all that it gives"});
    return;
  }
  auto transfer = upstream.front_of(
      blob, range.end(), authorization, [core = core_](util::ByteView bytes) { core->take(bytes); },
      [core = core_](const util::Outcome<util::Done>& outcome) { core->end(outcome); });
  core_->state.lock()->transfer = std::move(transfer);
  core_->launched.count_down();
}

FrontStream::~FrontStream() {
  fronts_.leave(registry_, *this);
  // Not under the lock, for which a callback may wait.
  const auto transfer = std::move(core_->state.lock()->transfer);
}

void FrontStream::Core::take(util::ByteView bytes) {
  launched.wait();
  auto now = state.lock();
  const uint64_t dropped = std::min<uint64_t>(now->before, bytes.size());
  now->before -= dropped;
  now->came.insert(now->came.end(), bytes.begin() + static_cast<std::ptrdiff_t>(dropped),
                   bytes.end());
  if (!now->paused && now->transfer && now->came.size() >= kAhead) {
    now->paused = std::chrono::steady_clock::now();
    now->transfer->pause();
  }
  if (!now->came.empty()) changed.notify_all();
}

void FrontStream::Core::end(const util::Outcome<util::Done>& outcome) {
  auto now = state.lock();
  now->ended = true;
  if (!outcome && !now->failed) now->failed = outcome.failure();
  changed.notify_all();
}

util::Outcome<util::Bytes> FrontStream::next(std::chrono::milliseconds patience) {
  auto state = core_->state.lock();
  const auto until = std::chrono::steady_clock::now() + patience;
  if (!state.wait_until(core_->changed, until,
                        [&] { return !state->came.empty() || state->failed; }))
    return util::Failure{util::Fault::timed_out, "the blob does not come"};
  if (state->came.empty()) return *state->failed;
  if (std::exchange(state->paused, {}) && state->transfer) state->transfer->resume();
  return std::exchange(state->came, {});
}

util::SteadyTime FrontStream::still_since(const State& state) {
  return state.ended ? util::SteadyTime::min() : state.paused.value_or(util::SteadyTime::max());
}

util::SteadyTime FrontStream::still_since() const {
  return still_since(*core_->state.lock());
}

bool FrontStream::lose_place(util::SteadyTime since, std::unique_ptr<chunk::Transfer>& lost) {
  auto state = core_->state.lock();
  if (still_since(*state) > since) return false;
  if (!state->ended)
    state->failed = util::Failure{util::Fault::unavailable, "its client is slow, and others wait"};
  lost = std::move(state->transfer);
  core_->changed.notify_all();
  return true;
}

}  // namespace swarmfs::mirror
