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

/// What is here of the layer may be given in the repository's name.
bool belongs_to(const Catalog& catalog, const fetch::Layer& layer, const std::string& repository) {
  if (catalog.is_shown(layer.ref().digest, repository)) return true;
  const auto names = layer.came_for();
  return names && catalog.are_open(*names, repository);
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
    auto noted = noted_.lock();
    for (const auto& origin : layer.origins)
      noted->insert_or_assign({layer.digest, origin.name()}, layer.size);
  }
  const Using held(connection_);
  if (!parts_.inquiries || !parts_.store->size_of(layer.digest)) return;
  for (const auto& origin : layer.origins) parts_.inquiries->ask(layer.digest, origin.name());
}

void PeerHoldings::claimed(const chunk::LayerRef& layer) {
  claimed_.lock()->insert_or_assign(
      layer.digest, std::set<chunk::Origin>(layer.origins.begin(), layer.origins.end()));
}

void PeerHoldings::proven(const fetch::Layer& layer) {
  claimed_.lock()->erase(layer.ref().digest);
  const Using held(connection_);
  if (!parts_.catalog) return;
  if (const auto names = layer.came_for()) parts_.catalog->came(layer.ref().digest, *names);
  for (const auto& origin : layer.with_origins().origins)
    parts_.inquiries->ask(layer.ref().digest, origin.name());
}

bool PeerHoldings::belongs(const util::Digest& layer, const std::string& repository) {
  const Using held(connection_);
  return parts_.catalog && parts_.catalog->belongs(layer, repository);
}

swarm::Access PeerHoldings::access(const std::string& repository) {
  const Using held(connection_);
  return parts_.catalog ? parts_.catalog->access(repository) : swarm::Access{};
}

std::shared_ptr<fetch::Layer> PeerHoldings::open(const util::Digest& layer) {
  uint64_t size = parts_.store->size_of(layer).value_or(0);
  if (size == 0) {
    auto noted = noted_.lock();
    const auto some = noted->lower_bound({layer, ""});
    if (some != noted->end() && some->first.first == layer) size = some->second;
  }
  if (size == 0) return nullptr;
  // In nobody's name: a look, or a read of what is here, brings nothing in (Layer::came_for).
  return parts_.fetcher->open({layer, size, {}});
}

std::shared_ptr<fetch::Layer> PeerHoldings::open_named(const swarm::NamedLayer& layer) {
  const auto opened = open(layer.digest);
  const auto size = parts_.catalog->size_of(layer.digest, layer.repository);
  if (!opened || size != opened->ref().size) return nullptr;
  return parts_.fetcher->open({layer.digest, *size, {origin_named(layer.repository)}});
}

bool PeerHoldings::may_give(const fetch::Layer& layer, const std::string& repository) {
  if (belongs_to(*parts_.catalog, layer, repository)) return true;
  parts_.inquiries->ask(layer.ref().digest, repository);
  return false;
}

bool PeerHoldings::may_give_documents(const swarm::NamedLayer& layer) {
  if (!parts_.catalog) return false;
  std::set<chunk::Origin> names;
  {
    auto claimed = claimed_.lock();
    if (const auto found = claimed->find(layer.digest); found != claimed->end())
      names = found->second;
  }
  return parts_.catalog->is_shown(layer.digest, layer.repository) ||
         (!names.empty() && parts_.catalog->are_open(names, layer.repository));
}

bool PeerHoldings::is_anybodys(const fetch::Layer& layer) {
  const std::string nobody;  // only public ones are open to it
  return may_give_documents({layer.ref().digest, nobody}) && may_give(layer, nobody);
}

std::optional<swarm::HeldLayer> PeerHoldings::held(const util::Digest& digest) {
  const Using held(connection_);
  const auto layer = parts_.store ? open(digest) : nullptr;
  return layer ? std::optional(look(*layer)) : std::nullopt;
}

std::optional<swarm::HeldLayer> PeerHoldings::held(const swarm::NamedLayer& named) {
  const Using held(connection_);
  const auto layer = parts_.store ? open(named.digest) : nullptr;
  if (!layer) return std::nullopt;
  if (may_give(*layer, named.repository)) {
    auto made = look(*layer);
    made.sealed = made.sealed && may_give_documents(named);
    return made;
  }
  auto noted = noted_.lock();
  const auto found = noted->find({named.digest, named.repository});
  if (found == noted->end()) return std::nullopt;
  return swarm::HeldLayer{found->second, false, false, {}};
}

