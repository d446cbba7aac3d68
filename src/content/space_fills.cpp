// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "content/space_fills.h"

#include <cassert>
#include <cstring>
#include <future>
#include <map>
#include <vector>

#include "util/log.h"
#include "util/sync.h"

namespace swarmfs::content {

using chunk::StoredLayer;
using util::ByteRange;
using util::Bytes;
using util::ByteView;
using util::Failure;
using util::Fault;
using util::Outcome;
using util::SharedBytes;

namespace {

constexpr size_t kWrite = 1 << 20;

/// One read that waits. All but the gate is guarded by the core's lock.
struct Waiter {
  ByteRange range;
  std::shared_ptr<Bytes> out;
  SpaceFills::OnRead on_read;
  util::CallbackGate gate;
  bool late = false;  ///< the fill was past its beginning: what the store has is read back
  bool gone = false;

  /// `bytes` stand at `at` of the space.
  void take(uint64_t at, ByteView bytes) {
    const ByteRange part = overlap({at, bytes.size()}, range);
    if (!part.empty())
      std::memcpy(out->data() + (part.offset - range.offset), bytes.data() + (part.offset - at),
                  part.length);
  }
};
using WaiterPtr = std::shared_ptr<Waiter>;
using Waiters = std::vector<WaiterPtr>;

template <class Condition>
Waiters extract(Waiters& from, Condition condition) {
  Waiters found;
  std::erase_if(from, [&](const WaiterPtr& waiter) {
    if (!waiter->gone && condition(*waiter)) found.push_back(waiter);
    return waiter->gone || condition(*waiter);
  });
  return found;
}

void answer(const WaiterPtr& waiter, const Outcome<SharedBytes>& outcome) {
  waiter->gate.run([&] {
    // Let go of the callback: it may own the operation that owns this waiter.
    if (const auto on_read = std::exchange(waiter->on_read, nullptr)) on_read(outcome);
  });
}

const Failure kStops{Fault::cancelled, "the daemon stops"};

}  // namespace

struct SpaceFills::Core : std::enable_shared_from_this<Core> {
  /// Guarded by the lock; `tail` and `written` are changed by the fill's thread only.
  struct Fill {
    std::shared_ptr<StoredLayer> space;
    Open open;
    std::unique_ptr<SpaceSource> source;  ///< set once it runs
    uint64_t written = 0;                 ///< so far the store was given all
    Bytes tail;                           ///< what comes after that
    Waiters waiting;
    Waiters missed;  ///< the store did not keep their bytes: they want the next fill
    [[nodiscard]] uint64_t position() const { return written + tail.size(); }
  };
  using FillPtr = std::shared_ptr<Fill>;
  struct State {
    std::map<const StoredLayer*, FillPtr> fills;
    util::Workers* threads = nullptr;
    bool stopping = false;
  };

  FillPtr begin(State& state, const std::shared_ptr<StoredLayer>& space, const Open& open);
  void join(const std::shared_ptr<StoredLayer>& space, const Open& open, const WaiterPtr& waiter);
  enum class Place { waits, stored, served };
  static Place admit(Fill& fill, Waiter& waiter);
  void run(const FillPtr& fill);
  Outcome<util::Done> inflate(const FillPtr& fill);
  void feed(const FillPtr& fill, ByteView bytes);
  void write(const FillPtr& fill, size_t length);
  void read_back(const FillPtr& fill, const WaiterPtr& waiter);
  void end(const FillPtr& fill, Outcome<util::Done> outcome);

