// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <atomic>
#include <condition_variable>
#include <list>
#include <mutex>
#include <set>

#include "fetch/flight.h"
#include "fetch/inflow.h"
#include "fetch/share_pace.h"
#include "util/token_bucket.h"

namespace swarmfs::fetch {

/// Peers tell their news four times a second.
inline constexpr std::chrono::milliseconds kNewsWatch{100};

/// Fetcher's inside, shared with the callbacks under way. One lock; what must happen without it
/// (starting and dropping transfers, callbacks, store writes) is put into Actions and done after.
struct Brain : std::enable_shared_from_this<Brain> {
  using Actions = std::vector<std::function<void()>>;
  using Tree = std::shared_ptr<const chunk::HashTree>;

  Brain(chunk::Store& store, std::vector<chunk::Source*> sources, FetchOptions options,
        util::Timers& timers, util::Metrics& metrics);

  std::shared_ptr<Layer> open(const chunk::LayerRef& ref);
  std::shared_ptr<Layer> open_alone(const chunk::LayerRef& ref,
                                    const std::set<chunk::Origin>& others);
  std::optional<std::set<chunk::Origin>> came_for(const chunk::LayerRef& ref);
  util::Operation read(std::shared_ptr<Layer> layer, util::ByteRange range,
                       chunk::FetchContext context, Fetcher::OnRead on_read);
  util::Operation bring_in(std::shared_ptr<Layer> layer, chunk::Class cls, Fetcher::OnDone on_done);
  std::vector<chunk::BlockRange> coming(const Layer& layer);
  void seal(Layer& layer, Seal seal);
  void discard(Layer& layer, const std::string& why);
  void stop();
  void count(Layer& layer, chunk::SourceKind source, chunk::Class cls, uint64_t bytes);

  // Reads (read.cpp)
  void read_missing(const std::shared_ptr<Layer>& layer, const WaiterPtr& waiter);
  void read_stored(const std::shared_ptr<Layer>& layer, const WaiterPtr& waiter,
                   util::ByteRange part, unsigned tries, unsigned round);
  /// Finds somebody for each block of `part`: a flight, else the store unless that was looked into
  /// in vain (`tries`), else a flight of its own.
  void cover(const std::shared_ptr<Layer>& layer, const WaiterPtr& waiter, util::ByteRange part,
             uint64_t ahead, unsigned tries, Actions& actions);
  void fly(const std::shared_ptr<Layer>& layer, const WaiterPtr& waiter, chunk::BlockRange run,
           Actions& actions);
  void begin_again(const std::shared_ptr<Layer>& layer, const WaiterPtr& waiter, Actions& actions);
  FlightPtr joinable(const Layer& layer, uint64_t block, const chunk::FetchContext& context) const;
  void join(const FlightPtr& flight, const WaiterPtr& waiter, util::ByteRange part,
            Actions& actions);
  void deliver(const WaiterPtr& waiter, util::ByteRange part, const std::byte* bytes,
               Actions& actions);
  void set_deadline(const std::shared_ptr<Layer>& layer, const WaiterPtr& waiter);
  /// It has waited for as long as it may, or goes on while bulk of that registry comes.
  void look_at_deadline(const std::weak_ptr<Layer>& layer, const WaiterPtr& waiter,
                        Actions& actions);
  /// Until when bulk of the layer is waited for that began then, or came last:
  /// FetchOptions::bulk_timeout.
  [[nodiscard]] util::SteadyTime bulk_deadline(const Layer& layer, util::SteadyTime since);
  void end_waiter(const WaiterPtr& waiter, std::optional<util::Failure> failure, Actions& actions);

