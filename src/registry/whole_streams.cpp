// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "registry/whole_streams.h"

#include <algorithm>
#include <list>
#include <vector>

#include "util/log.h"
#include "util/sync.h"

namespace swarmfs::registry {

using util::ByteRange;
using util::Bytes;
using util::ByteView;
using util::Failure;
using util::Fault;
using util::Outcome;

namespace {

constexpr std::chrono::seconds kIdle{10};

struct Listener {
  ByteRange range;
  chunk::Source::OnData on_data;
  chunk::Source::OnDone on_done;
  util::CallbackGate gate;
};
using ListenerPtr = std::shared_ptr<Listener>;

}  // namespace

struct WholeStreams::Core : std::enable_shared_from_this<Core> {
  /// Guarded by the lock.
  struct Stream {
    chunk::LayerRef layer;
    uint64_t position = 0;
    Bytes held;  ///< came at `position`, and nobody wanted anything any more
    bool still = false;
    unsigned pauses = 0;
    std::vector<ListenerPtr> listeners;
    std::unique_ptr<chunk::Transfer> transfer;
  };
  using StreamPtr = std::shared_ptr<Stream>;
  struct State {
    std::list<StreamPtr> streams;
    bool stopping = false;
  };
  struct Delivery {
    ListenerPtr to;
    ByteView bytes;
    bool last = false;
  };

  Core(RegistryClient& its_client, util::Timers& its_timers)
      : client(its_client), timers(its_timers) {}
  void join(const chunk::LayerRef& layer, const ListenerPtr& listener);
  static std::unique_ptr<chunk::Transfer> drop_still(State& state, const chunk::LayerRef& layer);
  void begin(const StreamPtr& stream);
  void leave(const ListenerPtr& listener);
  void on_data(const StreamPtr& stream, ByteView bytes);
  void on_done(const StreamPtr& stream, const Outcome<http::Response>& outcome);
  static std::vector<Delivery> deliveries(Stream& stream, ByteView& bytes);
  void stand_still(const StreamPtr& stream, ByteView rest);
  void go_on(const StreamPtr& stream);
  void give_up_idle(const StreamPtr& stream, unsigned pause);

  RegistryClient& client;
  util::Timers& timers;
  util::Sync<State> state;
};

namespace {

/// One reader of a stream.
template <class Core>
class StreamTransfer final : public chunk::Transfer {
 public:
  StreamTransfer(std::shared_ptr<Core> core, ListenerPtr listener)
      : core_(std::move(core)), listener_(std::move(listener)) {}
  ~StreamTransfer() override {
    listener_->gate.close();
    core_->leave(listener_);
  }
  void pause() override {}
  void resume() override {}
  [[nodiscard]] std::string supplier() const override { return "registry"; }