  util::Sync<State> state;
};

SpaceFills::SpaceFills(unsigned most) : core_(std::make_shared<Core>()), threads_(most) {
  core_->state.lock()->threads = &threads_;
}

SpaceFills::~SpaceFills() {
  auto state = core_->state.lock();
  state->stopping = true;
  for (const auto& [space, fill] : state->fills)
    if (fill->source) fill->source->stop();
}

util::Operation SpaceFills::read(std::shared_ptr<StoredLayer> space, ByteRange range, Open open,
                                 OnRead on_read) {
  auto waiter = std::make_shared<Waiter>();
  waiter->range = range;
  waiter->out = std::make_shared<Bytes>(range.length);
  waiter->on_read = std::move(on_read);
  core_->join(space, open, waiter);
  return util::Operation([core = core_, waiter] {
    waiter->gate.close();
    const auto state = core->state.lock();
    waiter->gone = true;
  });
}

SpaceFills::Core::FillPtr SpaceFills::Core::begin(State& in,
                                                  const std::shared_ptr<StoredLayer>& space,
                                                  const Open& open) {
  auto fill = std::make_shared<Fill>();
  fill->space = space;
  fill->open = open;
  in.fills[space.get()] = fill;
  in.threads->post(util::Workers::Urgency::urgent,
                   [self = shared_from_this(), fill] { self->run(fill); });
  return fill;
}

void SpaceFills::Core::join(const std::shared_ptr<StoredLayer>& space, const Open& open,
                            const WaiterPtr& waiter) {
  FillPtr fill;
  Place place = Place::waits;
  {
    auto locked = state.lock();
    if (locked->stopping) {
      locked.unlock();
      return answer(waiter, kStops);
    }
    const auto found = locked->fills.find(space.get());
    fill = found != locked->fills.end() ? found->second : begin(*locked, space, open);
    place = admit(*fill, *waiter);
    if (place == Place::waits) fill->waiting.push_back(waiter);
  }
  if (place == Place::stored) read_back(fill, waiter);
  if (place == Place::served) answer(waiter, SharedBytes(waiter->out, *waiter->out));
}

SpaceFills::Core::Place SpaceFills::Core::admit(Fill& fill, Waiter& waiter) {
  if (waiter.range.empty()) return Place::waits;
  waiter.late = waiter.range.offset < fill.written;
  if (waiter.late) return waiter.range.end() <= fill.written ? Place::stored : Place::waits;
  waiter.take(fill.written, fill.tail);
  return waiter.range.end() <= fill.position() ? Place::served : Place::waits;
}

void SpaceFills::Core::run(const FillPtr& fill) {
  Outcome<util::Done> outcome = kStops;
  try {
    outcome = inflate(fill);
  } catch (const std::exception& error) {
    outcome =
        Failure{Fault::unavailable,
                "while inflating layer " + fill->space->digest().short_hex() + ": " + error.what()};
  }
  end(fill, std::move(outcome));
}

Outcome<util::Done> SpaceFills::Core::inflate(const FillPtr& fill) {
  if (state.lock()->stopping) return kStops;
  auto source = fill->open();
  {
    auto locked = state.lock();
    if (locked->stopping) return kStops;
    fill->source = std::move(source);
  }
  auto outcome = fill->source->run([&](ByteView bytes) { feed(fill, bytes); });
  if (!outcome || state.lock()->stopping) return outcome;
  assert(fill->position() == fill->space->size());
  write(fill, fill->tail.size());
  return outcome;
}

void SpaceFills::Core::feed(const FillPtr& fill, ByteView bytes) {
  Waiters served;
  {
    auto locked = state.lock();
    if (locked->stopping) return;
    const uint64_t at = fill->position(), now = at + bytes.size();
    assert(now <= fill->space->size());
    for (const auto& waiter : fill->waiting)
      if (!waiter->late) waiter->take(at, bytes);
    fill->tail.insert(fill->tail.end(), bytes.begin(), bytes.end());
    served = extract(fill->waiting, [&](const Waiter& waiter) {
      return !waiter.late && !waiter.range.empty() && waiter.range.end() <= now;
    });
  }
  for (const auto& waiter : served) answer(waiter, SharedBytes(waiter->out, *waiter->out));
  if (fill->tail.size() >= kWrite)
    write(fill, fill->tail.size() / chunk::kBlockSize * chunk::kBlockSize);
}

void SpaceFills::Core::write(const FillPtr& fill, size_t length) {
  if (length == 0) return;
  const auto end = fill->tail.begin() + static_cast<std::ptrdiff_t>(length);
  std::promise<void> done;
  // Where the quota does not allow it, it is not kept: the next reader inflates again.
  fill->space->write(chunk::BlockIndex{fill->written / chunk::kBlockSize},
                     SharedBytes::of(Bytes(fill->tail.begin(), end)), chunk::Class::pull,
                     [&](const Outcome<util::Done>&) { done.set_value(); });
  done.get_future().wait();
  Waiters stored;
  {
    auto locked = state.lock();
    fill->tail.erase(fill->tail.begin(), end);
    fill->written += length;
    stored = extract(fill->waiting, [&](const Waiter& waiter) {
      return waiter.late && waiter.range.end() <= fill->written;
    });
  }
  for (const auto& waiter : stored) read_back(fill, waiter);
}

void SpaceFills::Core::read_back(const FillPtr& fill, const WaiterPtr& waiter) {
  fill->space->read(waiter->range,
                    [self = shared_from_this(), fill, waiter](const Outcome<SharedBytes>& bytes) {
                      if (bytes || bytes.failure().fault != Fault::not_found)
                        return answer(waiter, bytes);
                      {
                        auto locked = self->state.lock();
                        const auto found = locked->fills.find(fill->space.get());
                        if (waiter->gone) return;
                        if (found != locked->fills.end() && found->second == fill) {
                          waiter->late = false;
                          return fill->missed.push_back(waiter);
                        }
                      }
                      self->join(fill->space, fill->open, waiter);
                    });
}

void SpaceFills::Core::end(const FillPtr& fill, Outcome<util::Done> outcome) {
  const auto all = [](const Waiter&) { return true; };
  std::unique_ptr<SpaceSource> source;
  Waiters waiting;
  {
    auto locked = state.lock();
    if (locked->stopping) outcome = kStops;
    locked->fills.erase(fill->space.get());
    source = std::move(fill->source);
    waiting = extract(fill->waiting, all);
    auto missed = extract(fill->missed, all);
    if (!outcome)
      waiting.insert(waiting.end(), missed.begin(), missed.end());
    else if (!missed.empty())
      begin(*locked, fill->space, fill->open)->waiting = std::move(missed);
  }
  for (const auto& waiter : waiting)
    if (outcome)
      answer(waiter, SharedBytes());
    else
      answer(waiter, outcome.failure());
}

}  // namespace swarmfs::content