  // Flights and whom they ask (flight.cpp)
  /// What is seen of a registry, by the layers that are from it.
  struct OfRegistry {
    std::optional<util::SteadyTime> gave_bulk{};  ///< last
    std::shared_ptr<RequestTimes> times = std::make_shared<RequestTimes>();
  };
  struct Choice {
    size_t source = 0;
    uint64_t length = 0;
    util::Duration hedge{};
    bool in_turns = false;
    bool front_to_back = false;
    bool ours = false;    ///< of our own share, or of nobody's
    bool theirs = false;  ///< see chunk::Plan
  };
  FlightPtr make_flight(const std::shared_ptr<Layer>& layer, chunk::BlockRange blocks,
                        chunk::FetchContext context, Actions& actions);
  [[nodiscard]] std::optional<Choice> choose(const Flight& flight) const;
  [[nodiscard]] std::optional<chunk::Plan> plan_for_reader(const Flight& flight,
                                                           size_t source) const;
  [[nodiscard]] bool is_shared(const Flight& flight, const Choice& choice) const;
  /// At once, or when there is room in the inflow.
  void begin(const FlightPtr& flight, const Choice& choice, Actions& actions);
  /// The source turned out, by its failure, to give the layer front to back only.
  [[nodiscard]] bool learnt_order(const Attempt& attempt) const;
  [[nodiscard]] bool asks_peer(const Flight& flight) const;
  OfRegistry& registry_of(const Layer& layer);
  [[nodiscard]] chunk::SourceKind kind_of(const Attempt& attempt) const {
    return sources[attempt.source]->kind();
  }
  void ask(const FlightPtr& flight, const Choice& choice, Actions& actions);
  /// It turns to a peer: who waits for a peer's sake goes on without it, where somebody else is
  /// left to ask.
  void leave_for_peers(const FlightPtr& flight, Actions& actions);
  void ask_next(const FlightPtr& flight, Actions& actions);
  void launch(const AttemptPtr& attempt);
  /// For RequestTimes.
  void time(Attempt& attempt);
  void note_end(Attempt& attempt, bool whole);
  void drop(const AttemptPtr& attempt, Actions& actions);
  /// Takes it out of the air; returns what was waited for.
  std::vector<Part> retire(const FlightPtr& flight, Actions& actions);
  void end_flight(const FlightPtr& flight, Actions& actions);
  void set_hedge(const FlightPtr& flight, util::Duration hedge);
  [[nodiscard]] util::SteadyTime hedge_due(const Flight& flight, util::SteadyTime now);
  /// When a block of the bulk came last that it is of, or beside.
  [[nodiscard]] std::optional<util::SteadyTime> bulk_progress(const Layer& layer) const;
  void look_after(const FlightPtr& flight, util::Duration pause);
  void look_at_hedge(const FlightPtr& flight, unsigned look);
  /// The next source as well, if one can.
  void ask_company(const FlightPtr& flight, Actions& actions);
  /// A fault waits for bulk now: it is asked for, or hedged, as a fault's.
  void hurry(const FlightPtr& flight, Actions& actions);
  /// True: its source lets bulk wait, and is asked anew, for the reader.
  bool ask_for_reader(const FlightPtr& flight, Actions& actions);
  void set_paused(const FlightPtr& flight, bool paused, Actions& actions);

  /// After the pause `call` is run under the lock, and then its actions, unless stop() was before.
  void look_later(util::Duration pause, std::function<void(Brain&, Actions&)> call);

  // How much at once (admission.cpp)
  void enqueue(const FlightPtr& flight);
  void leave_queue(const FlightPtr& flight);
  void admit_waiting(Actions& actions);
  static WaitingRequest as_waiting(const Flight& flight);
  /// Whether somebody has it by now who can give it, of what is in the queue.
  void look_for_holders(Flight& flight, util::SteadyTime now) const;
  /// Admits anew when there may be news.
  void watch_for_holders();
  /// While somebody waits: who is silent makes room.
  void watch_queue();
  /// Who has queued since before `since`: others, of peers perhaps, may take all the room for long.
  void let_eldest_in(util::SteadyTime since, Actions& actions);
  void let_in(const FlightPtr& flight, Actions& actions);
  [[nodiscard]] bool may_relay();
  void take_inflow(Flight& flight);
  void give_inflow(Flight& flight);
  /// A fault waits for it: now, whatever else is on its way. A peer does: it is of our share.
  void let_overtake(const FlightPtr& flight, const chunk::FetchContext& context, Actions& actions);
  /// No reader awaits it, and a second request would make nothing come sooner: the link that the
  /// first one waits for is full, or a peer told it to wait.
  [[nodiscard]] bool waits_its_turn(const Flight& flight) const;

