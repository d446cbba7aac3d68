// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <condition_variable>
#include <latch>
#include <memory>
#include <optional>
#include <string>

#include "mirror/fronts.h"
#include "mirror/upstream.h"
#include "util/sync.h"

namespace swarmfs::mirror {

/// A range of a blob from a registry that knows no ranges: the blob is sent from its first byte,
/// and what comes before the range is dropped. It stands still while nobody takes what came, and
/// may lose its place meanwhile (Fronts): what came is given, and no more. Blocking; one thread.
class FrontStream {
 public:
  static constexpr size_t kAhead = 512 << 10;  ///< so much, and what was on its way, is held

  /// Waits for a place, for `patience` at most.
  FrontStream(Upstream& upstream, Fronts& fronts, const oci::Reference& blob, util::ByteRange range,
              const std::string& authorization, std::chrono::milliseconds patience);
  ~FrontStream();
  FrontStream(const FrontStream&) = delete;
  FrontStream& operator=(const FrontStream&) = delete;

  /// What came of the range since, at least a byte. Not after its end.
  util::Outcome<util::Bytes> next(std::chrono::milliseconds patience);

  // For Fronts, on any thread:
  /// Since when nothing was taken of what is held; max(): it flows; min(): it needs no place.
  [[nodiscard]] util::SteadyTime still_since() const;
  /// Ends it, where it stands still since then or longer: true. `lost`: the transfer, which dies
  /// without locks.
  [[nodiscard]] bool lose_place(util::SteadyTime since, std::unique_ptr<chunk::Transfer>& lost);

 private:
  struct State {
    uint64_t before = 0;  ///< bytes that are yet to be dropped
    util::Bytes came;
    bool ended = false;  ///< the transfer
    std::optional<util::Failure> failed;
    std::unique_ptr<chunk::Transfer> transfer;
    std::optional<util::SteadyTime> paused;  ///< since then
  };
  /// What the transfer's callbacks know: one that lost its place may outlive the stream a little.
  struct Core {
    util::Sync<State> state;
    std::condition_variable changed;
    std::latch launched{1};  ///< down when `transfer` is set, so that it can be held

    void take(util::ByteView bytes);
    void end(const util::Outcome<util::Done>& outcome);
  };
  [[nodiscard]] static util::SteadyTime still_since(const State& state);

  Fronts& fronts_;
  const std::string registry_;
  const std::shared_ptr<Core> core_ = std::make_shared<Core>();
};

}  // namespace swarmfs::mirror
