// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <memory>

#include "chunk/source.h"
#include "registry/registry_client.h"
#include "util/timers.h"

namespace swarmfs::registry {

/// Layers of registries that answer every range with the whole blob: each is streamed from its
/// front, and ranges are served as they pass. What nobody has asked for when it passes is dropped,
/// while somebody waits for what comes after it; else the stream stands still (so the wire does,
/// too) until somebody asks on, and is given up after a while. Any thread.
class WholeStreams {
 public:
  WholeStreams(RegistryClient& client, util::Timers& timers);
  ~WholeStreams();
  WholeStreams(const WholeStreams&) = delete;
  WholeStreams& operator=(const WholeStreams&) = delete;

  /// As chunk::Source::fetch(); without a deadline: a stream that gets nothing any more fails after
  /// some attempts, whoever waits. Pausing one reader does not pause the stream. Whatever it was
  /// begun for, a fault may come to wait for it: it does not queue for a connection as bulk does.
  [[nodiscard]] std::unique_ptr<chunk::Transfer> fetch(const chunk::LayerRef& layer,
                                                       util::ByteRange range,
                                                       chunk::Source::OnData on_data,
                                                       chunk::Source::OnDone on_done);

 private:
  struct Core;
  std::shared_ptr<Core> core_;  ///< shared with the callbacks under way
};

}  // namespace swarmfs::registry