 private:
  std::shared_ptr<Core> core_;
  ListenerPtr listener_;
};

}  // namespace

WholeStreams::WholeStreams(RegistryClient& client, util::Timers& timers)
    : core_(std::make_shared<Core>(client, timers)) {}

WholeStreams::~WholeStreams() {
  std::list<Core::StreamPtr> streams;
  std::vector<std::unique_ptr<chunk::Transfer>> transfers;
  auto state = core_->state.lock();
  state->stopping = true;
  streams.swap(state->streams);
  for (const auto& stream : streams) transfers.push_back(std::move(stream->transfer));
  state.unlock();
}

std::unique_ptr<chunk::Transfer> WholeStreams::fetch(const chunk::LayerRef& layer, ByteRange range,
                                                     chunk::Source::OnData on_data,
                                                     chunk::Source::OnDone on_done) {
  auto listener = std::make_shared<Listener>();
  listener->range = range;
  listener->on_data = std::move(on_data);
  listener->on_done = std::move(on_done);
  core_->join(layer, listener);
  return std::make_unique<StreamTransfer<Core>>(core_, std::move(listener));
}

void WholeStreams::Core::join(const chunk::LayerRef& layer, const ListenerPtr& listener) {
  StreamPtr stream;
  std::unique_ptr<chunk::Transfer> useless;
  bool fresh = false;
  {
    auto locked = state.lock();
    if (locked->stopping) return;
    for (const auto& one : locked->streams)
      if (one->layer.digest == layer.digest && one->position <= listener->range.offset &&
          (!stream || one->position > stream->position))
        stream = one;
    fresh = !stream;
    if (fresh) {
      useless = drop_still(*locked, layer);
      stream = std::make_shared<Stream>();
      stream->layer = layer;
      locked->streams.push_back(stream);
    }
    stream->listeners.push_back(listener);
    if (std::exchange(stream->still, false))
      timers.post({}, [self = shared_from_this(), stream] { self->go_on(stream); });
  }
  if (fresh) begin(stream);
}

/// A stream of the layer that nobody waits for and that is past what is wanted now.
std::unique_ptr<chunk::Transfer> WholeStreams::Core::drop_still(State& in,
                                                                const chunk::LayerRef& layer) {
  for (const auto& stream : in.streams) {
    if (!stream->listeners.empty() || stream->layer.digest != layer.digest) continue;
    auto transfer = std::move(stream->transfer);
    in.streams.remove(StreamPtr(stream));
    return transfer;
  }
  return nullptr;
}

void WholeStreams::Core::begin(const StreamPtr& stream) {
  GetOrder order;
  order.origins = stream->layer.origins;
  order.path = "blobs/" + stream->layer.digest.to_string();
  order.range = ByteRange{0, stream->layer.size};
  order.whole = true;
  order.cls = chunk::Class::fault;
  order.borrows = true;
  const std::weak_ptr<Core> weak = weak_from_this();
  order.on_data = [weak, stream](ByteView bytes) {
    if (const auto self = weak.lock()) self->on_data(stream, bytes);
  };
  order.on_done = [weak, stream](const Outcome<http::Response>& outcome) {
    if (const auto self = weak.lock()) self->on_done(stream, outcome);
  };
  auto transfer = client.get(std::move(order));
  auto locked = state.lock();
  const bool lives =
      std::find(locked->streams.begin(), locked->streams.end(), stream) != locked->streams.end();
  if (lives) stream->transfer = std::move(transfer);
  if (lives && stream->still) stream->transfer->pause();
}

void WholeStreams::Core::leave(const ListenerPtr& listener) {
  auto locked = state.lock();
  for (const auto& stream : locked->streams)
    if (std::erase(stream->listeners, listener) && stream->listeners.empty() && !stream->still)
      stand_still(stream, {});
}

/// Who gets what of `bytes`, which stand at the stream's position; takes from them what is dealt
/// with. Under the lock.
std::vector<WholeStreams::Core::Delivery> WholeStreams::Core::deliveries(Stream& stream,
                                                                         ByteView& bytes) {
  std::vector<Delivery> made;
  uint64_t furthest = 0;
  const uint64_t at = stream.position;
  for (const auto& listener : stream.listeners) {
    const ByteRange part = overlap({at, bytes.size()}, listener->range);
    furthest = std::max(furthest, listener->range.end());
    if (!part.empty())
      made.push_back({listener, bytes.subspan(part.offset - at, part.length),
                      part.end() == listener->range.end()});
  }
  const uint64_t wanted = std::min<uint64_t>(bytes.size(), furthest > at ? furthest - at : 0);
  std::erase_if(stream.listeners,
                [&](const ListenerPtr& listener) { return listener->range.end() <= at + wanted; });
  stream.position += wanted;
  bytes = bytes.subspan(wanted);
  return made;
}

void WholeStreams::Core::on_data(const StreamPtr& stream, ByteView bytes) {
  while (!bytes.empty()) {
    std::vector<Delivery> made;
    {
      auto locked = state.lock();
      if (locked->stopping) return;
      if (stream->listeners.empty()) return stand_still(stream, bytes);
      made = deliveries(*stream, bytes);
    }
    for (const auto& one : made)
      one.to->gate.run([&] {
        one.to->on_data(one.bytes);
        // Let go of the callback: it may own what owns this listener.
        if (one.last)
          if (const auto done = std::exchange(one.to->on_done, nullptr)) done(util::Done{});
      });
  }
}

/// Under the lock.
void WholeStreams::Core::stand_still(const StreamPtr& stream, ByteView rest) {
  stream->still = true;
  stream->held.insert(stream->held.end(), rest.begin(), rest.end());
  if (stream->transfer) stream->transfer->pause();
  timers.post(kIdle, [weak = weak_from_this(), stream, pause = ++stream->pauses] {
    if (const auto self = weak.lock()) self->give_up_idle(stream, pause);
  });
}

void WholeStreams::Core::go_on(const StreamPtr& stream) {
  Bytes held;
  {
    auto locked = state.lock();
    held.swap(stream->held);
  }
  on_data(stream, held);
  auto locked = state.lock();
  if (!stream->still && stream->transfer) stream->transfer->resume();
}

void WholeStreams::Core::give_up_idle(const StreamPtr& stream, unsigned pause) {
  std::unique_ptr<chunk::Transfer> transfer;
  auto locked = state.lock();
  if (!stream->still || stream->pauses != pause) return;
  locked->streams.remove(stream);
  transfer = std::move(stream->transfer);
  locked.unlock();
}

void WholeStreams::Core::on_done(const StreamPtr& stream, const Outcome<http::Response>& outcome) {
  std::vector<ListenerPtr> listeners;
  std::unique_ptr<chunk::Transfer> transfer;
  {
    auto locked = state.lock();
    // What is held nobody has asked for: it is fetched again.
    locked->streams.remove(stream);
    listeners.swap(stream->listeners);
    transfer = std::move(stream->transfer);
  }
  const Failure why =
      outcome ? Failure{Fault::unavailable, "the registry sent too little"} : outcome.failure();
  for (const auto& listener : listeners)
    listener->gate.run([&] {
      if (const auto done = std::exchange(listener->on_done, nullptr)) done(why);
    });
}

}  // namespace swarmfs::registry