swarm::HeldLayer PeerHoldings::look(const fetch::Layer& layer) {
  swarm::HeldLayer made;
  made.size = layer.ref().size;
  const uint64_t count = chunk::block_count(made.size);
  const auto missing = layer.stored().missing({0, count});
  made.complete = missing.empty();
  made.presence = without(count, missing);
  made.coming = parts_.fetcher->coming(layer);
  made.presence.insert(made.presence.end(), made.coming.begin(), made.coming.end());
  made.sealed = parts_.library && parts_.library->may_publish(layer.ref().digest);
  return made;
}

bool PeerHoldings::is_stored(const util::Digest& digest) {
  const Using held(connection_);
  return parts_.store && parts_.store->size_of(digest);
}

PeerHoldings::OnRead PeerHoldings::guarded(std::shared_ptr<fetch::Layer> layer,
                                           const std::string& repository, OnRead on_read) const {
  // The catalog outlives what the fetcher has under way.
  return [catalog = parts_.catalog, layer = std::move(layer), repository,
          on_read = std::move(on_read)](util::Outcome<util::SharedBytes> bytes) {
    if (bytes && !belongs_to(*catalog, *layer, repository))
      bytes = Failure{Fault::not_found, "not here"};
    on_read(std::move(bytes));
  };
}

util::Operation PeerHoldings::read(const swarm::NamedLayer& named, util::ByteRange range,
                                   bool fetch, const chunk::FetchContext& context, OnRead on_read) {
  const Using held(connection_);
  auto layer = parts_.store ? open(named.digest) : nullptr;
  if (layer && !may_give(*layer, named.repository)) layer = nullptr;
  if (layer && fetch) layer = open_named(named);
  if (layer && !fetch) {
    const auto missing = layer->stored().missing(chunk::blocks_covering(range));
    if (!missing.empty() && !covers(parts_.fetcher->coming(*layer), missing)) layer = nullptr;
  }
  if (!layer) {
    on_read(Failure{Fault::not_found, "not here"});
    return {};
  }
  // What the kernel has in memory spares the member two changes of threads.
  util::Bytes now(range.length <= kReadNow ? range.length : 0);
  if (!now.empty() && parts_.fetcher->try_read_now(*layer, range, now.data()) &&
      belongs_to(*parts_.catalog, *layer, named.repository)) {
    on_read(util::SharedBytes::of(std::move(now)));
    return {};
  }
  auto answer = guarded(layer, named.repository, std::move(on_read));
  return parts_.fetcher->read(std::move(layer), range, context, std::move(answer));
}

bool PeerHoldings::may_relay() {
  return parts_.fetcher->may_relay();
}

util::Operation PeerHoldings::windows(const swarm::NamedLayer& layer, const util::Digest& name,
                                      util::ByteRange range, OnRead on_read) {
  const auto gate = std::make_shared<util::CallbackGate>();
  const auto answer = [gate, on_read = std::move(on_read)](util::Outcome<util::SharedBytes> bytes) {
    gate->run([&] { on_read(std::move(bytes)); });
  };
  workers_.post(util::Workers::Urgency::urgent, [this, layer, name, range, answer] {
    const Using held(connection_);
    if (!may_give_documents(layer)) return answer(Failure{Fault::not_found, "not here"});
    parts_.library->read_windows(layer.digest, name, range, answer);
  });
  return util::Operation([gate] { gate->close(); });
}

void PeerHoldings::published(const swarm::NamedLayer& layer,
                             std::function<void(std::optional<swarm::PublishedLayer>)> callback) {
  workers_.post(util::Workers::Urgency::normal, [this, layer, callback = std::move(callback)] {
    std::optional<swarm::PublishedLayer> made;
    {
      const Using held(connection_);
      const bool may = may_give_documents(layer);
      if (auto found = may ? parts_.library->published(layer.digest) : std::nullopt)
        made = {std::move(found->index), std::move(found->leaves), std::move(found->claim)};
    }
    callback(std::move(made));
  });
}

std::optional<swarm::ExchangedLayer> PeerHoldings::exchanged(const util::Digest& digest) {
  const Using held(connection_);
  const auto layer = parts_.library ? open(digest) : nullptr;
  if (!layer || !is_anybodys(*layer)) return std::nullopt;
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
  const auto layer = parts_.library ? open(digest) : nullptr;
  if (!layer || !is_anybodys(*layer)) return false;
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

void PeerHoldings::profile(const util::Digest& manifest, const std::string& repository,
                           std::function<void(std::optional<std::string>)> callback) {
  workers_.post(
      util::Workers::Urgency::normal, [this, manifest, repository, callback = std::move(callback)] {
        std::optional<util::Bytes> document;
        {
          const Using held(connection_);
          if (parts_.catalog && parts_.catalog->names_manifest(manifest, repository))
            document = parts_.store->load_document("profile/" + manifest.hex());
        }
        callback(document ? std::optional(std::string(util::as_text(*document))) : std::nullopt);
      });
}

}  // namespace swarmfs::daemon
