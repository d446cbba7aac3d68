// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <functional>
#include <memory>
#include <string>

#include "chunk/fetch_context.h"
#include "chunk/layer_ref.h"
#include "util/outcome.h"
#include "util/units.h"

namespace swarmfs::chunk {

/// A range on its way from a source. Destroying it cancels: no callback runs after the destructor
/// has returned (it may be destroyed inside its own callbacks).
class Transfer {
 public:
  virtual ~Transfer() = default;
  /// Stop and go on reading from the wire: how bulk yields to a fault. Any thread; idempotent.
  virtual void pause() = 0;
  virtual void resume() = 0;
};

/// Who can supply bytes of layers: a registry, peers.
class Source {
 public:
  /// Bytes of the range, in order, in pieces of any size. They are not verified.
  using OnData = std::function<void(util::ByteView)>;
  /// Exactly once, last, unless the transfer was destroyed: Done means that the whole range came.
  using OnDone = std::function<void(util::Outcome<util::Done>)>;

  virtual ~Source() = default;
  [[nodiscard]] virtual SourceKind kind() const = 0;
  /// For logs and metrics: "registry".
  [[nodiscard]] virtual std::string name() const = 0;
  /// Any thread. Callbacks run on the source's own thread and must be short; never inside fetch().
  /// The range lies inside the layer. The source retries by itself within context.deadline and
  /// resumes where it stopped; each byte is delivered once.
  [[nodiscard]] virtual std::unique_ptr<Transfer> fetch(const LayerRef& layer,
                                                        util::ByteRange range,
                                                        const FetchContext& context, OnData on_data,
                                                        OnDone on_done) = 0;
};

}  // namespace swarmfs::chunk