  // What arrives (arrival.cpp)
  void on_data(AttemptPtr attempt, util::ByteView bytes);
  void on_done(AttemptPtr attempt, util::Outcome<util::Done> outcome);
  void note_pace(const Attempt& attempt);
  bool take(const AttemptPtr& attempt, const Block& block);
  void accept(const AttemptPtr& attempt, const Block& block, bool sealed,
              const std::optional<util::Digest>& leaf, Actions& actions);
  /// It does not match the layer's tree.
  void refuse(const AttemptPtr& attempt, const Block& block, const util::Digest& leaf,
              Actions& actions);
  void refuse_surplus(const AttemptPtr& attempt, Actions& actions);
  /// What the flight fails with in the end is Fault::corrupt where the registry contradicts the
  /// layer's tree (Contradiction), or all who failed do.
  void failed(const AttemptPtr& attempt, util::Failure failure, Actions& actions);
  /// True: it ran out of time, and has more now, since somebody waits on.
  [[nodiscard]] bool renew_deadline(Flight& flight, const util::Failure& failure);
  void revive(const FlightPtr& flight, size_t source, Actions& actions);
  void write_back(const FlightPtr& flight, bool all, Actions& actions);
  void on_written(const FlightPtr& flight, util::ByteRange range,
                  const util::Outcome<util::Done>& outcome);
  void forget_blocks(const Flight& flight, util::ByteRange range);

  // Trust (trust.cpp)
  [[nodiscard]] std::set<FlightPtr> flights_of(const LayerState& state) const;
  /// What came before the seal is checked when it is read, lies are never stored and readers that
  /// had them begin again. Returns the flights of the lies.
  std::set<FlightPtr> doubt(Layer& layer, const std::vector<Provenance::Lie>& lies,
                            Actions& actions);
  void await_writes(const std::set<FlightPtr>& of);
  /// Logs and counts.
  void name(const chunk::LayerRef& ref, const Supplier& supplier, const std::string& why,
            Actions& actions);
  /// And tells the source: it lied.
  void convict(const chunk::LayerRef& ref, const Supplier& supplier, const std::string& why,
               Actions& actions);
  /// Likewise: it lied or, where the layer is claimed, it or the claimant did.
  void accuse(Layer& layer, const Supplier& supplier, const std::string& why, Actions& actions);

  // Bulk (bulk.cpp)
  void pump(Actions& actions);
  void pump_one(const std::shared_ptr<Bulk>& bulk, Actions& actions);
  /// How many bytes of it may be under way: of pulls all together as much as one, or two requests
  /// of each.
  [[nodiscard]] uint64_t limit_of(const Bulk& bulk) const;
  struct Next {
    chunk::BlockRange run;
    uint64_t* cursor;    ///< of the bulk, that led there; null: none
    bool spare = false;  ///< FetchContext::spare
  };
  /// What to fetch next. Empty: nothing, now.
  Next next_of(const std::shared_ptr<Bulk>& bulk, uint64_t limit);
  /// It is neither there nor on its way.
  static bool lacks(const Bulk& bulk, uint64_t block);
  static chunk::BlockRange first_lacking(const Bulk& bulk, chunk::BlockRange among);
  /// From the cursor, which it moves on, to what is there or on its way.
  chunk::BlockRange next_run(const Bulk& bulk, uint64_t& cursor) const;
  /// The same, of what the registry is to be asked for while others bring the rest.
  chunk::BlockRange next_ours(const Bulk& bulk, uint64_t& cursor) const;
  /// See bulk_order.h.
  [[nodiscard]] bool leaves_to_others(Bulk& bulk) const;
  /// Of our own share of any layer something is to be brought in yet.
  [[nodiscard]] bool owes_shares(chunk::Class cls) const;
  /// The same, of others' shares, once ours is here: one at a time, of what nobody has.
  chunk::BlockRange next_to_stand_in(Bulk& bulk) const;
  chunk::BlockRange next_from_the_back(Bulk& bulk) const;
  /// Whom a flight of these blocks would ask.
  [[nodiscard]] std::optional<Choice> choose(const Bulk& bulk, chunk::BlockRange run,
                                             bool spare) const;
  /// The same as next_run(), of what others bring. Empty: nothing is left, or news are waited for.
  chunk::BlockRange next_of_others(const std::shared_ptr<Bulk>& bulk, uint64_t limit);
  [[nodiscard]] chunk::BlockRange next_that_peers_have(const Bulk& bulk) const;
  [[nodiscard]] size_t wanting(const chunk::LayerRef& layer) const;
  [[nodiscard]] bool others_want(const chunk::LayerRef& layer) const { return wanting(layer) > 0; }
  [[nodiscard]] bool peers_have(const chunk::LayerRef& layer, chunk::BlockRange run) const;
  /// Pumps again when there may be news.
  void await_news(const std::shared_ptr<Bulk>& bulk);
  void start_bulk_flight(const std::shared_ptr<Bulk>& bulk, Next next, Actions& actions);
  /// All that is missing is asked for, in order, by class pull: it comes anyway.
  void bring_whole(const std::shared_ptr<Layer>& layer, Actions& actions);
  /// It was on its way and did not come: who brings in the layer may have passed it over.
  void bring_in_again(const LayerState& state, util::ByteRange range);
  void end_bulk(const std::shared_ptr<Bulk>& bulk, Actions& actions);

