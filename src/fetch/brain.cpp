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
      options(its_options),
      fault_timeout(its_options.fault_timeout),
      timers(its_timers),
      metrics(its_metrics),
      fault_seconds(
          metrics.latency("swarmfs_fault_seconds", "Time that a reader waited for absent bytes")) {
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

std::shared_ptr<Layer> Brain::open(const chunk::LayerRef& ref) {
  const std::lock_guard hold(mutex);
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
      known = {{}, true, {}};
    known.layer = layer;
  }
  known.origins.insert(ref.origins.begin(), ref.origins.end());
  if (known.origins.size() > kMostNames) known = {layer, false, {}};
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

std::shared_ptr<Layer> Brain::open_alone(const chunk::LayerRef& ref,
                                         const std::set<chunk::Origin>& others) {
  for (int look = 0;; ++look) {
    std::shared_ptr<chunk::StoredLayer> stored;
    {
      const std::lock_guard hold(mutex);
      const auto& known = layers[{ref.digest, ref.form}];
      const bool in_use = !known.layer.expired();
      stored = store.open(ref.digest, ref.size, ref.form);
      const bool empty = !in_use && stored->bytes_present() == 0;
      if (empty || only_for(known, ref, others)) return open_locked(ref);
      const bool whole = stored->has({0, chunk::block_count(ref.size)});
      if (in_use || whole || look > 0) return nullptr;
    }
    stored->discard();
  }
}

std::optional<std::set<chunk::Origin>> Brain::came_for(const chunk::LayerRef& ref) {
  const std::lock_guard hold(mutex);
  const auto found = layers.find({ref.digest, ref.form});
  if (found == layers.end() || !found->second.traced) return std::nullopt;
  return found->second.origins;
}

}  // namespace swarmfs::fetch
