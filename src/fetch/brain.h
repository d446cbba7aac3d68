// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <atomic>
#include <list>
#include <mutex>
#include <unordered_map>

#include "fetch/fetcher.h"
#include "fetch/read_ahead.h"

namespace swarmfs::fetch {

/// A read that waits. Its bytes are collected in `out`.
struct Waiter {
  util::ByteRange range;
  chunk::Class cls = chunk::Class::fault;
  std::shared_ptr<util::Bytes> out;
  uint64_t lacking = 0;  ///< bytes; guarded by the brain's lock
  bool ended = false;    ///< guarded by the brain's lock
  util::SteadyTime started;
  Fetcher::OnRead on_read;
  util::CallbackGate gate;
  util::Operation timer;
};

/// What one waiter wants of one flight.
struct Part {
  std::shared_ptr<Waiter> waiter;
  util::ByteRange range;
};

struct Bulk;

/// A range on its way. Blocks stay in the layer's flight table until they are in the store.
struct Flight {
  std::shared_ptr<Layer> layer;
  util::ByteRange range;  ///< from a block's start to a block's end or the layer's
  chunk::Class cls = chunk::Class::fault;
  std::shared_ptr<util::Bytes> buffer;
  uint64_t arrived = 0;
  uint64_t written = 0;  ///< handed to the store
  bool ended = false;
  bool paused = false;
  size_t source = 0;
  util::SteadyTime deadline;
  std::vector<Part> parts;
  std::shared_ptr<Bulk> bulk;  ///< of backfill and pull
  std::unique_ptr<chunk::Transfer> transfer;
};

/// One bring_in().
struct Bulk {
  std::shared_ptr<Layer> layer;
  chunk::Class cls = chunk::Class::backfill;
  uint64_t cursor = 0;  ///< block
  unsigned in_flight = 0;
  bool ended = false;
  std::optional<util::Failure> failure;
  Fetcher::OnDone on_done;
  util::CallbackGate gate;
};

struct Layer::Flights {
  std::unordered_map<uint64_t, std::shared_ptr<Flight>> by_block;
  ReadAhead read_ahead;
};

/// Fetcher's inside, shared with the callbacks under way. One lock; what must happen without it
/// (starting and dropping transfers, callbacks, store writes) is put into Actions and done after.
struct Brain : std::enable_shared_from_this<Brain> {
  using Actions = std::vector<std::function<void()>>;
  using FlightPtr = std::shared_ptr<Flight>;

  Brain(chunk::Store& store, std::vector<chunk::Source*> sources, FetchOptions options,
        util::Timers& timers, util::Metrics& metrics);

  std::shared_ptr<Layer> open(const chunk::LayerRef& ref, chunk::Form form);
  util::Operation read(std::shared_ptr<Layer> layer, util::ByteRange range,
                       chunk::FetchContext context, Fetcher::OnRead on_read);
  util::Operation bring_in(std::shared_ptr<Layer> layer, chunk::Class cls, Fetcher::OnDone on_done);
  void stop();
  void count(Layer& layer, chunk::SourceKind source, chunk::Class cls, uint64_t bytes);

  // Reads (brain.cpp)
  void read_missing(const std::shared_ptr<Layer>& layer, const std::shared_ptr<Waiter>& waiter,
                    util::SteadyTime deadline);
  void read_stored(const std::shared_ptr<Layer>& layer, const std::shared_ptr<Waiter>& waiter,
                   util::ByteRange part, util::SteadyTime deadline);
  FlightPtr joinable(Layer& layer, uint64_t block, chunk::Class cls);
  void join(const FlightPtr& flight, const std::shared_ptr<Waiter>& waiter, util::ByteRange part,
            Actions& actions);
  void deliver(Waiter& waiter, util::ByteRange part, const std::byte* bytes, Actions& actions,
               const std::shared_ptr<Waiter>& self);
  void end_waiter(const std::shared_ptr<Waiter>& waiter, std::optional<util::Failure> failure,
                  Actions& actions);
  // Flights (brain.cpp)
  FlightPtr make_flight(const std::shared_ptr<Layer>& layer, chunk::BlockRange blocks,
                        chunk::Class cls, util::SteadyTime deadline, Actions& actions);
  void launch(const FlightPtr& flight);
  void on_data(const FlightPtr& flight, util::ByteView bytes);
  void on_done(const FlightPtr& flight, util::Outcome<util::Done> outcome);
  void write_back(const FlightPtr& flight, bool all, Actions& actions);
  void forget_blocks(Flight& flight, util::ByteRange range);
  // Bulk (bulk.cpp)
  void pump(Actions& actions);
  void pump_one(const std::shared_ptr<Bulk>& bulk, Actions& actions);
  void end_bulk(const std::shared_ptr<Bulk>& bulk, Actions& actions);
  void hold_back(Actions& actions);
  void let_go(Actions& actions);
  void fault_begins(Actions& actions);
  void fault_ends(Actions& actions);

  chunk::Store& store;
  const std::vector<chunk::Source*> sources;
  const FetchOptions options;
  util::Timers& timers;
  util::Metrics& metrics;
  util::Metrics::Histogram& fault_seconds;
  std::array<std::array<util::Metrics::Counter*, chunk::kClasses>, 3> counters{};

  std::mutex mutex;
  bool stopping = false;
  std::map<std::pair<util::Digest, chunk::Form>, std::weak_ptr<Layer>> layers;
  std::list<FlightPtr> flights;
  std::list<std::shared_ptr<Bulk>> bulks;
  unsigned faults = 0;  ///< waiting readers of class fault
  bool held_back = false;
  util::Operation quiet_timer;
};

inline void run(Brain::Actions& actions) {
  for (auto& action : actions) action();
  actions.clear();
}

}  // namespace swarmfs::fetch
