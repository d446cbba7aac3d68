// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <functional>
#include <memory>

#include "chunk/store.h"
#include "util/operation.h"
#include "util/workers.h"

namespace swarmfs::content {

/// The data space of one layer, inflated from the front. Made for one run().
class SpaceSource {
 public:
  using Feed = std::function<void(util::ByteView)>;

  virtual ~SpaceSource() = default;
  /// Blocking. Feeds every byte of the space once, in order, in pieces of any size; Done: that was
  /// all. Feeding waits for the disk.
  virtual util::Outcome<util::Done> run(const Feed& feed) = 0;
  /// Any thread, at any time: run() ends soon, whatever it waits for.
  virtual void stop() = 0;
};

/// Fills the stored data spaces of layers that cannot be inflated from the middle. A layer has one
/// fill at a time, which all its readers join; each is answered as soon as its bytes have been
/// inflated, whether the quota lets them be kept or not. A fill goes on to its end when its readers
/// have gone. Its failure is that of all who wait. Any thread.
class SpaceFills {
 public:
  using OnRead = std::function<void(util::Outcome<util::SharedBytes>)>;
  /// Called on a thread of the fill's own when it begins.
  using Open = std::function<std::unique_ptr<SpaceSource>()>;

  /// At most so many fills run at once; others wait for their turn.
  explicit SpaceFills(unsigned most = 8);
  /// Stops the fills; who still waits gets Fault::cancelled.
  ~SpaceFills();
  SpaceFills(const SpaceFills&) = delete;
  SpaceFills& operator=(const SpaceFills&) = delete;

  /// Of a range that lies in the space and is not (wholly) stored. An empty one is answered when
  /// the fill has ended and all that can be kept is stored. No deadline: the caller destroys the
  /// operation. `on_read` runs on the fill's thread or the store's, and must be short.
  [[nodiscard]] util::Operation read(std::shared_ptr<chunk::StoredLayer> space,
                                     util::ByteRange range, Open open, OnRead on_read);

 private:
  struct Core;
  std::shared_ptr<Core> core_;  ///< shared with the store's callbacks
  util::Workers threads_;       ///< last: it dies first, when the fills have stopped
};

}  // namespace swarmfs::content
