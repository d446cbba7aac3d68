// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/peer_holdings.h"

#include <algorithm>

#include "util/log.h"

namespace swarmfs::daemon {

using chunk::BlockRange;
using util::Failure;
using util::Fault;
using Using = std::shared_lock<std::shared_mutex>;

namespace {

constexpr uint64_t kReadNow = 64 << 10;

std::vector<BlockRange> without(uint64_t count, const std::vector<BlockRange>& missing) {
  std::vector<BlockRange> made;
  uint64_t at = 0;
  for (const auto& gap : missing) {
    if (gap.first > at) made.push_back({at, gap.first - at});
    at = gap.end();
  }
  if (count > at) made.push_back({at, count - at});
  return made;
}

/// Whether every block is in the store or on its way.
bool covers(const std::vector<BlockRange>& coming, const std::vector<BlockRange>& missing) {
  return std::all_of(missing.begin(), missing.end(), [&](const BlockRange& gap) {
    return std::any_of(coming.begin(), coming.end(), [&](const BlockRange& one) {
      return one.first <= gap.first && gap.end() <= one.end();
    });
  });
}

}  // namespace

void PeerHoldings::connect(const Parts& parts) {
  const std::lock_guard hold(connection_);
  parts_ = parts;
}

void PeerHoldings::disconnect() {
  connect({});
}

void PeerHoldings::note(const chunk::LayerRef& layer) {
  {
    const Using held(connection_);
    const auto here = parts_.store ? parts_.store->size_of(layer.digest) : std::nullopt;
    if (here && *here != layer.size) return;  // whoever says so: the file is of the other size
  }
  refs_.lock()->insert_or_assign(layer.digest, layer);
}

bool PeerHoldings::belongs(const util::Digest& layer, const std::string& repository) {
  const Using held(connection_);
  return parts_.catalog && parts_.catalog->belongs(layer, repository);
}

swarm::Access PeerHoldings::access(const std::string& repository) {
  const Using held(connection_);
  return parts_.catalog ? parts_.catalog->access(repository) : swarm::Access{};
}

std::shared_ptr<fetch::Layer> PeerHoldings::open(const util::Digest& layer, bool named) {
  chunk::LayerRef ref{layer, 0, {}};
  {
    auto refs = refs_.lock();
    if (const auto known = refs->find(layer); known != refs->end()) ref = known->second;
  }
  if (ref.size == 0) ref.size = parts_.store->size_of(layer).value_or(0);
  if (ref.size == 0) return nullptr;
  // In nobody's name: a look, or a read of what is here, brings nothing in (Layer::came_for).
  auto opened = parts_.fetcher->open({layer, ref.size, {}});
  return named && opened->with_origins().origins.empty() ? parts_.fetcher->open(ref) : opened;
}

std::optional<swarm::HeldLayer> PeerHoldings::held(const util::Digest& digest) {
  const Using held(connection_);
  const auto layer = parts_.store ? open(digest, false) : nullptr;
  if (!layer) return std::nullopt;
  swarm::HeldLayer made;
  made.size = layer->ref().size;
  const uint64_t count = chunk::block_count(made.size);
  const auto missing = layer->stored().missing({0, count});
  made.complete = missing.empty();
  made.presence = without(count, missing);
  made.coming = parts_.fetcher->coming(*layer);
  made.presence.insert(made.presence.end(), made.coming.begin(), made.coming.end());
  made.sealed = parts_.library && parts_.library->may_publish(digest);
  return made;
}

bool PeerHoldings::is_stored(const util::Digest& digest) {
  const Using held(connection_);
  return parts_.store && parts_.store->size_of(digest);
}

util::Operation PeerHoldings::read(const util::Digest& digest, util::ByteRange range, bool fetch,
                                   const chunk::FetchContext& context, OnRead on_read) {
  const Using held(connection_);
  auto layer = parts_.store ? open(digest, fetch) : nullptr;
  const bool can_fetch = layer && !layer->with_origins().origins.empty();
  if (layer && !(fetch && can_fetch)) {
    const auto missing = layer->stored().missing(chunk::blocks_covering(range));
    if (!missing.empty() && !covers(parts_.fetcher->coming(*layer), missing)) layer = nullptr;
  }
  if (!layer) {
    on_read(Failure{Fault::not_found, "not here"});
    return {};
  }
  // What the kernel has in memory spares the member two changes of threads.
  util::Bytes now(range.length <= kReadNow ? range.length : 0);
  if (!now.empty() && parts_.fetcher->try_read_now(*layer, range, now.data())) {
    on_read(util::SharedBytes::of(std::move(now)));
    return {};
  }
  return parts_.fetcher->read(std::move(layer), range, context, std::move(on_read));
}

util::Operation PeerHoldings::windows(const util::Digest& layer, const util::Digest& name,
                                      util::ByteRange range, OnRead on_read) {
  const auto gate = std::make_shared<util::CallbackGate>();
  const auto answer = [gate, on_read = std::move(on_read)](util::Outcome<util::SharedBytes> bytes) {
    gate->run([&] { on_read(std::move(bytes)); });
  };
  workers_.post(util::Workers::Urgency::urgent, [this, layer, name, range, answer] {
    const Using held(connection_);
    if (!parts_.library) return answer(Failure{Fault::not_found, "not here"});
    parts_.library->read_windows(layer, name, range, answer);
  });
  return util::Operation([gate] { gate->close(); });
}

void PeerHoldings::published(const util::Digest& layer,
                             std::function<void(std::optional<swarm::PublishedLayer>)> callback) {
  workers_.post(util::Workers::Urgency::normal, [this, layer, callback = std::move(callback)] {
    std::optional<swarm::PublishedLayer> made;
    {
      const Using held(connection_);
      if (auto found = parts_.library ? parts_.library->published(layer) : std::nullopt)
        made = {std::move(found->index), std::move(found->leaves), std::move(found->claim)};
    }
    callback(std::move(made));
  });
}

std::optional<swarm::ExchangedLayer> PeerHoldings::exchanged(const util::Digest& digest) {
  const Using held(connection_);
  const auto layer = parts_.library ? open(digest, true) : nullptr;
  if (!layer || layer->ref().size == 0) return std::nullopt;
  swarm::ExchangedLayer made{layer->with_origins(), layer->tree(), nullptr, nullptr};
  made.stored = parts_.store->open(digest, made.ref.size);
  if (!made.tree) {
    const auto known = parts_.library->published(digest);
    auto tree = known ? chunk::HashTree::from_leaves(made.ref.size, known->leaves, known->root)
                      : std::nullopt;
    if (!tree) return std::nullopt;
    made.tree = std::make_shared<const chunk::HashTree>(std::move(*tree));
    made.stored->trust(made.tree);
  }
  made.stands = [this, digest, root = made.tree->root()] { return stands(digest, root); };
  return made;
}

bool PeerHoldings::stands(const util::Digest& digest, const util::Digest& root) {
  const Using held(connection_);
  const auto layer = parts_.library ? open(digest, false) : nullptr;
  if (!layer) return false;
  const auto tree = layer->tree();
  return tree ? tree->root() == root : parts_.library->may_publish(digest);
}

void PeerHoldings::manifest(const std::string& reference, const std::string& platform,
                            std::function<void(std::optional<swarm::HeldManifest>)> callback) {
  std::optional<swarm::HeldManifest> found;
  {
    const Using held(connection_);
    if (parts_.catalog) found = parts_.catalog->manifest(reference, platform);
  }
  callback(std::move(found));
}

std::map<std::string, swarm::RegistryWord> PeerHoldings::registries() {
  const std::shared_lock hold(connection_);
  std::map<std::string, swarm::RegistryWord> made;
  if (!parts_.registry) return made;
  for (const auto& [host, use] : parts_.registry->in_use(std::chrono::steady_clock::now()))
    made[host] = {use.asks, std::chrono::ceil<std::chrono::milliseconds>(use.held)};
  return made;
}

void PeerHoldings::profile(const util::Digest& manifest,
                           std::function<void(std::optional<std::string>)> callback) {
  workers_.post(util::Workers::Urgency::normal, [this, manifest, callback = std::move(callback)] {
    std::optional<util::Bytes> document;
    {
      const Using held(connection_);
      if (parts_.store) document = parts_.store->load_document("profile/" + manifest.hex());
    }
    callback(document ? std::optional(std::string(util::as_text(*document))) : std::nullopt);
  });
}

}  // namespace swarmfs::daemon
