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
  state_.lock()->before = range.offset;
  if (!fronts_.enter(registry_, *this, std::chrono::steady_clock::now() + patience)) {
    state_.lock()->failed = util::Failure{util::Fault::timed_out, "others take all that it gives"};
    return;
  }
  auto transfer = upstream.front_of(
      blob, range.end(), authorization, [this](util::ByteView bytes) { take(bytes); },
      [this](const util::Outcome<util::Done>& outcome) {
        if (!outcome) state_.lock()->failed = outcome.failure();
        changed_.notify_all();
      });
  state_.lock()->transfer = std::move(transfer);
  launched_.count_down();
}

FrontStream::~FrontStream() {
  fronts_.leave(registry_, *this);
  // Not under the lock, for which a callback may wait.
  const auto transfer = std::move(state_.lock()->transfer);
}

void FrontStream::take(util::ByteView bytes) {
  launched_.wait();
  auto state = state_.lock();
  const uint64_t dropped = std::min<uint64_t>(state->before, bytes.size());
  state->before -= dropped;
  state->came.insert(state->came.end(), bytes.begin() + static_cast<std::ptrdiff_t>(dropped),
                     bytes.end());
  if (!state->paused && state->transfer && state->came.size() >= kAhead) {
    state->paused = std::chrono::steady_clock::now();
    state->transfer->pause();
  }
  if (!state->came.empty()) changed_.notify_all();
}

util::Outcome<util::Bytes> FrontStream::next(std::chrono::milliseconds patience) {
  auto state = state_.lock();
  const auto until = std::chrono::steady_clock::now() + patience;
  if (!state.wait_until(changed_, until, [&] { return !state->came.empty() || state->failed; }))
    return util::Failure{util::Fault::timed_out, "the blob does not come"};
  if (state->came.empty()) return *state->failed;
  if (std::exchange(state->paused, {}) && state->transfer) state->transfer->resume();
  return std::exchange(state->came, {});
}

util::SteadyTime FrontStream::still_since() const {
  return state_.lock()->paused.value_or(util::SteadyTime::max());
}

std::unique_ptr<chunk::Transfer> FrontStream::lose_place() {
  auto state = state_.lock();
  state->failed = util::Failure{util::Fault::unavailable, "its client is slow, and others wait"};
  changed_.notify_all();
  return std::move(state->transfer);
}

}  // namespace swarmfs::mirror
