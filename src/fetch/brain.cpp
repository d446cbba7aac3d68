// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "fetch/brain.h"

#include <sys/random.h>

#include <algorithm>

#include "util/error.h"

namespace swarmfs::fetch {

using chunk::Class;

namespace {

/// In which a layer was opened, that are remembered.
constexpr size_t kMostNames = 64;

util::Bytes fresh_secret() {
  util::Bytes made(32);
  if (::getrandom(made.data(), made.size(), 0) != static_cast<ssize_t>(made.size()))
    throw util::SysError("getrandom");
  return made;
}

}  // namespace

Brain::Brain(chunk::Store& its_store, std::vector<chunk::Source*> its_sources,
             FetchOptions its_options, util::Timers& its_timers, util::Metrics& its_metrics)
    : store(its_store),
      sources(std::move(its_sources)),
      secret(fresh_secret()),
      options(std::move(its_options)),
      fault_timeout(options.fault_timeout),
      timers(its_timers),
      metrics(its_metrics),
      fault_seconds(
          metrics.latency("swarmfs_fault_seconds", "Time that a reader waited for absent bytes")),
      backfill_allowance(static_cast<double>(options.backfill_rate),
                         std::chrono::steady_clock::now()) {
  for (size_t source = 0; source < counters.size(); ++source)
    for (size_t cls = 0; cls < chunk::kClasses; ++cls)
      counters[source][cls] =
          &metrics.counter("swarmfs_bytes_total", "Bytes of layers by source and class",
                           {{"source", chunk::to_string(static_cast<chunk::SourceKind>(source))},
                            {"class", chunk::to_string(static_cast<Class>(cls))}});
  for (size_t source = 0; source < wrong.size(); ++source)
    wrong[source] = &metrics.counter(
        "swarmfs_verification_failures_total", "Bytes that did not match their digest",
        {{"source", chunk::to_string(static_cast<chunk::SourceKind>(source))}});
}

void Brain::count(Layer& layer, chunk::SourceKind source, Class cls, uint64_t bytes) {
  counters[static_cast<size_t>(source)][static_cast<size_t>(cls)]->add(static_cast<double>(bytes));
  layer.by_source_[static_cast<size_t>(source)] += bytes;
}

Brain::Opened& Brain::settled(std::unique_lock<std::mutex>& hold, const chunk::LayerRef& ref) {
  auto& known = layers[{ref.digest, ref.form}];
  drop_ended.wait(hold, [&] { return !known.dropping; });
  return known;
}

std::shared_ptr<Layer> Brain::open(const chunk::LayerRef& ref) {
  std::unique_lock hold(mutex);
  settled(hold, ref);
  return open_locked(ref);
}

std::shared_ptr<Layer> Brain::open_locked(const chunk::LayerRef& ref) {
  auto& known = layers[{ref.digest, ref.form}];
  auto layer = known.layer.lock();
  if (layer) {
    if (layer->ref().size != ref.size)
      throw util::Error("layer " + ref.digest.to_string() + " has " +
                        std::to_string(layer->ref().size) + " bytes, not " +
                        std::to_string(ref.size) + " as a manifest says");
    auto origins = layer->origins_.lock();
    for (const auto& origin : ref.origins)
      if (std::find(origins->begin(), origins->end(), origin) == origins->end())
        origins->push_back(origin);
  } else {
    layer = std::make_shared<Layer>(ref, store.open(ref.digest, ref.size, ref.form),
                                    std::make_shared<LayerState>(ref.size), weak_from_this());
    if (layer->stored().bytes_present() > 0)
      layer->state_->provenance.inherit();
    else
      known = {{}, true};
    known.layer = layer;
  }
  known.origins.insert(ref.origins.begin(), ref.origins.end());
  if (known.origins.size() > kMostNames) known = {layer, false, {}, known.sealed};
  return layer;
}

bool Brain::only_for(const Opened& known, const chunk::LayerRef& ref,
                     const std::set<chunk::Origin>& others) {
  const auto is_one = [&](const chunk::Origin& name) {
    return others.contains(name) ||
           std::find(ref.origins.begin(), ref.origins.end(), name) != ref.origins.end();
  };
  return known.traced && std::all_of(known.origins.begin(), known.origins.end(), is_one);
}

bool Brain::is_used(const Opened& known) {
  const auto layer = known.layer.lock();
  return layer && !layer->origins_.lock()->empty();
}

void Brain::drop(std::unique_lock<std::mutex>& hold, Opened& known, chunk::StoredLayer& stored) {
  struct Dropping {
    Dropping(Brain& its_brain, std::unique_lock<std::mutex>& its_hold, Opened& its_known)
        : brain(its_brain), hold(its_hold), known(its_known) {
      known.dropping = true;
      hold.unlock();
    }
    ~Dropping() {
      hold.lock();
      known.dropping = false;
      brain.drop_ended.notify_all();
    }
    Brain& brain;
    std::unique_lock<std::mutex>& hold;
    Opened& known;
  };
  const Dropping now(*this, hold, known);
  stored.discard();
}

std::shared_ptr<Layer> Brain::open_alone(const chunk::LayerRef& ref,
                                         const std::set<chunk::Origin>& others) {
  std::unique_lock hold(mutex);
  for (bool again = false;; again = true) {
    auto& known = settled(hold, ref);
    const auto stored = store.open(ref.digest, ref.size, ref.form);
    const bool used = is_used(known);
    if (!used && stored->bytes_present() == 0) {
      const auto looker = known.layer.lock();
      if (looker) looker->state_->provenance.discarded();
      known = {looker, true};
      return open_locked(ref);
    }
    if (only_for(known, ref, others)) return open_locked(ref);
    const bool whole = stored->has({0, chunk::block_count(ref.size)});
    if (used || again || whole || known.sealed) return nullptr;
    drop(hold, known, *stored);
  }
}

std::optional<std::set<chunk::Origin>> Brain::came_for(const chunk::LayerRef& ref) {
  const std::lock_guard hold(mutex);
  const auto found = layers.find({ref.digest, ref.form});
  if (found == layers.end() || !found->second.traced) return std::nullopt;
  return found->second.origins;
}

void Brain::look_later(util::Duration pause, std::function<void(Brain&, Actions&)> call) {
  timers.post(pause, [weak = weak_from_this(), call = std::move(call)] {
    const auto self = weak.lock();
    if (!self) return;
    self->looks.run([&] {
      Actions actions;
      {
        const std::lock_guard hold(self->mutex);
        call(*self, actions);
      }
      run(actions);
    });
  });
}

}  // namespace swarmfs::fetch
