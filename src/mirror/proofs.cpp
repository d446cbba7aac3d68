// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "mirror/proofs.h"

#include <algorithm>

#include "mirror/permissions.h"
#include "util/log.h"

namespace swarmfs::mirror {

using util::Failure;
using util::Fault;
using util::Outcome;

namespace {

/// As long as no permission outlives it.
constexpr util::Duration kProofBelieved = Permissions::kBelieved;

}  // namespace

Proofs::Proofs(Upstream& upstream, fetch::Fetcher& fetcher, Ledger& ledger,
               const util::Clock& clock)
    : upstream_(upstream), fetcher_(fetcher), ledger_(ledger), clock_(clock) {}

bool Proofs::belongs(const Key& key) const {
  if (ledger_.belongs(key.first, key.second)) return true;
  auto proven = proven_.lock();
  const auto found = proven->find(key);
  return found != proven->end() && clock_.now() - found->second < kProofBelieved;
}

void Proofs::remember(const Key& key) {
  upstream_.showed(key.first, key.second);
  if (ledger_.set_belongs(key.first, key.second)) return;
  auto proven = proven_.lock();
  (*proven)[key] = clock_.now();
  if (proven->size() <= kRemembered) return;
  proven->erase(std::min_element(proven->begin(), proven->end(),
                                 [](auto& a, auto& b) { return a.second < b.second; }));
}

bool Proofs::are_open(const std::set<chunk::Origin>& names, const chunk::Origin& origin) const {
  return std::ranges::all_of(
      names, [&](const auto& name) { return name == origin || ledger_.is_public(name.name()); });
}

bool Proofs::may_go_on(const fetch::Layer& blob, const chunk::Origin& origin) const {
  const auto names = blob.came_for();
  return names && are_open(*names, origin);
}

void Proofs::came_whole(const fetch::Layer& blob, const chunk::Origin& origin) {
  if (may_go_on(blob, origin)) remember({origin.name(), blob.ref().digest});
}

void Proofs::gave_all(const chunk::LayerRef& blob) {
  remember({blob.origins.front().name(), blob.digest});
}

std::shared_ptr<fetch::Layer> Proofs::open_if_came_so(const chunk::LayerRef& blob) {
  const auto names = fetcher_.came_for(blob);
  const bool so = names && !names->empty() && are_open(*names, blob.origins.front());
  return so ? fetcher_.open_alone(blob, *names) : nullptr;
}

Outcome<std::optional<Proofs::Held>> Proofs::held_block(const chunk::LayerRef& blob) {
  const chunk::LayerRef for_nobody{blob.digest, blob.size, {}};
  const auto known = upstream_.opened(for_nobody);
  return fetcher_.held_block(*fetcher_.open(for_nobody));
}

Outcome<Proofs::Opened> Proofs::open(const chunk::LayerRef& blob, const std::string& authorization,
                                     util::SteadyTime deadline) {
  const Key key{blob.origins.front().name(), blob.digest};
  if (belongs(key)) return Opened{fetcher_.open(blob)};
  if (auto so = open_if_came_so(blob)) return Opened{std::move(so), true};
  const auto held = held_block(blob);
  if (!held) return held.failure();
  if (*held) {
    const auto proof = asking_.run({key, util::Sha256::of(util::as_bytes(authorization))}, "",
                                   [&] { return prove(blob, **held, authorization, deadline); });
    if (proof) {
      remember(key);
      return Opened{fetcher_.open(blob)};
    }
    tell(key, proof.failure());
    if (proof.failure().fault == Fault::invalid) return Opened{};
    return proof.failure();
  }
  if (auto alone = fetcher_.open_alone(blob)) return Opened{std::move(alone), true};
  have_checked(blob);
  return Opened{};
}

void Proofs::have_checked(const chunk::LayerRef& blob) {
  const chunk::LayerRef for_nobody{blob.digest, blob.size, {}};
  const auto layer = fetcher_.open(for_nobody);
  if (layer->is_whole()) upstream_.complete(for_nobody, "application/vnd.oci.image.layer.v1.tar");
}

Outcome<util::Done> Proofs::prove(const chunk::LayerRef& blob, const Held& held,
                                  const std::string& authorization, util::SteadyTime deadline) {
  const auto& origin = blob.origins.front();
  const auto given = upstream_.bytes_of({origin.registry, origin.repository, {}, blob.digest},
                                        held.range, authorization, chunk::Class::fault, deadline);
  if (!given) return given.failure();
  if (!std::ranges::equal(*given, held.bytes.view()))
    return Failure{Fault::corrupt, "it gives other bytes"};
  return util::Done{};
}

void Proofs::tell(const Key& key, const Failure& failure) {
  auto told = told_.lock();
  if (told->size() > kRemembered) told->clear();
  if (!told->insert(key).second) return;
  told.unlock();
  const auto line = fmt::format(
      "mirror: {} does not show that blob {}, which is here from elsewhere, belongs to it ({}): "
      "who asks for it there gets no more than what it gives itself",
      key.first, key.second.short_hex(), failure.message);
  util::log::write(
      failure.fault == Fault::corrupt ? util::log::Level::warning : util::log::Level::info, line);
}

}  // namespace swarmfs::mirror