  // How backfill gives way (backfill_pace.cpp)
  void hold_back(Actions& actions);
  void let_go(Actions& actions);
  void fault_begins(Actions& actions);
  void fault_ends(Actions& actions);
  void expect_faults();
  /// Whether one more request of backfill may go. If not it will be pumped when one may.
  bool may_backfill();
  void spend_on_backfill(const std::shared_ptr<Bulk>& bulk, uint64_t bytes);
  /// Who waits notices within a second.
  void set_backfill_rate(uint64_t bytes_per_second);

  chunk::Store& store;
  const std::vector<chunk::Source*> sources;
  const util::Bytes secret;  ///< of held_block()
  const FetchOptions options;
  std::atomic<std::chrono::milliseconds> fault_timeout;  ///< takes the place of the option
  util::Timers& timers;
  util::Metrics& metrics;
  util::Metrics::Histogram& fault_seconds;
  std::array<std::array<util::Metrics::Counter*, chunk::kClasses>, 3> counters{};
  std::array<util::Metrics::Counter*, 3> wrong{};  ///< by kind of source

  std::mutex mutex;
  std::condition_variable written;     ///< a flight's write in the store has ended
  std::condition_variable drop_ended;  ///< an Opened is not dropping any more
  util::CallbackGate looks;            ///< around what the hedge timers do; closed by stop()
  std::atomic<bool> stopping = false;  ///< set under the lock
  /// A layer that was opened since start, and in whose names since nothing of it was here.
  struct Opened {
    std::weak_ptr<Layer> layer;
    bool traced = false;  ///< else there are bytes of an earlier run
    std::set<chunk::Origin> origins{};
    bool sealed = false;    ///< its bytes met a tree of our own, which may be gone from memory
    bool dropping = false;  ///< what is here of it goes: who opens it waits
  };
  [[nodiscard]] std::shared_ptr<Layer> open_locked(const chunk::LayerRef& ref);
  Opened& settled(std::unique_lock<std::mutex>& hold, const chunk::LayerRef& ref);
  void drop(std::unique_lock<std::mutex>& hold, Opened& known, chunk::StoredLayer& stored);
  /// Who opened it in nobody's name only looks.
  static bool is_used(const Opened& known);
  static bool only_for(const Opened& known, const chunk::LayerRef& ref,
                       const std::set<chunk::Origin>& others);
  std::map<std::pair<util::Digest, chunk::Form>, Opened> layers;
  std::list<FlightPtr> flights;
  std::list<FlightPtr> queue;  ///< of `flights`: they wait for room in the inflow
  bool queue_watched = false, holders_watched = false;
  Inflow inflow;
  SharePace share_pace;
  std::list<std::shared_ptr<Bulk>> bulks;
  std::optional<util::SteadyTime> bulk_came;  ///< last, of any layer
  std::map<std::string, OfRegistry> registries;
  unsigned faults = 0;  ///< waiting readers of class fault
  bool held_back = false;
  util::SteadyTime faults_near_until;  ///< since a layer came into use, or was read, lately
  util::Operation quiet_timer;
  util::TokenBucket backfill_allowance;
  bool awaits_allowance = false;  ///< a timer runs
};

inline void run(Brain::Actions& actions) {
  for (auto& action : actions) action();
  actions.clear();
}

/// For what must not die under the lock: its destructor may wait for a callback that wants it.
template <class T>
void bury(T thing, Brain::Actions& actions) {
  actions.push_back([old = std::make_shared<T>(std::move(thing))] {});
}

}  // namespace swarmfs::fetch
