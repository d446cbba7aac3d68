// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <array>
#include <list>
#include <map>
#include <mutex>
#include <set>

#include "swarm/busy_lines.h"
#include "swarm/download_caps.h"
#include "swarm/peer_source.h"
#include "util/operation.h"
#include "util/token_bucket.h"

namespace swarmfs::swarm {

/// PeerSource's inside, shared with the transfers under way.
struct PeerSource::State : std::enable_shared_from_this<PeerSource::State> {
  struct Step {
    size_t peer = 0;  ///< index into Route::peers
    util::Duration hedge{};
    bool holds = false;  ///< else it is asked as owner of the share
    bool here = false;   ///< else it has to get it from the registry first, or is at it
  };
  /// Whom to ask, in this order, before the registry.
  struct Route {
    std::vector<Candidate> peers;
    std::vector<std::string> repositories;  ///< that each of them knows the layer in
    std::vector<Step> steps;
    bool ours = false;    ///< bulk of our own share, which somebody has
    bool theirs = false;  ///< see chunk::Plan
    size_t wanting = 0;   ///< of the peers
  };

  State(PeerSourceOptions options, DemandClient& client, PeerTable& table, LayerViews& views,
        util::Timers& timers, util::Metrics& metrics);
  [[nodiscard]] Route route(const chunk::LayerRef& layer, util::ByteRange range, chunk::Class cls,
                            bool spare = false) const;
  /// Who has all of these bytes, and who may own their share. Windows: who published their index,
  /// and did not say that its own are others.
  [[nodiscard]] std::vector<LayerViews::Member> suppliers(const chunk::LayerRef& layer,
                                                          util::ByteRange range) const;
  /// The peer has not what was asked for.
  void lacks(const Endpoint& peer, const chunk::LayerRef& layer, util::ByteRange range);
  /// On the timer's thread, unless the source has died by then.
  void later(util::Duration delay, std::function<void()> callback);

  const PeerSourceOptions options;
  DemandClient& client;
  PeerTable& table;
  LayerViews& views;
  util::Timers& timers;
  util::CallbackGate gate;  ///< of what is called later: it uses the references above
  util::Sync<util::TokenBucket> cross_zone;
  DownloadCaps download;
  std::array<util::Metrics::Counter*, 2> from_zone{};  ///< [same]
  BusyLines<Endpoint> busy_lines;
  /// Who published an index and had not the windows of this name, and since when.
  util::Sync<std::map<std::pair<Endpoint, util::Digest>, util::SteadyTime>> without_windows;
  /// Who is not asked for a layer, as chunk::Source::bar() has it.
  util::Sync<std::set<std::pair<util::Digest, Endpoint>>> barred;
};

/// One range from peers: step after step of its route, the next as well when a peer lets the hedge
/// pass without a byte, or lags later on. Who is ahead of all others goes on alone; when it breaks
/// off, the next goes on where it stopped. Its lock is never held over a call out.
class PeerTransfer : public std::enable_shared_from_this<PeerTransfer> {
 public:
  struct Order {
    chunk::LayerRef layer;
    util::ByteRange range;
    chunk::FetchContext context;
    chunk::Source::OnData on_data;
    chunk::Source::OnDone on_done;
  };
  /// Ends the transfer when it dies.
  class Handle final : public chunk::Transfer {
   public:
    explicit Handle(std::shared_ptr<PeerTransfer> transfer) : transfer_(std::move(transfer)) {}
    ~Handle() override { transfer_->stop(); }
    void pause() override { transfer_->pause(true); }
    void resume() override { transfer_->pause(false); }
    [[nodiscard]] std::string supplier() const override { return transfer_->supplier(); }
    [[nodiscard]] bool told_to_wait() const override { return transfer_->told_to_wait(); }

   private:
    std::shared_ptr<PeerTransfer> transfer_;
  };

  PeerTransfer(std::shared_ptr<PeerSource::State> source, Order order,
               PeerSource::State::Route route);
  void start();

