// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "mirror/front_stream.h"

#include <algorithm>
#include <utility>

namespace swarmfs::mirror {

FrontStream::FrontStream(Upstream& upstream, const oci::Reference& blob, util::ByteRange range,
                         const std::string& authorization) {
  state_.lock()->before = range.offset;
  auto transfer = upstream.front_of(
      blob, range.end(), authorization, [this](util::ByteView bytes) { take(bytes); },
      [this](const util::Outcome<util::Done>& outcome) {
        if (!outcome) state_.lock()->failed = outcome.failure();
        changed_.notify_all();
      });
  auto state = state_.lock();
  state->transfer = std::move(transfer);
  launched_.count_down();
}

FrontStream::~FrontStream() {
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
    state->paused = true;
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
  if (std::exchange(state->paused, false)) state->transfer->resume();
  return std::exchange(state->came, {});
}

}  // namespace swarmfs::mirror
