// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "chunk/fetch_context.h"
#include "chunk/layer_ref.h"
#include "util/clock.h"
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
  /// Whom to blame for what came last: "registry", "10.0.0.3:7946 (node 3fa4…)". Any thread, also
  /// inside its callbacks; may be called under the caller's lock: calls nothing back, waits for
  /// nothing.
  [[nodiscard]] virtual std::string supplier() const = 0;
  /// Bulk has to wait for the bytes, as their supplier said or a limit of ours has it; one of a
  /// reader would not wait. Where it is a peer's, the registry need not be asked. Like supplier().
  [[nodiscard]] virtual bool told_to_wait() const { return false; }
};

/// How a source would serve a range.
struct Plan {
  /// Bytes: how much of the beginning of the range one request should cover, > 0. Rounded to whole
  /// blocks by the caller.
  uint64_t length = 0;
  /// Without a byte for so long, the next source is asked as well; max(): never.
  util::Duration hedge = util::Duration::max();
  /// The source can give the layer only from its beginning on, and what nobody asks for when it
  /// passes is lost: ask for all that is missing, in order.
  bool front_to_back = false;
  /// By the shares it is ours to bring in, though it is not us alone who could: others will ask us.
  bool ours = false;
  /// By the shares others bring it in, from who has it: who gives it to us as well gives it twice.
  bool theirs = false;
  /// Without a byte of all bulk that is fetched with it, says `hedge`: what is given in turns is
  /// not late while other parts come. Nor, for some seconds, while bulk of another layer comes.
  bool in_turns = false;
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
  /// Whether and how the range (not empty, from a block's start) can be supplied now. Empty: it
  /// cannot, ask the next source. Any thread, cheap, no I/O; called under the caller's lock: calls
  /// nothing back.
  [[nodiscard]] virtual std::optional<Plan> plan(const LayerRef& layer, util::ByteRange range,
                                                 const FetchContext& context) = 0;
  /// Whether the beginning of the range is somewhere to be given at once. False: whoever is asked
  /// has to get it from elsewhere first, or nobody is known. Like plan().
  [[nodiscard]] virtual bool has(const LayerRef& layer, util::ByteRange range) {
    static_cast<void>(layer), static_cast<void>(range);
    return true;
  }
  /// How many others are known to be bringing the layer in as well. Like plan().
  [[nodiscard]] virtual size_t wanting(const LayerRef& layer) {
    static_cast<void>(layer);
    return 0;
  }
  /// Bytes of the layer that `supplier` (as Transfer::supplier says) gave were wrong. Any thread,
  /// no lock held.
  virtual void blame(const LayerRef& layer, const std::string& supplier, const std::string& why) {
    static_cast<void>(layer), static_cast<void>(supplier), static_cast<void>(why);
  }
  /// They contradict what the node `claimant` claims of the layer, and who is wrong is not known
  /// yet, unless it is the same: for this layer `supplier` is not asked until unbar(). As blame().
  virtual void bar(const LayerRef& layer, const std::string& supplier,
                   const std::string& claimant) {
    static_cast<void>(layer), static_cast<void>(supplier), static_cast<void>(claimant);
  }
  /// Anybody may be asked for the layer again. As blame().
  virtual void unbar(const LayerRef& layer) { static_cast<void>(layer); }
  /// Any thread. Callbacks run on the source's own thread and must be short; never inside fetch().
  /// One that comes before fetch() has returned may wait for that: fetch() never waits for one.
  /// The range lies inside the layer. The source retries by itself within context.deadline and
  /// resumes where it stopped; each byte is delivered once.
  [[nodiscard]] virtual std::unique_ptr<Transfer> fetch(const LayerRef& layer,
                                                        util::ByteRange range,
                                                        const FetchContext& context, OnData on_data,
                                                        OnDone on_done) = 0;
};

}  // namespace swarmfs::chunk