 private:
  /// One request to one peer.
  struct Try {
    Endpoint endpoint;
    size_t index = 0;  ///< of its step
    PeerSource::State::Step step;
    std::string repository;
    util::ByteRange range;
    std::optional<PeerTable::Attempt> attempt;
    util::SteadyTime began, last;  ///< byte; began anew after a pause
    util::Duration expected{};
    uint64_t arrived = 0;  ///< bytes
    uint64_t before = 0;   ///< of these: before it began
    std::unique_ptr<http::Exchange> exchange;
    std::string supplier;
    bool same_zone = true;
    bool again = false;  ///< the peer told who it is: worth asking again, with a proof
    bool busy = false;   ///< the peer sends us away
    std::optional<util::Duration> wait;  ///< that its cap makes us wait
    DownloadCaps::Bookings bookings;
    std::vector<Endpoint> others;  ///< who has it, says a peer that sends us away
  };
  using TryPtr = std::shared_ptr<Try>;
  using Exchanges = std::vector<std::unique_ptr<http::Exchange>>;

  void stop();
  void pause(bool paused);
  [[nodiscard]] std::string supplier() const;
  [[nodiscard]] bool told_to_wait() const;
  void ask_next();
  std::optional<size_t> next_step();
  void run_out_of_steps();
  /// Until our own cap of all peers lets it ask for bulk.
  [[nodiscard]] util::Duration capped();
  /// Our own cap of what this peer gives is used up: it is one of those that make us wait.
  [[nodiscard]] bool is_capped(const Endpoint& peer);
  /// A cap's: nobody is asked before its end; or before a peer that is busy: until it gives us
  /// something, if that is sooner.
  void wait_out(util::Duration pause, const std::optional<Endpoint>& busy = {});
  void end_wait(unsigned wait);
  void ask_again(const TryPtr& one);
  bool ask(size_t index);
  void plan_again();
  void launch(const TryPtr& made);
  void set_hedge(const TryPtr& one, util::Duration after);
  void watch();
  [[nodiscard]] bool is_late() const;
  /// See policy.h. Not under the lock: it calls out.
  [[nodiscard]] bool may_overtake() const;
  /// How much longer it is not late, whatever was expected of it; likewise.
  [[nodiscard]] util::Duration excused(const Try& one) const;
  Exchanges drop_all_but(const TryPtr& kept);
  bool on_headers(const TryPtr& one, const http::Response& response);
  void on_data(const TryPtr& one, util::ByteView bytes);
  void on_done(const TryPtr& one, const util::Outcome<http::Response>& outcome);
  [[nodiscard]] uint64_t end_of_block() const;
  size_t name_supplier(const Try& one, size_t length);
  void end(const TryPtr& one, const util::Outcome<http::Response>& outcome);
  void judge(const TryPtr& one, const util::Outcome<http::Response>& outcome);
  void finish(util::Outcome<util::Done> outcome);

  const std::shared_ptr<PeerSource::State> source_;
  const Order order_;
  util::CallbackGate gate_;
  mutable std::mutex mutex_;  ///< guards all below; a leaf
  PeerSource::State::Route route_;
  size_t next_step_ = 0;
  unsigned pauses_ = 0;  ///< before a busy peer
  unsigned wait_ = 0;    ///< the last that began; one more when it has ended
  util::Operation in_line_;
  unsigned referrals_ = 0;  ///< by peers that know who has it
  /// Whose cap is used up, theirs or ours of them, until when. While there is one, nobody is asked
  /// who would have to go to the registry. Who is asked again when its time has come stays in here
  /// until it answers.
  std::map<Endpoint, util::SteadyTime> waits_;
  util::SteadyTime planned_{};  ///< when the steps were made anew
  uint64_t delivered_ = 0;
  uint64_t seam_end_ = 0;  ///< up to here, of delivered_, two suppliers share a block
  std::list<TryPtr> live_;
  std::list<TryPtr> ending_;  ///< whose on_done() runs
  TryPtr winner_;             ///< who gave the last byte
  std::string supplier_;      ///< of what came last; empty: of two
  bool capped_ = false;       ///< by our own cap of all peers, now
  bool paused_ = false;
  bool ended_ = false;
};

}  // namespace swarmfs::swarm
